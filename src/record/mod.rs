//! Recordings: every input of the machine, in order and with the machine's own time, so that what a daemon lived
//! through can be lived through again ([`crate::replay`]). Called on the reactor's thread, which never waits for it;
//! what is written is written by others.
//!
//! ```text
//!                     ┌─▶ Ring      the last inputs, always; the service thread sends a copy to who asks,
//!  Recorded ──▶ Tape ─┤             the panic hook writes it into the runtime directory
//!                     └─▶ FileTape  every input since the start: `--record FILE`, by a thread of its own
//! ```
//!
//! `line` has the form of a recording, `digest` what of the machine's outputs counts as decided.

pub mod crash;
mod digest;
mod file;
pub mod line;
mod ring;
mod tape;

pub use digest::{BadDigest, Digest};
pub use file::{FileTape, RECORD_BYTES_MAX};
pub use line::{Begin, Entry, Header, Line, Origin, Redactor};
pub use ring::{BYTES_MAX, Copied, ENTRIES_MAX, INSTANCES_MAX, Ring};
pub use tape::{Recorded, Tape};

#[cfg(test)]
mod tests;
