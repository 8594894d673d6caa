//! The real thing to compare with: Python, and a time zone that both know without a database. For tests only.

use std::io::Write;
use std::process::{Command, Stdio};

use jiff::tz::TimeZone;
use serde_json::Value;

use super::strftime::Local;

/// Central European time, as TZ has it.
pub(super) const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

pub(super) fn zone() -> TimeZone {
    TimeZone::posix(ZONE).unwrap()
}

pub(super) fn local() -> Local {
    Local(Some(zone()))
}

/// Runs a script, which finds `given` in the variable `given` and leaves its answer in `answer`.
#[track_caller]
pub(super) fn python(script: &str, given: &Value) -> Value {
    let script = format!(
        "import sys, json, os, time, logging, logging.config, logging.handlers\n\
         logging.addLevelName(5, 'TRACE')\ngiven = json.load(sys.stdin)\n{script}\n\
         sys.stdout.write(json.dumps(answer))\n"
    );
    let mut child = Command::new("python3")
        .args(["-c", &script])
        .env("TZ", ZONE)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3, which tests/run names as a need");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(given.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}");
    serde_json::from_slice(&output.stdout).unwrap()
}
