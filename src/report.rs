//! How an event of the machine is said in the log: the one place that chooses its level, words and fields.
//! Called on the reactor's thread; the log's queue never makes it wait.

use tracing::{debug, error, info, warn};

use crate::machine::Time;
use crate::machine::job::{Action, Outcome};
use crate::machine::message::Event;

/// Logs one event.
pub fn log(event: &Event, now: Time) {
    match event {
        Event::Transition { instance, from, to, epoch, cause, seen, decided } => info!(
            instance = %instance,
            role = to.as_str(),
            epoch,
            transition = %format_args!("{instance}/{epoch}"),
            "{from} -> {to}: {cause} (seen {:.1} ms before)",
            millis(decided.since(*seen)),
        ),
        Event::Held { instance, to, until } => debug!(
            instance = %instance,
            "{to} is held back for {:.0} ms, until the role is stable",
            millis(until.since(now)),
        ),
        Event::Superseded { instance, to, total } => info!(
            instance = %instance,
            "{to} was overtaken and is not acted on ({total} so far)",
        ),
        Event::JobStarted { .. } | Event::JobSignalled { .. } | Event::JobEnded { .. } => job(event),
        Event::RetryScheduled { instance, at, failures } => warn!(
            instance = %instance,
            "the next attempt is made in {:.1} s ({failures} failed in a row)",
            at.since(now).as_secs_f64(),
        ),
        Event::Adopted { instance, job, action, pid } => warn!(
            instance = %instance,
            action = action.as_str(),
            job = %job,
            "{action} of the daemon's earlier life still runs as process {pid} and is waited for",
        ),
        Event::Alive { .. } => alive(event),
        Event::EpochsExhausted { instance, epoch } => error!(
            instance = %instance,
            epoch,
            "epoch {epoch} is not on disk yet; after a power cut it may come again",
        ),
        Event::Overrun { .. }
        | Event::Subscribed
        | Event::SubscriptionLost { .. }
        | Event::Synchronized { .. }
        | Event::DumpFailed { .. }
        | Event::AuditRepaired { .. }
        | Event::Reloaded { .. } => whole(event),
    }
}

fn job(event: &Event) {
    match event {
        Event::JobStarted { instance, job, action, command, epoch, role, reason, at: _ } => {
            let transition = format!("{instance}/{epoch}");
            let (instance, job, act) = (instance.as_str(), job.to_string(), action.as_str());
            let role = role.as_str();
            if *action == Action::IsRunning {
                debug!(instance, role, action = act, job, epoch, transition, "{act} {command}: {reason}");
            } else {
                info!(instance, role, action = act, job, epoch, transition, "{act} {command}: {reason}");
            }
        }
        Event::JobSignalled { instance, job, action, signal, because } => warn!(
            instance = %instance,
            action = action.as_str(),
            job = %job,
            "{action} is sent SIG{}: {because}",
            match signal {
                crate::machine::job::JobSignal::Term => "TERM",
                crate::machine::job::JobSignal::Kill => "KILL",
            },
        ),
        Event::JobEnded { instance, job, action, epoch, role, outcome, started, spawned, ended } => {
            let transition = format!("{instance}/{epoch}");
            let (instance, job, act) = (instance.as_str(), job.to_string(), action.as_str());
            let role = role.as_str();
            let took = millis(ended.since(*started));
            let spawn = spawned.map_or(took, |at| millis(at.since(*started)));
            let fine = *outcome == Outcome::Done;
            if *action == Action::IsRunning {
                debug!(
                    instance, role, action = act, job, epoch, transition,
                    "{act} {outcome} after {took:.1} ms"
                );
            } else if fine {
                info!(
                    instance, role, action = act, job, epoch, transition,
                    "{act} {outcome} after {took:.1} ms (spawned after {spawn:.1} ms)"
                );
            } else {
                warn!(
                    instance, role, action = act, job, epoch, transition,
                    "{act} {outcome} after {took:.1} ms"
                );
            }
        }
        _ => {}
    }
}

fn alive(event: &Event) {
    let Event::Alive { instance, role, since, knowledge, transitions, last_job, at } = event else {
        return;
    };
    let last = last_job.as_ref().map_or_else(
        || "no job yet".to_owned(),
        |job| {
            let ago = at.since(job.ended).as_secs();
            format!("last job: {} {}, {ago} s ago", job.action, job.outcome)
        },
    );
    info!(
        instance = %instance,
        role = role.as_str(),
        "alive: {role} for {} s, the service is {knowledge}; {transitions} transitions; {last}",
        at.since(*since).as_secs(),
    );
}

fn whole(event: &Event) {
    match event {
        Event::Overrun { total } => warn!(
            "the kernel dropped notifications ({total} times so far); addresses are read anew"
        ),
        Event::Subscribed => debug!("the kernel's notifications are followed"),
        Event::SubscriptionLost { error } => {
            error!("the kernel's notifications are lost, addresses are polled: {error}");
        }
        Event::Synchronized { addresses } => {
            info!("addresses are known and followed; {addresses} of those in the file are here");
        }
        Event::DumpFailed { error, failures } => {
            warn!("addresses could not be read ({failures} times in a row): {error}");
        }
        Event::AuditRepaired { differences } => {
            error!("the audit found {differences} changes that no notification had told");
        }
        Event::Reloaded { added, changed, removed, unchanged } => info!(
            "configuration reloaded: {} added, {} changed, {} removed, {unchanged} unchanged",
            added.len(),
            changed.len(),
            removed.len(),
        ),
        _ => {}
    }
}

fn millis(span: std::time::Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
