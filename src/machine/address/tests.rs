//! Tests of the table: the fold, the replacement by a dump, and the level that a rule makes of it.

use std::net::IpAddr;

use super::{AddressTable, Touched};
use crate::machine::job::Role;
use crate::machine::kernel::{
    Address, AddressKey, KernelDump, KernelEvent, Link, LinkIndex, ShortName,
};
use crate::machine::reason::Cause;
use crate::machine::settings::{NicNeverSeen, Quorum, VipRule};

const VIP: &str = "10.0.0.1";
const OTHER: &str = "fd00::1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn link(index: LinkIndex, name: &str) -> Link {
    Link {
        index,
        name: name.into(),
        altnames: vec![format!("{name}-alt")],
    }
}

fn address(index: LinkIndex, text: &str) -> Address {
    let key = AddressKey {
        link: index,
        local: ip(text),
        prefix_length: 32,
        peer: None,
    };
    Address {
        key,
        label: None,
        usable: true,
    }
}

fn labelled(index: LinkIndex, text: &str, label: &str) -> Address {
    Address {
        label: Some(ShortName::new(label).unwrap()),
        ..address(index, text)
    }
}

fn rule(nic: Option<&str>) -> VipRule {
    VipRule {
        nic: nic.map(Into::into),
        addresses: vec![ip(VIP)],
        quorum: Quorum::All,
        nic_never_seen: NicNeverSeen::Unknown,
    }
}

fn both(quorum: Quorum) -> VipRule {
    VipRule {
        addresses: vec![ip(VIP), ip(OTHER)],
        quorum,
        ..rule(None)
    }
}

fn table(links: &[Link], addresses: &[Address]) -> AddressTable {
    let mut table = AddressTable::default();
    table.replace(&dump(links, addresses), &[], |_| true);
    table
}

fn dump(links: &[Link], addresses: &[Address]) -> KernelDump {
    KernelDump {
        links: links.to_vec(),
        addresses: addresses.to_vec(),
    }
}

fn apply(table: &mut AddressTable, event: &KernelEvent) -> Touched {
    let mut touched = Touched::default();
    table.apply(event, &mut touched);
    touched
}

fn level(table: &AddressTable, rule: &VipRule) -> Role {
    table.level(rule, &mut true).0
}

fn cause(table: &AddressTable, rule: &VipRule) -> Cause {
    table.level(rule, &mut true).1
}

fn names(touched: &Touched) -> Vec<&str> {
    touched.names.iter().map(String::as_str).collect()
}

#[test]
fn an_address_comes_and_goes() {
    let mut table = table(&[link(1, "eth0")], &[]);
    let vip = address(1, VIP);
    assert_eq!(
        cause(&table, &rule(None)),
        Cause::VipAbsent { address: ip(VIP) }
    );
    let touched = apply(&mut table, &KernelEvent::AddressPresent(vip));
    assert!(touched.addresses.contains(&ip(VIP)));
    let eth0 = ShortName::new("eth0").unwrap();
    assert_eq!(
        cause(&table, &rule(None)),
        Cause::VipPresent {
            address: ip(VIP),
            link: eth0
        }
    );
    assert_eq!(table.addresses(), 1);
    apply(&mut table, &KernelEvent::AddressGone(vip.key));
    assert_eq!(level(&table, &rule(None)), Role::Backup);
    assert_eq!(table.addresses(), 0);
}

#[test]
fn what_is_told_again_touches_nobody() {
    let mut table = table(&[link(1, "eth0")], &[address(1, VIP)]);
    let same = Touched::default();
    assert_eq!(
        apply(&mut table, &KernelEvent::AddressPresent(address(1, VIP))),
        same
    );
    assert_eq!(
        apply(&mut table, &KernelEvent::LinkPresent(link(1, "eth0"))),
        same
    );
    assert_eq!(apply(&mut table, &KernelEvent::LinkGone(9)), same);
    assert_eq!(
        apply(&mut table, &KernelEvent::AddressGone(address(2, VIP).key)),
        same
    );
    assert_eq!(level(&table, &rule(None)), Role::Master);
}

