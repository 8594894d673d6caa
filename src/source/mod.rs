//! Sources: observations in. Each source translates what it hears into the machine's words and decides
//! nothing. All of them run on the reactor thread.

pub mod netlink;
