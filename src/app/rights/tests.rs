//! Tests of `app/rights`.

use std::path::Path;

use super::*;
use crate::config;

fn settings(text: &str) -> Settings {
    config::parse(text, Path::new("/x/config.yaml"))
        .unwrap()
        .config
        .settings
}

fn with(kill: bool, sys_ptrace: bool) -> Capabilities {
    Capabilities {
        ipc_lock: false,
        kill,
        net_admin: false,
        sys_ptrace,
    }
}

#[test]
fn it_is_said_what_is_lacking_and_for_whom() {
    let settings = settings(
        "instances: {web: {vip: 10.0.0.1, start: /x/start, stop: {run: /x/stop, user: daemon}, is-running: \
         {run: /x/ask, user: root}}}",
    );
    let said = |daemon, with| lacking(&settings, daemon, with);
    assert_eq!(said(0, with(true, true)), None);
    let end = "it cannot end such an action at its timeout, nor when the role is lost";
    let find = "after a crash it may run such an action beside the one that still runs";
    for (with, lacks) in [
        (with(false, true), format!("CAP_KILL: {end}")),
        (with(true, false), format!("CAP_SYS_PTRACE: {find}")),
        (
            with(false, false),
            format!("CAP_KILL and CAP_SYS_PTRACE: {end}, and {find}"),
        ),
    ] {
        let who = "the stop of instance web runs as user daemon, and the daemon lacks";
        assert_eq!(said(0, with), Some(format!("{who} {lacks}")));
    }
    // For a daemon of yet another user both are another's.
    let said = said(12_345, with(false, true)).unwrap();
    assert!(
        said.starts_with("the stop of instance web (and 1 more) runs as user daemon"),
        "{said}"
    );
}

#[test]
fn of_nobody_else_and_of_units_nothing_is_said() {
    for text in [
        "instances: {}",
        "instances: {web: {vip: 10.0.0.1, start: /x/start, stop: /x/stop, user: root}}",
        "instances: {web: {vip: 10.0.0.1, unit: web.service, user: daemon}}",
    ] {
        assert_eq!(
            lacking(&settings(text), 0, with(false, false)),
            None,
            "{text}"
        );
    }
}
