//! Waiting with a deadline: for a command, or for anything else that may hang. A thread does it; when the deadline is
//! over it is left behind, and a command is killed.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::super::facts::Seen;

/// The longest that a command or a file server may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Does something that may hang. `what` is the end of a sentence: `cannot be looked at: …`.
pub(super) fn within<T: Send + 'static>(
    what: &str,
    does: impl FnOnce() -> T + Send + 'static,
) -> Seen<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let body = move || {
        // Nobody may be waiting any more.
        let _ = sender.send(does());
    };
    let begun = thread::Builder::new().name("look".into()).spawn(body);
    begun.map_err(|error| format!("{what}: no thread could be started: {error}"))?;
    receiver
        .recv_timeout(DEADLINE)
        .map_err(|_| format!("{what}: no answer within {} s", DEADLINE.as_secs()))
}

/// What a command prints, where it succeeds.
pub(super) fn command(program: &'static str, arguments: &[&str]) -> Seen<String> {
    let shown = format!("{program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command
        .spawn()
        .map_err(|error| format!("`{shown}` cannot be run: {error}"))?;
    // It has not been waited for, so the number is still its own.
    let handle = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let ended = within(&format!("`{shown}`"), move || child.wait_with_output());
    let output = ended.inspect_err(|_| {
        if let Some(handle) = &handle {
            let _ = pidfd_send_signal(handle.as_fd(), Signal::KILL);
        }
    })?;
    let output = output.map_err(|error| format!("`{shown}` cannot be waited for: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it says nothing");
    Err(format!("`{shown}` failed ({}): {said}", output.status))
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn a_command_answers_or_says_why_not() {
        assert_eq!(command("echo", &["a"]), Ok("a\n".to_owned()));
        let said = command("sh", &["-c", "echo no >&2; exit 3"]).unwrap_err();
        assert!(said.ends_with("(exit status: 3): no"), "{said}");
        assert!(
            command("/nowhere/x", &[])
                .unwrap_err()
                .contains("cannot be run")
        );
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let said = command("sleep", &["1000"]).unwrap_err();
        assert!(said.ends_with("no answer within 5 s"), "{said}");
    }
}
