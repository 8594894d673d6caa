//! What a process may do beyond what its user may, capabilities(7), as far as keepstart needs it. On whatever thread
//! asks; reads a file of the kernel's own, which never waits.

use std::fs;
use std::io;

/// Those of a process that are in force.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each capability is there or not, whatever the others are"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// `CAP_IPC_LOCK`: it may lock as much memory as it likes.
    pub ipc_lock: bool,
    /// `CAP_KILL`: it may signal the processes of other users.
    pub kill: bool,
    /// `CAP_NET_ADMIN`: its sockets may have larger buffers than `net.core.rmem_max` says.
    pub net_admin: bool,
    /// `CAP_SYS_PTRACE`: it may look into the processes of other users.
    pub sys_ptrace: bool,
}

impl Capabilities {
    /// Those of another process. Fails where that is not there, or its status not to be understood.
    pub fn of(pid: u32) -> io::Result<Self> {
        Self::read(&format!("/proc/{pid}/status"))
    }

    /// Those of this process.
    pub fn own() -> io::Result<Self> {
        Self::read("/proc/self/status")
    }

    fn read(path: &str) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        Self::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        let bits = u64::from_str_radix(line.trim(), 16).ok()?;
        // The numbers are those of <linux/capability.h>.
        let has = |number: u32| bits & (1 << number) != 0;
        Some(Self {
            ipc_lock: has(14),
            kill: has(5),
            net_admin: has(12),
            sys_ptrace: has(19),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_is_its_own() {
        let of = |bits: &str| {
            let text = format!("Name:\tx\nCapPrm:\tffff\nCapEff:\t{bits}\nCapBnd:\tffff\n");
            let found = Capabilities::parse(&text).unwrap();
            let Capabilities {
                ipc_lock,
                kill,
                net_admin,
                sys_ptrace,
            } = found;
            [ipc_lock, kill, net_admin, sys_ptrace]
        };
        assert_eq!(of("0000000000000020"), [false, true, false, false]);
        assert_eq!(of("0000000000001000"), [false, false, true, false]);
        assert_eq!(of("0000000000080000"), [false, false, false, true]);
        assert_eq!(of("0000000000004000"), [true, false, false, false]);
        assert_eq!(of("000001ffffffffff"), [true; 4]);
        assert_eq!(Capabilities::parse("CapEff:\tx\n"), None);
        let own = Capabilities::own().unwrap();
        assert_eq!(own, Capabilities::of(std::process::id()).unwrap());
    }
}