#[test]
fn an_address_on_two_links_is_there_until_both_are_gone() {
    let mut table = table(
        &[link(1, "eth0"), link(2, "eth1")],
        &[address(1, VIP), address(2, VIP)],
    );
    apply(&mut table, &KernelEvent::AddressGone(address(1, VIP).key));
    assert_eq!(level(&table, &rule(None)), Role::Master);
    assert_eq!(level(&table, &rule(Some("eth1"))), Role::Master);
    assert_eq!(level(&table, &rule(Some("eth0"))), Role::Backup);
    apply(&mut table, &KernelEvent::AddressGone(address(2, VIP).key));
    assert_eq!(level(&table, &rule(None)), Role::Backup);
}

#[test]
fn an_address_with_two_prefixes_or_peers_is_there_until_all_are_gone() {
    let mut wide = address(1, VIP);
    wide.key.prefix_length = 24;
    let mut pointed = address(1, VIP);
    pointed.key.peer = Some(ip("10.0.0.9"));
    let all = [address(1, VIP), wide, pointed];
    let mut table = table(&[link(1, "eth0")], &all);
    for (gone, left) in all.iter().zip([Role::Master, Role::Master, Role::Backup]) {
        apply(&mut table, &KernelEvent::AddressGone(gone.key));
        assert_eq!(level(&table, &rule(None)), left);
    }
}

#[test]
fn a_link_takes_its_addresses_with_it() {
    let mut table = table(&[link(1, "eth0")], &[address(1, VIP), address(1, OTHER)]);
    let touched = apply(&mut table, &KernelEvent::LinkGone(1));
    assert_eq!(touched.addresses, [ip(VIP), ip(OTHER)].into());
    assert_eq!(names(&touched), ["eth0", "eth0-alt"]);
    assert_eq!(table.addresses(), 0);
    // The VMAC comes back with another index.
    apply(&mut table, &KernelEvent::LinkPresent(link(7, "eth0")));
    apply(&mut table, &KernelEvent::AddressPresent(address(7, VIP)));
    assert_eq!(level(&table, &rule(Some("eth0"))), Role::Master);
}

#[test]
fn a_link_that_is_unknown_takes_its_addresses_with_it_too() {
    let mut table = AddressTable::default();
    let since = [
        KernelEvent::AddressPresent(address(5, VIP)),
        KernelEvent::LinkGone(5),
    ];
    table.replace(&dump(&[link(1, "eth0")], &[]), &since, |_| true);
    assert_eq!(table.addresses(), 0);
    assert_eq!(level(&table, &rule(None)), Role::Backup);
}

#[test]
fn a_rename_moves_the_role_and_touches_both_names() {
    let mut table = table(&[link(1, "eth0")], &[address(1, VIP)]);
    let mut renamed = link(1, "eth0");
    renamed.name = "vrrp0".into();
    let touched = apply(&mut table, &KernelEvent::LinkPresent(renamed));
    assert_eq!(names(&touched), ["eth0", "eth0-alt", "vrrp0"]);
    assert_eq!(level(&table, &rule(Some("eth0"))), Role::Backup);
    assert_eq!(
        cause(&table, &rule(Some("eth0"))),
        Cause::NicAbsent { nic: "eth0".into() }
    );
    assert_eq!(level(&table, &rule(Some("vrrp0"))), Role::Master);
    assert_eq!(level(&table, &rule(Some("eth0-alt"))), Role::Master);
}

#[test]
fn a_rename_that_only_a_dump_shows_touches_both_names_once() {
    let mut table = table(&[link(1, "eth0")], &[]);
    let mut renamed = link(1, "eth0");
    renamed.name = "vrrp0".into();
    let touched = table.replace(&dump(&[renamed], &[]), &[], |_| true);
    assert_eq!(names(&touched), ["eth0", "eth0-alt", "vrrp0"]);
    assert_eq!(touched.differences, 1);
}

