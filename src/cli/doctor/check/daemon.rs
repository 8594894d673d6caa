//! The file, the daemon that runs with it, and others beside it. Pure.

use std::time::Duration;

use super::super::facts::{Daemon, Facts, OtherInstance, OtherKind, Seen};
use super::super::finding::Checked;
use super::{count, row, word};
use crate::app::rights::lacking;
use crate::machine::settings::InstanceSettings;
use crate::scheduling::Standing;

/// What is odd in the file.
pub(super) fn file(facts: &Facts) -> Checked {
    let file = facts.config.file.display();
    let instances = facts.config.settings.instances.len();
    let mut checked = Checked::of(format!(
        "{file}: no fault, {}",
        count(instances, "instance", "instances")
    ));
    for fault in &facts.warnings.list {
        let place = match fault.position {
            Some(at) => format!("{}:{}:{}", fault.file.display(), at.line, at.column),
            None => fault.file.display().to_string(),
        };
        checked
            .may_hurt(fault.message.clone())
            .at(&place)
            .mend(format!("keepstart -c {} validate", word(&file)));
    }
    if facts.warnings.more > 0 {
        checked
            .may_hurt(format!("{} more warnings", facts.warnings.more))
            .at(&file)
            .mend(format!("keepstart -c {} validate", word(&file)));
    }
    if instances == 0 {
        checked
            .note("the file has no instance: the daemon has nothing to do")
            .at(&file)
            .mend("man keepstart.yaml");
    }
    checked
}

/// Whether a daemon runs with the file, and is well.
pub(super) fn runs(facts: &Facts) -> Checked {
    let daemon = match &facts.daemon {
        Err(why) => return Checked::unseen(why),
        Ok(None) => {
            let mut checked = Checked::of("the daemon of the file");
            checked
                .hurts("no daemon runs with this file: nothing on this node follows the address")
                .at(&facts.config.file.display())
                .mend(
                    match facts
                        .systemd
                        .as_ref()
                        .and_then(|systemd| systemd.own.as_ref())
                    {
                        Some(unit) => format!("systemctl start {unit}"),
                        None => {
                            format!("keepstart -c {} start", word(&facts.config.file.display()))
                        }
                    },
                );
            return checked;
        }
        Ok(Some(daemon)) => daemon,
    };
    let pid = daemon.pid;
    let mut checked = Checked::of(format!("the daemon runs (process {pid}) and answers"));
    if daemon.stale {
        checked
            .hurts(format!(
                "the daemon (process {pid}) answers, but its reactor does not: it decides nothing"
            ))
            .mend("systemctl restart keepstart");
    }
    if let Some(error) = &daemon.deaf {
        checked
            .hurts(format!("the daemon gets no notifications of the kernel, and asks now and then instead: {error}"))
            .mend("keepstart status");
    }
    for job in &daemon.failed {
        checked
            .hurts(format!(
                "the last {} of instance {} went wrong: {}",
                job.action, job.instance, job.outcome
            ))
            .mend(format!("journalctl -x KEEPSTART_JOB={}", job.job));
    }
    match &daemon.is_in_this_network {
        Ok(true) => {}
        Ok(false) => {
            let what = "the daemon is in another network namespace than this command, so what is said here of \
            interfaces and addresses is not what it sees";
            checked
                .may_hurt(what)
                .mend(format!("nsenter --target {pid} --net keepstart doctor"));
        }
        Err(why) => checked.cannot_see(why.clone()),
    }
    checked
}

/// Whether what it does is what the file says.
pub(super) fn agrees(facts: &Facts) -> Checked {
    let Ok(Some(daemon)) = &facts.daemon else {
        return nobody(facts, "nothing is in force: no daemon runs");
    };
    let mut checked = Checked::of("the file is as the daemon has read it");
    let reload = || format!("keepstart -c {} reload", word(&facts.config.file.display()));
    let file = facts.config.file.display();
    match (&daemon.file_changed, daemon.file_read) {
        (Ok(changed), Some(read)) if *changed > read => checked
            .may_hurt(format!(
                "the file was changed after the daemon had read it, {} later: what it says now is not in force",
                span(changed.duration_since(read).unwrap_or_default())
            ))
            .at(&file)
            .mend(reload()),
        (Ok(_), Some(_)) => {}
        (Ok(_), None) => checked.cannot_see("the daemon does not say when it has read its file"),
        (Err(why), _) => checked.cannot_see(why.clone()),
    }
    let on_disk: Vec<_> = facts
        .config
        .settings
        .instances
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    let in_force: Vec<_> = daemon.instances.iter().map(String::as_str).collect();
    let missing: Vec<_> = on_disk
        .iter()
        .filter(|name| !in_force.contains(name))
        .collect();
    let extra: Vec<_> = in_force
        .iter()
        .filter(|name| !on_disk.contains(name))
        .collect();
    if !missing.is_empty() {
        checked
            .hurts(format!(
                "the daemon does not know of what is in the file: {}",
                row(missing)
            ))
            .at(&file)
            .mend(reload());
    }
    if !extra.is_empty() {
        checked
            .hurts(format!(
                "the daemon still has what is no longer in the file: {}",
                row(extra)
            ))
            .at(&file)
            .mend(reload());
    }
    checked
}

