//! Datagrams of the kernel, decoded and folded into the address table: no bytes may panic, and the same
//! notifications lead to the same roles, told one by one or all at once.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use keepstart::machine::kernel::{KernelDump, KernelEvent};
use keepstart::machine::message::{Input, RestoredMap};
use keepstart::machine::settings::Settings;
use keepstart::machine::{Machine, Time};
use keepstart::source::netlink::{Watched, decode};
use libfuzzer_sys::fuzz_target;

/// What is asked for: each way to name an interface, both families, several addresses. Nothing waits, and whether an
/// interface was ever there means nothing, so that only the last word of the kernel counts.
const CONFIG: &str = "
instances:
  any: {vip: 10.0.0.1, start: /a, stop: /a, debounce: 0, nic-never-seen: backup}
  nic: {nic: eth0, vip: 10.0.0.1, start: /a, stop: /a, debounce: 0, nic-never-seen: backup}
  label: {nic: 'eth0:vip', vip: 10.0.0.1, start: /a, stop: /a, debounce: 0, nic-never-seen: backup}
  six: {nic: eth0, vip: 'fd00::1', start: /a, stop: /a, debounce: 0, nic-never-seen: backup}
  both: {role: {vip: {addresses: [10.0.0.1, 'fd00::3'], match: all}}, start: /a, stop: /a, debounce: 0, nic-never-seen: backup}
  wan: {nic: wan, vip: 10.0.0.2, start: /a, stop: /a, debounce: 0, nic-never-seen: backup}
";

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let loaded = keepstart::config::parse(CONFIG, Path::new("/etc/keepstart/config.yaml"));
    loaded.expect("a good file").config.settings
});

fn machine() -> Machine {
    let mut machine = Machine::new(&SETTINGS, &RestoredMap::new(), 1, Time::ZERO);
    feed(&mut machine, Input::Subscribed);
    feed(&mut machine, Input::Dumped(KernelDump::default()));
    machine
}

fn feed(machine: &mut Machine, input: Input) {
    machine.handle(input, Time::ZERO);
    while machine.poll_output().is_some() {}
}

fuzz_target!(|bytes: &[u8]| {
    let watched: Watched = ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::3"]
        .map(|address| address.parse().expect("an address"))
        .into_iter()
        .collect();
    // A length before each datagram, so that one input is a conversation.
    let mut events: Vec<KernelEvent> = Vec::new();
    let mut rest = bytes;
    while let Some((length, more)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length));
        let (datagram, more) = more.split_at(length.min(more.len()));
        rest = more;
        let before = events.len();
        if decode::datagram(datagram, &watched, &mut events).is_err() {
            events.truncate(before);
        }
    }
    let (mut one_by_one, mut at_once) = (machine(), machine());
    for event in &events {
        feed(&mut one_by_one, Input::Kernel(vec![event.clone()]));
    }
    feed(&mut at_once, Input::Kernel(events));
    let levels = |machine: &Machine| -> Vec<_> {
        let views = machine.views(Time::ZERO);
        views.map(|view| (view.name, view.role)).collect()
    };
    assert_eq!(levels(&one_by_one), levels(&at_once));
});
