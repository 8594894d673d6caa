//! Which links have to be told of: as few as can be, and none too few.

use std::collections::BTreeSet;

use super::*;
use crate::machine::kernel::{Link, LinkIndex, Links};

const NIC: &str = "eth0";

fn on(nic: Option<&str>) -> InstanceSettings {
    let mut one = instance(0, false);
    one.role.nic = nic.map(String::from);
    one
}

fn link(index: LinkIndex, name: &str) -> Link {
    Link {
        index,
        name: name.into(),
        altnames: Vec::new(),
    }
}

fn links(all: &[(LinkIndex, &str)]) -> Input {
    Input::Dumped(KernelDump {
        links: all.iter().map(|(index, name)| link(*index, name)).collect(),
        addresses: Vec::new(),
    })
}

fn told(index: LinkIndex, name: &str) -> Input {
    Input::Kernel(vec![KernelEvent::LinkPresent(link(index, name))])
}

fn named(names: &[&str], indexes: &[LinkIndex]) -> Links {
    Links::Named {
        names: names.iter().map(ToString::to_string).collect(),
        indexes: indexes.iter().copied().collect::<BTreeSet<_>>(),
    }
}

/// What is to be told of links, where that changes, and whether a dump is asked for after that.
fn asked(outputs: &[Output]) -> (Option<Links>, bool) {
    let (mut links, mut dump) = (None, false);
    for output in outputs {
        if let Output::Watch(watched) = output {
            assert!(!dump, "the dump would begin too early: {outputs:?}");
            links = Some(watched.links.clone());
        }
        dump |= *output == Output::Dump;
    }
    (links, dump)
}

/// A machine that watches `NIC`, which is link 2.
fn narrowed() -> Machine {
    let mut machine = Machine::new(&settings(1, [on(Some(NIC))]), &RestoredMap::new(), 7, at(0));
    assert_eq!(asked(&outputs(&mut machine)), (Some(Links::All), false));
    assert_eq!(
        asked(&give(&mut machine, Input::Subscribed, at(0))),
        (None, true)
    );
    let first = give(&mut machine, links(&[(1, "lo"), (2, NIC)]), at(1));
    // All was told until now, so nothing was missed.
    assert_eq!(asked(&first), (Some(named(&[NIC], &[2])), false));
    machine
}

#[test]
fn a_new_bearer_of_a_watched_name_is_looked_at_once_it_is_let_through() {
    let mut machine = narrowed();
    assert_eq!(
        asked(&give(&mut machine, told(2, NIC), at(2))),
        (None, false)
    );
    // Of what link 3 did since, nothing was told: a dump.
    let wider = give(&mut machine, told(3, NIC), at(3));
    assert_eq!(asked(&wider), (Some(named(&[NIC], &[2, 3])), true));
    // It has lost the name again, unheard.
    let dumped = give(&mut machine, links(&[(1, "lo"), (3, "eth1")]), at(4));
    assert_eq!(asked(&dumped), (Some(named(&[NIC], &[])), false));
}

#[test]
fn who_loses_a_watched_name_is_let_go() {
    let mut machine = narrowed();
    let renamed = give(&mut machine, told(2, "eth9"), at(2));
    assert_eq!(asked(&renamed), (Some(named(&[NIC], &[])), false));
    let back = give(&mut machine, told(2, NIC), at(3));
    assert_eq!(asked(&back), (Some(named(&[NIC], &[2])), true));
}

#[test]
fn a_label_watches_the_link_before_the_colon_too() {
    let labelled = settings(1, [on(Some("eth0:vip"))]);
    let mut machine = Machine::new(&labelled, &RestoredMap::new(), 7, at(0));
    outputs(&mut machine);
    give(&mut machine, Input::Subscribed, at(0));
    let first = give(&mut machine, links(&[(2, NIC)]), at(1));
    assert_eq!(asked(&first).0, Some(named(&[NIC, "eth0:vip"], &[2])));
}

#[test]
fn an_instance_without_a_nic_wants_every_link() {
    let any = settings(1, [on(None)]);
    let mut machine = Machine::new(&any, &RestoredMap::new(), 7, at(0));
    outputs(&mut machine);
    give(&mut machine, Input::Subscribed, at(0));
    let first = give(&mut machine, links(&[(2, NIC)]), at(1));
    assert_eq!(asked(&first), (None, false));
}

#[test]
fn other_names_are_asked_for_with_all_until_the_dump() {
    let mut machine = narrowed();
    let other = Input::Reload(settings(1, [on(Some("eth1"))]));
    assert_eq!(
        asked(&give(&mut machine, other, at(2))),
        (Some(Links::All), true)
    );
    let dumped = give(&mut machine, links(&[(2, NIC), (5, "eth1")]), at(3));
    assert_eq!(asked(&dumped), (Some(named(&["eth1"], &[5])), false));
}

