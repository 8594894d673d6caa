//! The interface, the virtual addresses and how the kernel tells of them. Pure.

use std::net::IpAddr;

use super::super::facts::Facts;
use super::super::finding::Checked;
use super::{row, word};
use crate::machine::kernel::{Address, KernelDump};
use crate::machine::settings::NicNeverSeen;

/// Whether the interface of each instance is there.
pub(super) fn nic(facts: &Facts) -> Checked {
    let kernel = match &facts.kernel {
        Ok(kernel) => kernel,
        Err(why) => return Checked::unseen(why),
    };
    let links = row(kernel.links.iter().map(|link| &link.name));
    let mut checked = Checked::of(format!("the interfaces of this node: {links}"));
    for instance in &facts.config.settings.instances {
        let Some(nic) = &instance.role.nic else {
            continue;
        };
        // A label counts as well: what stands before its colon is the interface.
        let device = nic.split(':').next().unwrap_or(nic);
        let is_named = |name: &str| name == nic || name == device;
        let is_there = kernel
            .links
            .iter()
            .any(|link| is_named(&link.name) || link.altnames.iter().any(|name| is_named(name)));
        if is_there {
            continue;
        }
        let name = &instance.name;
        match instance.role.nic_never_seen {
            NicNeverSeen::Unknown => checked
                .hurts(format!(
                    "instance {name} looks for its address on {nic}, but this node has no such interface ({links}): \
                     its role stays UNKNOWN and nothing is started; if {nic} comes with the role, say \
                     `nic-never-seen: backup`"
                ))
                .at(&facts.config.file.display())
                .mend("ip -brief link"),
            NicNeverSeen::Backup => {
                checked.note(format!(
                    "the interface {nic} of instance {name} is not there now; the file says that it comes with the \
                     role"
                ));
            }
        }
    }
    checked
}

/// Whether what is there of the addresses is where it is looked for, and of use.
pub(super) fn vip(facts: &Facts) -> Checked {
    let kernel = match &facts.kernel {
        Ok(kernel) => kernel,
        Err(why) => return Checked::unseen(why),
    };
    let here: Vec<_> = kernel
        .addresses
        .iter()
        .map(|it| shown(kernel, it))
        .collect();
    let mut checked = Checked::of(if here.is_empty() {
        "no virtual address of the file is on this node now".to_owned()
    } else {
        format!("on this node now: {}", here.join(", "))
    });
    for instance in &facts.config.settings.instances {
        let (name, role) = (&instance.name, &instance.role);
        let own = |address: &&Address| role.addresses.contains(&address.key.local);
        for address in kernel.addresses.iter().filter(own) {
            let what = shown(kernel, address);
            if !address.usable {
                checked
                    .hurts(format!(
                        "{what} cannot be used: another node was found to have it, or that is still being found \
                         out; instance {name} does not count it"
                    ))
                    .mend(format!("ip address show to {}", address.key.local));
            }
            let Some(nic) = &role.nic else { continue };
            if !is_on(kernel, address, nic) {
                checked
                    .hurts(format!(
                        "{what}, but instance {name} looks for it on {nic}: its role does not become MASTER"
                    ))
                    .at(&facts.config.file.display())
                    .mend(format!("ip address show to {}", address.key.local));
            }
        }
    }
    left_behind(facts, kernel, &mut checked);
    checked
}

/// An address that keepalived moves, on a node whose keepalived does not run, has been left there.
fn left_behind(facts: &Facts, kernel: &KernelDump, checked: &mut Checked) {
    let Ok(Some(conf)) = &facts.keepalived.conf else {
        return;
    };
    if !facts.keepalived.processes.is_empty() {
        return;
    }
    for address in &kernel.addresses {
        let local = address.key.local;
        if let Some(moved) = conf.addresses.iter().find(|moved| moved.address == local) {
            checked
                .hurts(format!(
                    "{} although no keepalived runs here to give it up: a keepalived that was killed leaves it \
                     behind, and another node may have it at the same time",
                    shown(kernel, address)
                ))
                .at(&moved.place)
                .mend("systemctl start keepalived");
        }
    }
}

