//! Asks the kernel for links and addresses, as the daemon does, and for a receive buffer of the daemon's size.

use std::fs;

use super::super::facts::{Buffer, Seen};
use crate::config::Config;
use crate::machine::kernel::KernelDump;
use crate::source::netlink::{RECEIVE_BUFFER_BYTES, Subscription, Watched, dump_aside};

const LIMIT: &str = "/proc/sys/net/core/rmem_max";

/// Asks for both.
pub(super) fn ask(config: &Config) -> (Seen<KernelDump>, Buffer) {
    let instances = config.settings.instances.iter();
    let watched: Watched = instances
        .flat_map(|one| one.role.addresses.iter().copied())
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let (dumped, granted) = match runtime {
        Ok(runtime) => {
            let dumped = runtime.block_on(dump_aside(watched));
            let dumped =
                dumped.map_err(|error| chain("interfaces and addresses are not known", error));
            let granted = runtime.block_on(async { Subscription::open(RECEIVE_BUFFER_BYTES) });
            let granted = granted.map(|it| it.receive_buffer().bytes());
            let granted =
                granted.map_err(|error| chain("no receive buffer could be asked for", error));
            (dumped, granted)
        }
        Err(error) => {
            let why = chain("the kernel cannot be asked", error);
            (Err(why.clone()), Err(why))
        }
    };
    let limit =
        fs::read_to_string(LIMIT).map_err(|error| format!("{LIMIT} cannot be read: {error}"));
    let limit = limit.and_then(|text| {
        text.trim()
            .parse()
            .map_err(|error| format!("{LIMIT}: {error}"))
    });
    let buffer = Buffer {
        // The kernel counts twice what is asked for, for what each message costs beside its bytes.
        wanted: 2 * RECEIVE_BUFFER_BYTES,
        granted,
        limit,
    };
    (dumped, buffer)
}

fn chain(what: &str, error: impl Into<anyhow::Error>) -> String {
    format!("{what}: {:#}", error.into())
}