/// Whether another keepstart has a hand on the same addresses.
pub(super) fn others(facts: &Facts) -> Checked {
    let mut checked = Checked::of(match facts.others.len() {
        0 => "no other process in this network namespace calls itself keepstart".to_owned(),
        number => format!(
            "{} beside the daemon of this file",
            count(number, "keepstart", "keepstarts")
        ),
    });
    for other in &facts.others {
        let pid = other.pid;
        match &other.kind {
            OtherKind::Daemon { file, instances } => {
                for (own, theirs, vips) in shared(facts, instances) {
                    let sentence = format!(
                        "another keepstart (process {pid}, with {}) follows {vips} as well: its instance {} and \
                         instance {} of this file act on one address, and neither waits for the other",
                        file.display(),
                        theirs.name,
                        own.name
                    );
                    let remedy = if own.start.run.to_string() == theirs.start {
                        checked.hurts(format!("{sentence}, with the same start"))
                    } else {
                        checked.may_hurt(sentence)
                    };
                    remedy.at(&file.display()).mend(format!("keepstart -c {} stop", word(&file.display())));
                }
            }
            OtherKind::Foreign => checked
                .may_hurt(format!(
                    "process {pid} calls itself keepstart too, but is not a daemon of this program ({}): if it \
                     follows an address of this file, two hands are on one service",
                    other.command_line
                ))
                .mend(format!("ps -fp {pid}")),
            OtherKind::Unseen(why) => checked.cannot_see(format!("process {pid} ({}): {why}", other.command_line)),
        }
    }
    checked
}

/// Instances of this file and of another that have an address in common.
fn shared<'a>(
    facts: &'a Facts,
    theirs: &'a [OtherInstance],
) -> impl Iterator<Item = (&'a InstanceSettings, &'a OtherInstance, String)> {
    let own = facts.config.settings.instances.iter();
    let pairs = own.flat_map(move |own| theirs.iter().map(move |theirs| (&**own, theirs)));
    pairs.filter_map(|(own, theirs)| {
        let common = own
            .role
            .addresses
            .iter()
            .filter(|it| theirs.addresses.contains(it));
        let common = row(common);
        (!common.is_empty()).then_some((own, theirs, common))
    })
}

/// The daemon's own needs, beside those of the instances: sockets, locks, the log.
const FILES_OF_ITS_OWN: u64 = 64;

/// Whether it may open as many files as its instances can need.
pub(super) fn limits(facts: &Facts) -> Checked {
    let Ok(Some(daemon)) = &facts.daemon else {
        return nobody(facts, "no daemon runs whose limits could be too low");
    };
    let open_files = match &daemon.open_files {
        Ok(open_files) => *open_files,
        Err(why) => return Checked::unseen(why),
    };
    let instances = facts.config.settings.instances.len() as u64;
    let needed = 2 * instances + FILES_OF_ITS_OWN;
    let mut checked = Checked::of(format!(
        "the daemon may have {open_files} files open; its instances need some {needed}"
    ));
    if open_files < needed {
        checked
            .may_hurt(format!(
                "the daemon may have only {open_files} files open, but with {} it needs some {needed}: scripts \
                 would not be started, or their output not be logged",
                count(facts.config.settings.instances.len(), "instance", "instances")
            ))
            .at(&format!("/proc/{}/limits", daemon.pid))
            .mend(raise(needed));
    }
    checked
}

/// Whether it can end and find again the actions that run as other users, and be as quick as the file wants.
pub(super) fn rights(facts: &Facts) -> Checked {
    let Ok(Some(daemon)) = &facts.daemon else {
        return nobody(facts, "no daemon runs whose rights could be too few");
    };
    let (user, capabilities) = match (&daemon.user, &daemon.capabilities) {
        (Ok(user), Ok(capabilities)) => (*user, *capabilities),
        (Err(why), _) | (_, Err(why)) => return Checked::unseen(why),
    };
    let mut checked =
        Checked::of("the daemon can end and find again what the file has run as other users");
    if let Some(trouble) = daemon.realtime.as_ref().and_then(Standing::trouble) {
        checked
            .may_hurt(trouble)
            .at(&format!("/proc/{}/status", daemon.pid))
            .mend("systemctl show keepstart --property=CapabilityBoundingSet,RestrictRealtime,LimitRTPRIO");
    }
    if let Some(sentence) = lacking(&facts.config.settings, user, capabilities) {
        checked
            .may_hurt(sentence)
            .at(&format!("/proc/{}/status", daemon.pid))
            .mend("systemctl show keepstart --property=CapabilityBoundingSet");
    }
    checked
}

fn raise(needed: u64) -> String {
    format!(
        "mkdir -p /etc/systemd/system/keepstart.service.d && printf '[Service]\\nLimitNOFILE={}\\n' > \
         /etc/systemd/system/keepstart.service.d/files.conf && systemctl daemon-reload && systemctl restart \
         keepstart",
        (2 * needed).next_power_of_two()
    )
}

/// What a check says that needs a daemon where none can be asked.
fn nobody(facts: &Facts, none: &str) -> Checked {
    let daemon: &Seen<Option<Daemon>> = &facts.daemon;
    match daemon {
        Err(why) => Checked::unseen(why),
        Ok(_) => Checked::of(none),
    }
}

/// A span for people.
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        0 => "less than a second".to_owned(),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