#[test]
fn two_links_may_bear_a_name_for_a_moment() {
    let mut table = table(&[link(1, "eth0")], &[]);
    apply(&mut table, &KernelEvent::LinkPresent(link(2, "eth0")));
    apply(&mut table, &KernelEvent::LinkGone(1));
    assert_eq!(
        cause(&table, &rule(Some("eth0"))),
        Cause::VipAbsent { address: ip(VIP) }
    );
}

#[test]
fn a_label_names_the_address_and_its_link() {
    let vip = labelled(1, VIP, "eth0:vip");
    let mut table = table(&[link(1, "eth0")], &[vip]);
    let wanted = rule(Some("eth0:vip"));
    assert_eq!(level(&table, &wanted), Role::Master);
    assert_eq!(level(&table, &rule(Some("eth0"))), Role::Master);
    assert_eq!(level(&table, &rule(Some("eth0:web"))), Role::Backup);
    apply(&mut table, &KernelEvent::AddressPresent(address(1, VIP)));
    let elsewhere = Cause::VipElsewhere {
        address: ip(VIP),
        nic: "eth0:vip".into(),
    };
    assert_eq!(cause(&table, &wanted), elsewhere);
    apply(&mut table, &KernelEvent::LinkGone(1));
    assert_eq!(
        cause(&table, &wanted),
        Cause::NicAbsent {
            nic: "eth0:vip".into()
        }
    );
}

#[test]
fn a_nic_that_was_never_seen_is_unknown_or_backup() {
    let mut table = table(&[], &[]);
    let mut wanted = rule(Some("vrrp0"));
    let mut seen = false;
    let nic = || "vrrp0".to_owned();
    let never = (Role::Unknown, Cause::NicNeverSeen { nic: nic() });
    assert_eq!(table.level(&wanted, &mut seen), never);
    wanted.nic_never_seen = NicNeverSeen::Backup;
    assert_eq!(
        table.level(&wanted, &mut seen),
        (Role::Backup, Cause::NicAbsent { nic: nic() })
    );
    wanted.nic_never_seen = NicNeverSeen::Unknown;
    assert!(!seen);
    apply(&mut table, &KernelEvent::LinkPresent(link(3, "vrrp0")));
    assert_eq!(table.level(&wanted, &mut seen).0, Role::Backup);
    assert!(seen);
    apply(&mut table, &KernelEvent::LinkGone(3));
    let gone = (Role::Backup, Cause::NicAbsent { nic: nic() });
    assert_eq!(table.level(&wanted, &mut seen), gone);
    apply(&mut table, &KernelEvent::LinkPresent(link(4, "vrrp0")));
    apply(&mut table, &KernelEvent::AddressPresent(address(4, VIP)));
    assert_eq!(table.level(&wanted, &mut seen).0, Role::Master);
}

#[test]
fn any_needs_one_address_and_all_needs_each() {
    let mut table = table(&[link(1, "eth0")], &[]);
    assert_eq!(level(&table, &both(Quorum::Any)), Role::Backup);
    apply(&mut table, &KernelEvent::AddressPresent(address(1, OTHER)));
    assert_eq!(level(&table, &both(Quorum::Any)), Role::Master);
    let missing = Cause::VipAbsent { address: ip(VIP) };
    assert_eq!(cause(&table, &both(Quorum::All)), missing);
    apply(&mut table, &KernelEvent::AddressPresent(address(1, VIP)));
    assert_eq!(level(&table, &both(Quorum::All)), Role::Master);
}

