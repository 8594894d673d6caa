//! The control socket: how commands talk to the daemon of their configuration. The server's half runs on
//! the service thread and never makes the reactor wait; the client's half blocks in the command that uses
//! it.
//!
//! One connection carries one request line and its answers, JSON both ways; `protocol` has the words,
//! `status` the documents, `why` the sentences.

pub mod client;
mod conversation;
pub mod explain;
pub mod peer;
pub mod protocol;
pub mod server;
pub mod socket;
pub mod status;
mod stream;
mod timeline;
pub mod why;
mod writer;

#[cfg(test)]
pub(crate) mod samples;
