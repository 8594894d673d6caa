//! keepstart turns "this Linux node now holds the role" into "these things run here, and nowhere else".

pub mod action;
pub mod app;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod disk;
pub mod machine;
pub mod reactor;
pub mod report;
pub mod source;
pub mod state;
pub mod systemd;
pub mod telemetry;
