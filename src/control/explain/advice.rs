//! What a person can do about what is wrong with an instance, in sentences with the commands to run. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::control::peer::CommandLines;
use crate::control::status::{InstanceStatus, KernelStatus};
use crate::machine::Time;
use crate::machine::job::{Means, Outcome};
use crate::machine::reason::{Cause, Next};
use crate::machine::view::{InstanceView, JobView};

/// A job that runs longer than this is worth a look.
const LONG: Duration = Duration::from_secs(5);

/// What a person can do about what is wrong.
pub(super) fn advice(
    view: &InstanceView,
    status: &InstanceStatus,
    kernel: Option<&KernelStatus>,
    now: Time,
    command_lines: CommandLines,
) -> Vec<String> {
    let mut advice = Vec::new();
    if status.stale {
        advice.push(
            "the daemon's reactor does not answer: if it stays so, restart the daemon; what it has started goes on \
             running"
                .into(),
        );
    }
    if let Some(error) = kernel.and_then(|kernel| kernel.error.as_ref()) {
        advice.push(format!(
            "the kernel's notifications are not available ({error}): roles change only as often as `sleep` asks"
        ));
    }
    advice.extend(about_source(&view.cause));
    if let Some(job) = &view.job {
        advice.extend(about_job(view, job, now, command_lines));
    }
    if let Next::RetryAt { outcome, .. } = &view.next {
        advice.push(about_failure(view, outcome.as_ref(), command_lines));
    }
    advice
}

fn about_source(cause: &Cause) -> Option<String> {
    match cause {
        Cause::NicNeverSeen { nic } => Some(format!(
            "look whether {nic} is spelt as `ip link` has it, and `keepstart reload`; if it comes only with the role, \
             say `nic-never-seen: backup`"
        )),
        Cause::NicAbsent { nic } => Some(format!(
            "if this node should hold the address: {nic} is gone, see `ip link` and the log of what made it"
        )),
        Cause::KernelSilent => Some(
            "the kernel does not tell its addresses: see `ip address` and what the daemon's log says of it".into(),
        ),
        Cause::VipUnusable { address } => Some(format!(
            "see `ip -6 address show to {address}`: with `dadfailed` another machine has this address; `tentative` \
             passes within seconds"
        )),
        Cause::VipElsewhere { address, nic } => Some(format!(
            "see with `ip address show to {address}` where it is: if it is meant, {nic} is not its interface, or not \
             its label (IPv6 addresses have none)"
        )),
        Cause::NotLookedYet
        | Cause::VipPresent { .. }
        | Cause::VipAbsent { .. }
        | Cause::NoVipPresent { .. } => None,
    }
}

fn about_job(
    view: &InstanceView,
    job: &JobView,
    now: Time,
    command_lines: CommandLines,
) -> Option<String> {
    let took = now.since(job.started);
    let (action, name) = (job.action, &view.name);
    let command = view.settings.command(action);
    match (job.pid, &view.next) {
        (None, _) if job.means == Means::Systemd => (took >= LONG).then(|| {
            let units = command.map_or_else(String::new, |command| command.run.to_string());
            format!(
                "systemd takes its time with {action}: `systemctl status {units}` and `systemctl list-jobs` show for \
                 what it waits"
            )
        }),
        (None, _) if took >= Duration::from_secs(1) => {
            let run = command_lines.of(command.map(AsRef::as_ref)).map_or_else(String::new, |run| format!(" {run}"));
            Some(format!(
                "the program of {action}{run} is not executed: see with `lsof` who holds its file, and whether its \
                 file server answers"
            ))
        }
        (Some(pid), Next::JobEnding { kill_at: None }) => Some(format!(
            "{action} was killed and process {pid} is still there: `ps -o pid,stat,wchan -g {pid}`; D means that the \
             kernel waits for a disk or a file server for it"
        )),
        (Some(pid), _) if took >= LONG => Some(format!(
            "{action} takes its time: `pstree -p {pid}` shows for what it waits, `journalctl KEEPSTART_JOB={}` what it \
             has printed, `keepstart timeline {name}` how long it took before",
            job.job
        )),
        (None | Some(_), _) => None,
    }
}

fn about_failure(
    view: &InstanceView,
    outcome: Option<&Outcome>,
    command_lines: CommandLines,
) -> String {
    let name = &view.name;
    let after = format!("then `keepstart audit {name}` or wait");
    let mut both = view.last_action.iter().chain(&view.last_check);
    let failed = both.find(|job| Some(&job.outcome) == outcome);
    let printed = failed.map_or_else(String::new, |job| {
        format!(
            "`journalctl KEEPSTART_JOB={}` shows what it printed; ",
            job.job
        )
    });
    match outcome {
        None => {
            let run = command_lines
                .of(view.settings.is_running.as_deref())
                .map_or_else(String::new, |run| format!(" ({run})"));
            format!(
                "the action was done, but is-running{run} does not agree: run it by hand and look at its exit status; \
                 {after}"
            )
        }
        Some(Outcome::NotStarted { error }) => {
            format!(
                "it could not be executed ({error}): mend its path, permissions or first line; {after}"
            )
        }
        Some(Outcome::TimedOut { .. }) => {
            format!(
                "{printed}if it needs that long, give it a longer `timeout` and `keepstart reload`; {after}"
            )
        }
        Some(
            Outcome::Done
            | Outcome::Failed { .. }
            | Outcome::Killed { .. }
            | Outcome::Cancelled
            | Outcome::Unseen,
        ) => format!("{printed}mend that; {after}"),
        Some(
            Outcome::UnitFailed { .. } | Outcome::NotRunning { .. } | Outcome::PartlyRunning { .. },
        ) => {
            let units: BTreeSet<_> = view.settings.units().map(ToString::to_string).collect();
            let units: Vec<_> = units.into_iter().collect();
            format!(
                "`systemctl status {}` says more; mend that; {after}",
                units.join(" ")
            )
        }
    }
}
