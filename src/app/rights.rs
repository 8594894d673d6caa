//! Whether the daemon can do with processes of other users what it has to: signal them, and look into them. Asked when
//! it starts and when it has read its file anew, for the log, and by `doctor`; a script never waits for it.

use rustix::process::geteuid;

use crate::capabilities::Capabilities;
use crate::machine::job::{Action, Means};
use crate::machine::process::User;
use crate::machine::settings::{InstanceName, Settings};

const ACTIONS: [Action; 3] = [Action::Start, Action::Stop, Action::IsRunning];

/// Warns where this process cannot.
pub(super) fn warn(settings: &Settings) {
    let daemon = geteuid().as_raw();
    if of_others(settings, daemon).next().is_none() {
        return;
    }
    match Capabilities::own() {
        Ok(own) => {
            if let Some(sentence) = lacking(settings, daemon, own) {
                tracing::warn!("{sentence}");
            }
        }
        Err(error) => {
            tracing::warn!("whether actions of other users can be ended is not known: {error}");
        }
    }
}

/// What a daemon of this user and with these capabilities cannot do, in a sentence; `None`: it can do all that it has
/// to.
pub(crate) fn lacking(
    settings: &Settings,
    daemon: u32,
    capabilities: Capabilities,
) -> Option<String> {
    const END: &str = "it cannot end such an action at its timeout, nor when the role is lost";
    const FIND: &str = "after a crash it may run such an action beside the one that still runs";
    let lacks = [
        (capabilities.kill, "CAP_KILL", END),
        (capabilities.sys_ptrace, "CAP_SYS_PTRACE", FIND),
    ];
    let lacks: Vec<_> = lacks.into_iter().filter(|(has, ..)| !has).collect();
    if lacks.is_empty() {
        return None;
    }
    let names: Vec<_> = lacks.iter().map(|(_, name, _)| *name).collect();
    let so: Vec<_> = lacks.iter().map(|(.., so)| *so).collect();
    let mut others = of_others(settings, daemon);
    let (instance, action, user) = others.next()?;
    let more = match others.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!(
        "the {action} of instance {instance}{more} runs as user {}, and the daemon lacks {}: {}",
        user.written,
        names.join(" and "),
        so.join(", and "),
    ))
}

/// The actions whose processes are another user's than the daemon's, with that user.
fn of_others(
    settings: &Settings,
    daemon: u32,
) -> impl Iterator<Item = (&InstanceName, Action, &User)> {
    let instances = settings.instances.iter();
    let all = instances.flat_map(|instance| ACTIONS.map(|action| (instance, action)));
    all.filter_map(move |(instance, action)| {
        let command = instance.command(action)?;
        let user = match command.run.means() {
            Means::Process => command.process.user.as_ref()?,
            Means::Systemd => return None,
        };
        (user.uid != daemon).then_some((&instance.name, action, user))
    })
}

#[cfg(test)]
mod tests;