fn is_on(kernel: &KernelDump, address: &Address, nic: &str) -> bool {
    let link = kernel
        .links
        .iter()
        .find(|link| link.index == address.key.link);
    let by_link =
        link.is_some_and(|link| link.name == nic || link.altnames.iter().any(|it| it == nic));
    by_link || address.label.is_some_and(|label| label.as_str() == nic)
}

fn shown(kernel: &KernelDump, address: &Address) -> String {
    let link = kernel
        .links
        .iter()
        .find(|link| link.index == address.key.link);
    let link = link.map_or("an interface without a name", |link| &link.name);
    format!("{} is on {link}", address.key.local)
}

/// Whether the system's own network configuration gives a VIP to this node for good.
pub(super) fn configured(facts: &Facts) -> Checked {
    let files = &facts.configured;
    let mut checked = Checked::of(if files.read.is_empty() {
        "no file of a network configuration is there (interfaces, netplan, networkd, NetworkManager, ifcfg, dhcpcd)"
            .to_owned()
    } else {
        format!(
            "the network configuration: {}",
            row(files.read.iter().map(|file| file.display()))
        )
    });
    for why in &files.unread {
        checked.cannot_see(why.clone());
    }
    for (name, vip) in facts.addresses() {
        for (_, place) in files
            .addresses
            .iter()
            .filter(|(address, _)| *address == vip)
        {
            checked
                .hurts(format!(
                    "{vip}, the address of instance {name}, is in this node's own network configuration: the node \
                     has it from its boot on, whoever is MASTER"
                ))
                .at(&place)
                .mend(format!(
                    "sed -n {}p {}; ip address show to {}",
                    place.line,
                    word(&place.file.display()),
                    width(vip)
                ));
        }
    }
    checked
}

/// The address as a prefix of itself alone.
fn width(address: IpAddr) -> String {
    match address {
        IpAddr::V4(_) => format!("{address}/32"),
        IpAddr::V6(_) => format!("{address}/128"),
    }
}

/// Whether the kernel lets the daemon fall behind as far as it asks for.
pub(super) fn buffer(facts: &Facts) -> Checked {
    let buffer = &facts.buffer;
    let (granted, who) = match &facts.daemon {
        Ok(Some(daemon)) => match (&daemon.capabilities, &buffer.limit) {
            (Ok(may), _) if may.net_admin => (Ok(buffer.wanted), "the daemon"),
            (Ok(_), Ok(limit)) => (Ok(buffer.wanted.min(2 * limit)), "the daemon"),
            (Ok(_), Err(why)) | (Err(why), _) => (Err(why), "the daemon"),
        },
        Ok(None) | Err(_) => (buffer.granted.as_ref().copied(), "a daemon of this user"),
    };
    let granted = match granted {
        Ok(granted) => granted,
        Err(why) => return Checked::unseen(why),
    };
    let (wanted, got) = (buffer.wanted / 2, granted / 2);
    let mut checked = Checked::of(format!(
        "{who} asks for a receive buffer of {wanted} bytes and gets {got}"
    ));
    if granted < buffer.wanted {
        checked
            .may_hurt(format!(
                "{who} gets a receive buffer of {got} bytes for the kernel's notifications instead of {wanted}: in \
                 a storm of address changes the kernel drops some, and all are read anew, which takes longer"
            ))
            .at(&"/proc/sys/net/core/rmem_max")
            .mend(format!(
                "echo 'net.core.rmem_max = {wanted}' > /etc/sysctl.d/90-keepstart.conf && sysctl --system"
            ));
    }
    let overruns = match &facts.daemon {
        Ok(Some(daemon)) => daemon.overruns,
        Ok(None) | Err(_) => 0,
    };
    if overruns > 0 {
        checked.note(format!(
            "the kernel has dropped notifications {overruns} times since the daemon's start; each time all was read \
             anew"
        ));
    }
    checked
}
