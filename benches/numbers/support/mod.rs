//! What the benches share: contestants, hooks, addresses, tables.

pub(crate) mod clock;
pub(crate) mod contest;
pub(crate) mod daemon;
pub(crate) mod floor;
pub(crate) mod hook;
pub(crate) mod keepalived;
pub(crate) mod namespace;
pub(crate) mod places;
pub(crate) mod process;
pub(crate) mod procfs;
pub(crate) mod rounds;
pub(crate) mod route;
pub(crate) mod shell;
pub(crate) mod stats;
pub(crate) mod table;
