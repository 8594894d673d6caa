//! The daemon as a process: the real binary, in private network namespaces, driven as people, systemd and the
//! kernel drive it. One file a subject; `world` is what they have in common.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on panics"
)]
#![expect(
    clippy::disallowed_macros,
    clippy::print_stdout,
    reason = "a test at random prints its seed, and a long one what it has found"
)]

#[path = "../support/netns.rs"]
mod netns;
#[path = "../support/wait.rs"]
mod wait;
mod world;

mod accounts;
mod bounds;
mod clocks;
mod commands;
mod exhausted;
mod faults;
mod filter;
mod flood;
mod held;
mod hooks;
mod kernel;
mod killed;
mod leftovers;
mod logging;
mod lost;
mod netlink;
mod order;
mod overrun;
mod places;
mod process;
mod random;
mod realtime;
mod recording;
mod register;
mod restart;
mod security;
mod signals;
mod soak;
mod staged;
mod systemd;
mod timeline;
mod told;
