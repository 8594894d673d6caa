//! keepalived on a single node, whose VIP is moved by a tracked file.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::hook::Flip;
use super::namespace::ip;
use super::process::Process;

const PROGRAM: &str = "/usr/sbin/keepalived";

/// Whether this machine has it.
pub(crate) fn installed() -> bool {
    Path::new(PROGRAM).exists()
}

/// A running keepalived.
pub(crate) struct Keepalived {
    /// Its first process.
    pub(crate) process: Process,
    switch: PathBuf,
}

impl Keepalived {
    /// Starts it in the namespace of the calling thread, without the VIP.
    pub(crate) fn start(
        directory: &Path,
        vip: Ipv4Addr,
        hook: &Path,
        reports: &Path,
    ) -> anyhow::Result<Self> {
        ip("link add eth0 type veth peer name eth1")?;
        ip("link set eth0 up")?;
        ip("link set eth1 up")?;
        ip("address add 10.98.0.1/24 dev eth0")?;
        let at = |name: &str| directory.join(name);
        let (file, switch) = (at("keepalived.conf"), at("switch"));
        fs::write(&switch, text(Flip::Loss)).context("cannot write the tracked file")?;
        let (hook, reports, tracked) = (hook.display(), reports.display(), switch.display());
        let configuration = format!(
            "global_defs {{ script_user root }}
track_file switch {{ file {tracked} }}
vrrp_instance bench {{
    version 3
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 255
    advert_int 0.03
    virtual_ipaddress {{ {vip}/32 }}
    track_file {{ switch weight 0 }}
    notify_master \"{hook} {reports} start\"
    notify_fault \"{hook} {reports} stop\"
}}
"
        );
        fs::write(&file, configuration).context("cannot write keepalived's configuration")?;
        let log = fs::File::create(at("keepalived.log"))?;
        let mut command = Command::new(PROGRAM);
        command
            .args(["-n", "-l", "-P", "-f"])
            .arg(file)
            .arg("-p")
            .arg(at("pid"));
        command.arg("-r").arg(at("vrrp.pid")).stdin(Stdio::null());
        let process = Process::start(command.stdout(log.try_clone()?).stderr(log))?;
        Ok(Self { process, switch })
    }

    /// Makes it take or give up the VIP.
    pub(crate) fn flip(&self, flip: Flip) -> anyhow::Result<()> {
        fs::write(&self.switch, text(flip)).context("cannot write the tracked file")
    }
}

/// A tracked file of weight 0 means a fault where it holds anything but 0.
fn text(flip: Flip) -> &'static str {
    match flip {
        Flip::Gain => "0\n",
        Flip::Loss => "1\n",
    }
}
