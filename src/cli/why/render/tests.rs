//! The screen of made explanations, word for word.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::cli::out::Out;
use crate::cli::timeline::draw::Glyphs;
use crate::control::peer::CommandLines;
use crate::control::samples::{kernel, time, view};
use crate::control::status::Freshness;
use crate::machine::job::{Action, Outcome};
use crate::machine::reason::Next;
use crate::machine::view::InstanceView;

fn screen(change: impl FnOnce(&mut InstanceView)) -> String {
    let mut view = (*view(1, "web")).clone();
    change(&mut view);
    let said = Explanation::of(
        &view,
        Some(&kernel()),
        time(25_000),
        Freshness::Fresh,
        CommandLines::Told,
    );
    let canvas = Canvas {
        out: Out::plain(),
        width: 90,
        glyphs: Glyphs::Plain,
        zone: TimeZone::UTC,
    };
    explanation(&said, &canvas)
}

#[test]
fn a_calm_master() {
    assert_eq!(
        screen(|_| {}),
        "\
web is MASTER for 15s, the service is running (transition web/7)

source   kernel says MASTER: 192.0.2.10 is on lo, for 15s; each change is heard at once,
         read in full 24s ago
rule     MASTER while 192.0.2.10 is on lo
rule     nothing is done while the role is MASTER and the service is running
running  no action
last     start done 14s ago (took 50ms), because the role was gained
next     nothing: the role is MASTER and the service is running
to do    nothing is wrong
"
    );
}

#[test]
fn a_start_that_fails() {
    let text = screen(|view| {
        view.knowledge = Knowledge::Maybe;
        let last = view
            .last_action
            .as_mut()
            .map(Arc::make_mut)
            .expect("a last job");
        last.outcome = Outcome::Failed { code: 1 };
        view.next = Next::RetryAt {
            action: Action::Start,
            at: time(27_000),
            failures: 3,
            outcome: Some(Outcome::Failed { code: 1 }),
        };
    });
    for part in [
        "web is MASTER for 15s, the service is maybe running",
        "in a row: 3; due in 2.0s",
        "next     in 2.0s: start again, because it failed with exit status 1 (3 failures in a row)",
        "to do    `journalctl KEEPSTART_JOB=4f3a9c1e-17` shows what it printed",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}