#[test]
fn a_new_subscription_begins_with_all() {
    let mut machine = narrowed();
    let lost = Input::SubscriptionLost {
        error: "gone".into(),
    };
    assert_eq!(
        asked(&give(&mut machine, lost, at(2))),
        (Some(Links::All), true)
    );
    // A dump alone says nothing of what comes after it.
    assert_eq!(
        asked(&give(&mut machine, links(&[(2, NIC)]), at(3))),
        (None, false)
    );
    assert_eq!(
        asked(&give(&mut machine, Input::Subscribed, at(100))),
        (None, true)
    );
    let dumped = give(&mut machine, links(&[(2, NIC)]), at(101));
    assert_eq!(asked(&dumped), (Some(named(&[NIC], &[2])), false));
}

#[test]
fn links_of_which_nothing_is_told_are_no_fault_that_an_audit_finds() {
    let mut machine = narrowed();
    give(&mut machine, Input::Audit(None), at(2));
    assert!(!repaired(&give(
        &mut machine,
        links(&[(2, NIC), (7, "tap0")]),
        at(3)
    )));
    give(&mut machine, Input::Audit(None), at(4));
    assert!(repaired(&give(&mut machine, links(&[(7, NIC)]), at(5))));
}

/// A new life that has been told of an interface, and looks at a system without it.
fn begins_without(seen: Option<&str>) -> (Machine, Vec<Output>) {
    let restored = Restored {
        knowledge: Some(Knowledge::Running),
        nic_seen: seen.map(String::from),
        ..Restored::default()
    };
    let restored = RestoredMap::from([(name(0), restored)]);
    let mut machine = Machine::new(&settings(1, [on(Some(NIC))]), &restored, 7, at(0));
    outputs(&mut machine);
    give(&mut machine, Input::Subscribed, at(0));
    let outputs = give(&mut machine, links(&[(1, "lo")]), at(0));
    (machine, outputs)
}

#[test]
fn an_interface_that_went_between_two_lives_is_missed_and_a_misspelt_one_is_not() {
    let role = |(machine, _): &(Machine, _)| machine.view(InstanceId(0), at(0)).unwrap().role;
    let stops = |(_, outputs): &(_, Vec<Output>)| {
        let is_stop =
            |one: &Output| matches!(one, Output::Start(job) if job.action == Action::Stop);
        outputs.iter().any(is_stop)
    };
    let gone = begins_without(Some(NIC));
    assert_eq!((role(&gone), stops(&gone)), (Role::Backup, true));
    for never in [None, Some("eth9")] {
        let misspelt = begins_without(never);
        assert_eq!((role(&misspelt), stops(&misspelt)), (Role::Unknown, false));
    }
    // It goes on from a recording as it went on in life.
    let (machine, _) = gone;
    let written = serde_json::to_string(&machine.checkpoint(Clone::clone)).unwrap();
    let mut resumed = Machine::resume(serde_json::from_str(&written).unwrap());
    give(&mut resumed, told(3, "eth1"), at(1));
    assert_eq!(
        resumed.view(InstanceId(0), at(1)).unwrap().role,
        Role::Backup
    );
}

#[test]
fn the_next_life_is_told_once_of_each_interface_that_was_seen() {
    let told_of = |outputs: &[Output]| {
        let nics = outputs.iter().filter_map(|one| {
            let Output::RememberNic { nic, .. } = one else {
                return None;
            };
            Some(nic.clone())
        });
        nics.collect::<Vec<_>>()
    };
    let (mut machine, first) = begins_without(Some("eth9"));
    assert!(told_of(&first).is_empty());
    let seen = give(&mut machine, told(2, NIC), at(1));
    assert_eq!(told_of(&seen), [NIC]);
    for input in [Input::Kernel(vec![KernelEvent::LinkGone(2)]), told(4, NIC)] {
        assert!(told_of(&give(&mut machine, input, at(2))).is_empty());
    }
    // Another name is another interface, and the old one is to be seen anew.
    for (at_s, nic) in [(3, "lo"), (4, NIC)] {
        let settings = settings(1, [on(Some(nic))]);
        give(&mut machine, Input::Reload(settings), at(at_s));
        // The first may be one that was asked for before.
        let mut told = Vec::new();
        for _ in 0..2 {
            let dump = links(&[(1, "lo"), (4, NIC)]);
            told.extend(told_of(&give(&mut machine, dump, at(at_s))));
        }
        assert_eq!(told, [nic]);
    }
}