#[test]
fn where_any_would_do_none_is_blamed_alone() {
    let mut table = table(&[link(1, "eth0")], &[]);
    let any = both(Quorum::Any);
    let neither = format!("neither {VIP} nor {OTHER} is here");
    assert_eq!(cause(&table, &any).to_string(), neither);
    assert_eq!(cause(&table, &any).says(), Role::Backup);
    // The one that is nearly there says more.
    let tentative = Address {
        usable: false,
        ..address(1, OTHER)
    };
    apply(&mut table, &KernelEvent::AddressPresent(tentative));
    let nearly = Cause::VipUnusable { address: ip(OTHER) };
    assert_eq!(cause(&table, &any), nearly);
    apply(&mut table, &KernelEvent::AddressPresent(address(1, OTHER)));
    assert_eq!(
        cause(&table, &any).to_string(),
        format!("{OTHER} is on eth0")
    );
    let many = VipRule {
        addresses: (1..=9).map(|n| ip(&format!("198.51.100.{n}"))).collect(),
        ..any
    };
    let said = "none of 198.51.100.1, 198.51.100.2, 198.51.100.3 and 6 more is here";
    assert_eq!(cause(&table, &many).to_string(), said);
}

#[test]
fn a_tentative_address_is_not_there_yet() {
    let tentative = Address {
        usable: false,
        ..address(1, VIP)
    };
    let mut table = table(&[link(1, "eth0")], &[tentative]);
    assert_eq!(
        cause(&table, &rule(None)),
        Cause::VipUnusable { address: ip(VIP) }
    );
    let touched = apply(&mut table, &KernelEvent::AddressPresent(address(1, VIP)));
    assert!(touched.addresses.contains(&ip(VIP)));
    assert_eq!(level(&table, &rule(None)), Role::Master);
}

#[test]
fn a_dump_replaces_everything_and_is_followed_by_what_was_told_since() {
    let mut table = table(&[link(1, "eth0")], &[address(1, VIP)]);
    let since = [
        KernelEvent::AddressPresent(address(1, OTHER)),
        KernelEvent::AddressGone(address(1, VIP).key),
    ];
    let touched = table.replace(
        &dump(&[link(1, "eth0")], &[address(1, VIP)]),
        &since,
        |_| true,
    );
    assert_eq!(touched.addresses, [ip(VIP), ip(OTHER)].into());
    assert_eq!(touched.differences, 2);
    assert_eq!(level(&table, &rule(None)), Role::Backup);
    let same = dump(&[link(1, "eth0")], &[address(1, OTHER)]);
    assert_eq!(table.replace(&same, &[], |_| true), Touched::default());
}

#[test]
fn addresses_that_nobody_watches_any_longer_are_forgotten() {
    let mut table = table(&[link(1, "eth0")], &[address(1, VIP), address(1, OTHER)]);
    table.retain(&[ip(OTHER)].into());
    assert_eq!(table.addresses(), 1);
    assert_eq!(level(&table, &rule(None)), Role::Backup);
}

#[test]
fn an_address_without_its_link_is_shown_by_the_number() {
    let table = table(&[], &[address(4_294_967_295, VIP)]);
    let link = ShortName::new("link 4294967295").unwrap();
    assert_eq!(
        cause(&table, &rule(None)),
        Cause::VipPresent {
            address: ip(VIP),
            link
        }
    );
}

#[test]
fn what_a_dump_shows_of_links_that_do_not_matter_is_no_difference() {
    let mut table = AddressTable::default();
    let is_eth = |link: &Link| link.name.starts_with("eth");
    let before = dump(&[link(1, "eth0"), link(2, "tap0"), link(3, "tap1")], &[]);
    assert_eq!(table.replace(&before, &[], is_eth).differences, 1);
    let after = dump(&[link(1, "eth0"), link(2, "tap7"), link(4, "tap8")], &[]);
    assert_eq!(table.replace(&after, &[], is_eth), Touched::default());
    // A link that loses the name matters as much as one that gets it.
    let renamed = dump(&[link(1, "tap0"), link(2, "eth0"), link(4, "tap8")], &[]);
    let touched = table.replace(&renamed, &[], is_eth);
    assert_eq!(touched.differences, 2);
    assert!(touched.names.contains("eth0"));
}
