//! keepstart turns "this Linux node now holds the role" into "these things run here, and nowhere else".
//!
//! # The way of the data
//!
//! ```text
//!  kernel ──▶ source ──▶ ┌───────────────────────────────┐ ──▶ action ──▶ scripts, units
//!                        │ reactor: one thread, one       │
//!  people ──▶ control ──▶│ owner of the machine           │ ──▶ bus ──▶ status, systemd
//!  signals ─▶ app ──────▶│   input ─▶ machine ─▶ outputs  │ ──▶ disk ──▶ what a restart must know
//!                        └───────────────────────────────┘ ──▶ report ──▶ telemetry
//! ```
//!
//! # Where things live, from the ground up
//!
//! A module names only modules that stand above it here; `tests/tidy.rs` sees to it.
//!
//! | module | what it owns |
//! |---|---|
//! | [`machine`] | every decision; pure: no clock, no I/O, no task |
//! | [`timeline`] | what became of each change of role, stage by stage; pure |
//! | [`clock`] | the one clock that the machine's time comes from |
//! | [`processes`], [`capabilities`] | the list of all processes; what one may do |
//! | [`kill_points`] | where tests have the daemon killed |
//! | [`scheduling`] | which threads are real-time, and that no script is |
//! | [`trust`] | whether a file that is run is in safe hands |
//! | [`config`] | the file: every fault with its place, every default filled in |
//! | [`source`] | what the kernel says of links and addresses |
//! | [`action`] | scripts: spawned, watched, their output followed; systemd units |
//! | [`state`] | what outlives the process: locks, the run record, epochs |
//! | [`systemd`], [`telemetry`] | readiness and watchdog; the log |
//! | [`record`] | every input of the machine, kept or written, so that it can be lived through again |
//! | [`bus`], [`disk`], [`report`] | messages between threads; the disk thread; events in words |
//! | [`replay`] | recordings lived through again, as they were or with another configuration |
//! | [`reactor`] | the loop that owns the machine |
//! | [`control`] | the local socket: requests in, answers and streams out |
//! | [`app`] | all of it put together: threads, queues, start and end |
//! | [`cli`] | what a person types |
//!
//! Begin with [`machine`]: its first page is the law that all else keeps.

pub mod action;
pub mod app;
pub mod bus;
pub mod capabilities;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod disk;
pub mod kill_points;
pub mod machine;
pub mod processes;
pub mod reactor;
pub mod record;
pub mod replay;
pub mod report;
pub mod scheduling;
pub mod source;
pub mod state;
pub mod systemd;
pub mod telemetry;
pub mod timeline;
pub mod trust;
