//! What people write who have no daemon: a shell that reads `ip monitor`.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::process::Process;

/// `$1` is the address, the rest the hook and its FIFO; `$SLEEP` its last argument, if any.
const SCRIPT: &str = r#"
vip=$1
hook=$2
reports=$3
ip -o monitor address | while read -r line; do
    case $line in
    Deleted*" $vip/"*) "$hook" "$reports" stop $SLEEP ;;
    *" $vip/"*) "$hook" "$reports" start $SLEEP ;;
    esac
done
"#;

/// Starts the loop in the namespace of the calling thread. Nothing tells when it hears.
pub(crate) fn start(
    vip: Ipv4Addr,
    hook: &Path,
    reports: &Path,
    sleep_ms: Option<u32>,
) -> anyhow::Result<Process> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", SCRIPT, "sh", &vip.to_string()])
        .arg(hook)
        .arg(reports);
    command.env(
        "SLEEP",
        sleep_ms.map(|ms| ms.to_string()).unwrap_or_default(),
    );
    Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()))
}
