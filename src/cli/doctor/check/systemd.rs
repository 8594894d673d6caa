//! systemd: whether it starts the daemon at boot, and nothing of what keepstart starts. Pure.

use std::collections::BTreeSet;

use super::super::facts::{Facts, KEEPALIVED, Unit};
use super::super::finding::Checked;
use super::row;

/// The unit of the daemon.
pub(super) fn own_unit(facts: &Facts) -> Checked {
    let Some(systemd) = &facts.systemd else {
        return without();
    };
    let units = match &systemd.units {
        Ok(units) => units,
        Err(why) => return Checked::unseen(why),
    };
    let Some(name) = &systemd.own else {
        let mut checked = Checked::of("the system runs systemd");
        checked
            .may_hurt(
                "no unit runs the daemon with this file, as far as its place tells: after a crash or a boot nobody \
                 starts it",
            )
            .at(&facts.config.file.display())
            .mend("systemctl cat keepstart@.service   # runs /etc/keepstart/NAME.yaml");
        return checked;
    };
    let mut checked = Checked::of(format!("the unit {name} of the daemon"));
    match units.get(name).filter(|unit| unit.load != "not-found") {
        None => checked
            .may_hurt(format!(
                "there is no unit {name}: after a crash or a boot nobody starts the daemon"
            ))
            .mend(format!("systemctl status {name}")),
        Some(unit) => {
            // One that has nothing to do here moves no address: it need be neither enabled nor ordered.
            let keepalived = units.get(KEEPALIVED).filter(|_| facts.keepalived.is_used());
            look_at_own(name, unit, keepalived, &mut checked);
        }
    }
    checked
}

fn look_at_own(name: &str, unit: &Unit, keepalived: Option<&Unit>, checked: &mut Checked) {
    if unit.load == "masked" {
        checked
            .hurts(format!(
                "the unit {name} is masked: systemd does not start the daemon"
            ))
            .mend(format!(
                "systemctl unmask {name} && systemctl enable --now {name}"
            ));
        return;
    }
    if !unit.file.starts_with("enabled") {
        checked
            .hurts(format!(
                "the unit {name} is {}: after the next boot nothing follows the address",
                unit.file
            ))
            .mend(format!("systemctl enable {name}"));
    }
    if unit.active == "failed" {
        checked
            .hurts(format!("the unit {name} has failed"))
            .mend(format!("journalctl -xeu {name}"));
    }
    if unit.kill_mode != "process" {
        checked
            .hurts(format!(
                "the unit {name} has KillMode={}: whenever the daemon is stopped or restarted, systemd kills the \
                 services that its scripts have left running",
                unit.kill_mode
            ))
            .mend(format!(
                "mkdir -p /etc/systemd/system/{name}.d && printf '[Service]\\nKillMode=process\\n' > \
                 /etc/systemd/system/{name}.d/kill.conf && systemctl daemon-reload"
            ));
    }
    let has_keepalived = keepalived.is_some_and(|it| it.load == "loaded");
    if has_keepalived && !unit.before.iter().any(|it| it == KEEPALIVED) {
        checked
            .may_hurt(format!(
                "the unit {name} is not ordered before {KEEPALIVED}: at boot the address can come, and at shutdown \
                 go, while no daemon is there"
            ))
            .mend(format!(
                "mkdir -p /etc/systemd/system/{name}.d && printf '[Unit]\\nBefore={KEEPALIVED}\\n' > \
                 /etc/systemd/system/{name}.d/order.conf && systemctl daemon-reload"
            ));
    }
    if has_keepalived && keepalived.is_some_and(|it| !it.file.starts_with("enabled")) {
        checked
            .may_hurt(format!(
                "the unit {KEEPALIVED} is not enabled: after the next boot this node never becomes MASTER"
            ))
            .mend(format!("systemctl enable {KEEPALIVED}"));
    }
}

/// Whether systemd starts at boot what only the MASTER may run.
pub(super) fn at_boot(facts: &Facts) -> Checked {
    let Some(systemd) = &facts.systemd else {
        return Checked::of("no systemd, so no units that it starts at boot");
    };
    if facts.started().next().is_none() {
        return Checked::of("no start action names a systemd unit, as far as can be read in them");
    }
    let units = match &systemd.units {
        Ok(units) => units,
        Err(why) => return Checked::unseen(why),
    };
    let names: BTreeSet<_> = facts.started().map(|unit| &unit.name).collect();
    let names = row(names);
    let mut checked = Checked::of(format!("the units that start actions start: {names}"));
    for used in facts.started() {
        let (name, instance) = (&used.name, &used.instance);
        match units.get(name) {
            None => checked.cannot_see(format!("systemd has said nothing of {name}")),
            Some(unit) if unit.load == "not-found" => checked
                .hurts(format!("the start of instance {instance} starts {name}, but there is no such unit"))
                .mend(format!("systemctl status {name}")),
            Some(unit) if unit.load == "masked" => checked
                .hurts(format!("the start of instance {instance} starts {name}, but the unit is masked"))
                .mend(format!("systemctl unmask {name}")),
            Some(unit) if unit.file.starts_with("enabled") => checked
                .hurts(format!(
                    "{name}, which instance {instance} starts on the MASTER, is enabled at boot as well: after a \
                     boot it runs on this node whoever is MASTER"
                ))
                .mend(format!("systemctl disable {name}")),
            Some(_) => {}
        }
    }
    checked
}

/// What is said where the system was not booted with systemd.
fn without() -> Checked {
    let mut checked = Checked::of("/run/systemd/system is not there");
    checked
        .may_hurt("this system was not booted with systemd: after a crash or a boot nobody starts the daemon, \
        unless something else does")
        .mend("ps -p 1 -o comm=");
    checked
}
