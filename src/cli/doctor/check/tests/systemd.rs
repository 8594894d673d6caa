//! What systemd does with the services and the daemon.

use super::*;

#[test]
fn two_hands_on_one_service() {
    let hook = |program: &str, resolved: &str, units: &[&str]| Hook {
        owner: "vrrp_instance V".into(),
        keyword: "notify_master".into(),
        program: program.into(),
        resolved: Some(resolved.into()),
        units: units.iter().map(ToString::to_string).collect(),
        place: place("/k.conf", 9),
    };
    let mend = "# sed -i.bak '9s/^/#/' /k.conf && systemctl reload keepalived";
    let same = hook("/link", "/x/start", &[]);
    one(
        |facts| conf(facts).hooks.push(same),
        &[
            "!notify: keepalived runs /link in notify_master of vrrp_instance V as well",
            "two hands on one service",
            mend,
        ],
    );
    let used = UsedUnit {
        name: "web.service".into(),
        instance: web(),
        action: Action::Start,
    };
    let starts = hook("/y", "/y", &["web.service"]);
    one(
        |facts| {
            facts.units.push(used);
            conf(facts).hooks.push(starts);
        },
        &[
            "!notify: keepalived runs /y in notify_master of vrrp_instance V, which has a hand on web.service",
            mend,
        ],
    );
    let other = hook("/mail", "/mail", &[]);
    one(
        |facts| conf(facts).hooks.push(other),
        &[
            "notify: keepalived runs /mail in notify_master",
            "no action of the file runs it",
        ],
    );
}

#[test]
fn what_systemd_does() {
    fn units(facts: &mut Facts) -> &mut BTreeMap<String, Unit> {
        facts.systemd.as_mut().unwrap().units.as_mut().unwrap()
    }
    fn own(facts: &mut Facts) -> &mut Unit {
        units(facts).get_mut("keepstart.service").unwrap()
    }
    one(
        |facts| own(facts).file = "disabled".into(),
        &[
            "!systemd: the unit keepstart.service is disabled",
            "# systemctl enable keepstart.service",
        ],
    );
    one(
        |facts| own(facts).load = "masked".into(),
        &["!systemd: the unit keepstart.service is masked"],
    );
    one(
        |facts| own(facts).active = "failed".into(),
        &["!systemd: the unit keepstart.service has failed"],
    );
    one(
        |facts| own(facts).kill_mode = "control-group".into(),
        &["!systemd: the unit keepstart.service has KillMode=control-group"],
    );
    one(
        |facts| own(facts).before.clear(),
        &["?systemd: the unit keepstart.service is not ordered before keepalived.service"],
    );
    one(
        |facts| units(facts).get_mut("keepalived.service").unwrap().file = "disabled".into(),
        &["?systemd: the unit keepalived.service is not enabled"],
    );
    // One that is installed, and has nothing to do here, need not be.
    one(
        |facts| {
            units(facts).get_mut("keepalived.service").unwrap().file = "disabled".into();
            facts.keepalived.processes.clear();
            facts.keepalived.conf = Ok(None);
        },
        &["keepalived: no keepalived runs on this node"],
    );
    one(
        |facts| drop(units(facts).remove("keepstart.service")),
        &["?systemd: there is no unit keepstart.service"],
    );
    one(
        |facts| facts.systemd.as_mut().unwrap().own = None,
        &["?systemd: no unit runs the daemon with this file"],
    );
    one(
        |facts| facts.systemd.as_mut().unwrap().units = Err("mute".into()),
        &["unseen systemd: mute"],
    );
    one(
        |facts| facts.systemd = None,
        &["?systemd: this system was not booted with systemd"],
    );
    let used = UsedUnit {
        name: "web.service".into(),
        instance: web(),
        action: Action::Start,
    };
    let with = |facts: &mut Facts, change: fn(&mut Unit)| {
        facts.units.push(used.clone());
        change(units(facts).get_mut("web.service").unwrap());
    };
    one(
        |facts| with(facts, |unit| unit.file = "enabled".into()),
        &[
            "!boot: web.service, which instance web starts on the MASTER, is enabled at boot",
            "# systemctl disable web.service",
        ],
    );
    one(
        |facts| with(facts, |unit| unit.load = "not-found".into()),
        &["!boot: the start of instance web starts web.service, but there is no such unit"],
    );
    one(
        |facts| with(facts, |unit| unit.load = "masked".into()),
        &["!boot: ", "masked", "systemctl unmask web.service"],
    );
}
