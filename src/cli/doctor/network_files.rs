//! The addresses that a system's own network configuration gives to this node, in each of the forms that distributions
//! know. Only lines that give an address count: one that names it as a gateway or a name server does not. Pure.

use std::net::IpAddr;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// interfaces(5), ifupdown.
    Interfaces,
    /// systemd.network(5).
    Networkd,
    /// nm-settings-keyfile(5).
    NetworkManager,
    /// Netplan's YAML.
    Netplan,
    /// network-scripts, `ifcfg-eth0`.
    Ifcfg,
    /// dhcpcd.conf(5).
    Dhcpcd,
}

/// Each address with its line, from 1.
pub(super) fn addresses(form: Form, text: &str) -> Vec<(IpAddr, usize)> {
    match form {
        Form::Netplan => netplan(text),
        Form::Interfaces => by_line(text, interfaces),
        Form::Networkd => by_line(text, |line| value_of(line, |key| key == "Address")),
        Form::NetworkManager => by_line(text, |line| {
            let value = value_of(line, |key| {
                key.strip_prefix("address")
                    .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
            })?;
            // What stands behind the comma is a gateway.
            value.split([',', ';']).next()
        }),
        Form::Ifcfg => by_line(text, |line| {
            value_of(line, |key| {
                key.starts_with("IPADDR") || key == "IPV6ADDR" || key == "IPV6ADDR_SECONDARIES"
            })
        }),
        Form::Dhcpcd => by_line(text, |line| {
            line.trim()
                .strip_prefix("static")?
                .trim()
                .strip_prefix("ip_address=")
        }),
    }
}

fn by_line(text: &str, pick: impl Fn(&str) -> Option<&str>) -> Vec<(IpAddr, usize)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        found.extend(
            pick(line)
                .into_iter()
                .flat_map(in_words)
                .map(|address| (address, number + 1)),
        );
    }
    found
}

/// The addresses in a text, with or without a prefix length.
fn in_words(text: &str) -> impl Iterator<Item = IpAddr> {
    let words = text.split(|c: char| c.is_whitespace() || "\"',=[]".contains(c));
    words.filter_map(|word| word.split('/').next()?.parse().ok())
}

fn value_of(line: &str, wanted: impl Fn(&str) -> bool) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    wanted(key.trim()).then_some(value)
}

/// `address 10.0.0.1/24`, and `up ip addr add 10.0.0.1/24 dev eth0`.
fn interfaces(line: &str) -> Option<&str> {
    let line = line.trim();
    let mut words = line.split_whitespace();
    match words.next()? {
        "address" => line.strip_prefix("address"),
        "up" | "pre-up" | "post-up" => {
            let adds = [
                "addr add ",
                "address add ",
                " a add ",
                "addr replace ",
                "address replace ",
            ];
            let (_, rest) = adds.iter().find_map(|add| line.split_once(add))?;
            Some(rest.split_whitespace().next().unwrap_or(rest))
        }
        _ => None,
    }
}

fn netplan(text: &str) -> Vec<(IpAddr, usize)> {
    use serde_yaml::Value;
    let Ok(value) = serde_yaml::from_str::<Value>(text) else {
        return Vec::new();
    };
    let kinds = value.get("network").and_then(Value::as_mapping);
    let devices = kinds
        .into_iter()
        .flatten()
        .filter_map(|(_, kind)| kind.as_mapping());
    let lists = devices
        .flatten()
        .filter_map(|(_, device)| device.get("addresses")?.as_sequence());
    let written = lists.flatten().filter_map(|entry| match entry {
        Value::String(text) => Some(text.as_str()),
        // With options: `- 10.0.0.1/24: {label: eth0:vip}`.
        Value::Mapping(options) => options.keys().next()?.as_str(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Sequence(_) | Value::Tagged(_) => {
            None
        }
    });
    written
        .filter_map(|written| {
            let address = in_words(written).next()?;
            let line = text.lines().position(|line| line.contains(written))?;
            Some((address, line + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Form, addresses};

    fn found(form: Form, text: &str) -> String {
        let found = addresses(form, text);
        let found: Vec<_> = found
            .iter()
            .map(|(address, line)| format!("{address}@{line}"))
            .collect();
        found.join(" ")
    }

    #[test]
    fn each_form_gives_its_addresses_and_no_gateways() {
        let interfaces = "# address 9.9.9.9\niface eth0 inet static\n  address 10.0.0.1/24\n  gateway 10.0.0.254\n  \
                          up ip addr add 10.0.0.2/24 dev eth0\n  \
                          dns-nameservers 10.0.0.3\n  up ip route add 10.0.0.4 dev eth0\n";
        assert_eq!(found(Form::Interfaces, interfaces), "10.0.0.1@3 10.0.0.2@5");
        let networkd = "[Network]\nAddress=10.0.0.1/24\nGateway=10.0.0.254\nDNS=10.0.0.3\n[Address]\nAddress = \
                        fd00::1/64\n";
        assert_eq!(found(Form::Networkd, networkd), "10.0.0.1@2 fd00::1@6");
        let manager =
            "[ipv4]\naddress1=10.0.0.1/24,10.0.0.254\naddress-data=10.0.0.9\ndns=10.0.0.3;\n";
        assert_eq!(found(Form::NetworkManager, manager), "10.0.0.1@2");
        let ifcfg = "IPADDR=10.0.0.1\nIPADDR2=\"10.0.0.2\"\nGATEWAY=10.0.0.254\nIPV6ADDR_SECONDARIES=\"fd00::1/64 \
                     fd00::2\"\n";
        assert_eq!(
            found(Form::Ifcfg, ifcfg),
            "10.0.0.1@1 10.0.0.2@2 fd00::1@4 fd00::2@4"
        );
        assert_eq!(
            found(
                Form::Dhcpcd,
                "static ip_address=10.0.0.1/24\nstatic routers=10.0.0.254\n"
            ),
            "10.0.0.1@1"
        );
        let netplan = [
            "network:",
            "  version: 2",
            "  ethernets:",
            "    eth0:",
            "      addresses:",
            "        - 10.0.0.1/24",
            "        - 10.0.0.2/32: {label: \"eth0:vip\"}",
            "      nameservers: {addresses: [10.0.0.3]}",
        ];
        let netplan = netplan.join("\n");
        assert_eq!(found(Form::Netplan, &netplan), "10.0.0.1@6 10.0.0.2@7");
        assert_eq!(found(Form::Netplan, "network: [what"), "");
    }
}
