//! Interfaces and addresses.

use super::*;

#[test]
fn interfaces_and_addresses() {
    let config = |text: &'static str| {
        move |facts: &mut Facts| facts.config = config::parse(text, Path::new(FILE)).unwrap().config
    };
    let mut facts = fine();
    config("instances: {web: {nic: eth9, vip: 10.0.0.1, start: /x/start, stop: /x/stop}}")(
        &mut facts,
    );
    let said = found(&facts).join("\n");
    assert!(
        said.contains(
            "!nic: instance web looks for its address on eth9, but this node has no such interface \
    (lo, eth0)"
        ),
        "{said}"
    );
    assert!(said.contains("!virtual-ipaddress: keepalived brings 10.0.0.1 to eth0 (vrrp_instance V), but instance \
    web"), "{said}");
    one(
        |facts| here(facts, 2, false, None),
        &["!vip: 10.0.0.1 is on eth0 cannot be used: another node was found to have it"],
    );
    one(
        |facts| here(facts, 1, true, None),
        &["!vip: 10.0.0.1 is on lo, but instance web looks for it on eth0"],
    );
    one(
        |facts| {
            facts
                .configured
                .addresses
                .push(([10, 0, 0, 1].into(), place("/etc/network/interfaces", 3)));
        },
        &[
            "!static-vip: 10.0.0.1, the address of instance web, is in this node's own network",
            "[/etc/network/interfaces:3]",
        ],
    );
    one(
        |facts| facts.configured.unread.push("closed".into()),
        &["unseen static-vip: closed"],
    );
    let mut facts = fine();
    facts.kernel = Err("deaf".into());
    assert_eq!(found(&facts), ["unseen nic: deaf", "unseen vip: deaf"]);
}

#[test]
fn a_label_and_an_altname_count_as_the_nic() {
    let mut facts = fine();
    facts.config = config::parse(&TEXT.replace("eth0", "eth0:vip"), Path::new(FILE))
        .unwrap()
        .config;
    conf(&mut facts).addresses[0].label = Some("eth0:vip".into());
    here(&mut facts, 2, true, Some("eth0:vip"));
    assert_eq!(found(&facts), Vec::<String>::new());
    conf(&mut facts).addresses[0].label = None;
    assert!(
        found(&facts)[0].contains("keepalived brings 10.0.0.1 to eth0 (vrrp_instance V), but"),
        "{:?}",
        found(&facts)
    );

    let mut facts = fine();
    facts.config = config::parse(&TEXT.replace("eth0", "lan"), Path::new(FILE))
        .unwrap()
        .config;
    facts.kernel.as_mut().unwrap().links[1]
        .altnames
        .push("lan".into());
    here(&mut facts, 2, true, None);
    assert_eq!(found(&facts), Vec::<String>::new());
}
