//! The packages as an administrator meets them: built by `packaging/build`, looked at by lintian and rpmlint, and
//! installed, upgraded and removed on machines with a booted systemd. What stands in the manual and in the examples
//! is compared with the program.
//!
//! The packages hold the binary under test, a debug build that is stripped: what is tested here are the packages,
//! and a release build would take minutes more. One file a subject.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on panics"
)]

#[path = "../support/machine.rs"]
mod machine;
#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/wait.rs"]
mod wait;

#[path = "../../packaging/pages/pages.rs"]
mod pages;

mod by_unit;
mod catalog;
mod doctor;
mod examples;
mod life;
mod lint;
mod manual;
mod packages;
mod pair;
mod realtime;
mod units;

use std::path::{Path, PathBuf};

/// The binary under test.
const BINARY: &str = env!("CARGO_BIN_EXE_keepstart");

/// A file of the folder `packaging`.
fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging")
        .join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(packaging(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
