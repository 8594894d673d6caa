//! The machine: everything keepstart decides, and nothing it does. Pure: no clock, no I/O, no task.

pub mod job;
pub mod kernel;
pub mod message;
pub mod reason;
pub mod settings;
pub mod time;
pub mod view;

pub use time::Time;
