//! keepalived beside it.

use super::*;

#[test]
fn keepalived_beside_it() {
    one(
        |facts| facts.keepalived.processes.clear(),
        &[
            "!keepalived: keepalived does not run",
            "systemctl enable --now keepalived",
        ],
    );
    let mut facts = fine();
    facts.keepalived.processes.clear();
    here(&mut facts, 2, true, None);
    assert!(
        found(&facts)[0].contains("!vip: 10.0.0.1 is on eth0 although no keepalived runs here"),
        "{:?}",
        found(&facts)
    );
    one(
        |facts| {
            facts.keepalived.processes.clear();
            facts.keepalived.conf = Ok(None);
        },
        &["keepalived: no keepalived runs on this node, and none is configured: something else"],
    );
    one(
        |facts| conf(facts).addresses.clear(),
        &["!virtual-ipaddress: 10.0.0.1, the address of instance web, is in no virtual_ipaddress"],
    );
    one(
        |facts| conf(facts).unread.push("closed".into()),
        &["unseen virtual-ipaddress: closed"],
    );
}
