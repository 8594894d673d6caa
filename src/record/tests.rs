//! The ring within its bounds, the file that cannot be written as fast, and what is kept secret.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::*;
use crate::machine::kernel::{KernelDump, KernelEvent, Link};
use crate::machine::message::{Input, RestoredMap};
use crate::machine::settings::{InstanceSettings, Settings};
use crate::machine::{Machine, Time};

fn at(ms: u64) -> Time {
    Time::from_start(Duration::from_millis(ms))
}

fn origin() -> Origin {
    Origin {
        boot_id: "boot".into(),
        life: 1,
        unix_ns: 0,
    }
}

fn settings(instances: u32) -> Settings {
    use std::fmt::Write as _;
    let mut text = String::from("instances:\n");
    for number in 0..instances {
        let vip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
        writeln!(
            text,
            "  i{number}: {{vip: {vip}, start: a, stop: b, environment: {{KEY: hunter2}}, \
             is-running: {{run: c, environment: {{OTHER: hunter2}}}}}}"
        )
        .unwrap();
    }
    let loaded = crate::config::parse(&text, std::path::Path::new("/config.yaml"));
    loaded.unwrap().config.settings
}

fn machine(instances: u32) -> Machine {
    let mut machine = Machine::new(&settings(instances), &RestoredMap::new(), 1, Time::ZERO);
    while machine.poll_output().is_some() {}
    machine
}

fn with_environment(value: &str) -> InstanceSettings {
    let mut instance = (*settings(1).instances[0]).clone();
    instance.environment = vec![("KEY".into(), value.into())];
    instance
}

#[test]
fn values_of_the_environment_are_told_apart_and_not_told() {
    let redactor = Redactor::default();
    let kept = |value| redactor.instance(&with_environment(value));
    assert_eq!(kept("hunter2"), kept("hunter2"));
    assert_ne!(kept("hunter2"), kept("hunter3"));
    assert_ne!(
        kept("hunter2"),
        Redactor::default().instance(&with_environment("hunter2"))
    );
    let mut text = Vec::new();
    redactor.push_start(
        &mut text,
        origin(),
        (&settings(2), &RestoredMap::new(), at(0)),
    );
    redactor.push_state(&mut text, origin(), &machine(2));
    let entry = Entry {
        at: at(1),
        input: Some(Input::Reload(settings(2))),
        decided: None,
    };
    redactor.push_entry(&mut text, entry);
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("KEY") && text.contains("OTHER"), "{text}");
    assert!(!text.contains("hunter"), "{text}");
}

/// A dump of so many links.
fn dump(links: u32) -> Input {
    let link = |index| Link {
        index,
        name: format!("veth{index}"),
        altnames: vec![format!("alternative-name-{index}")],
    };
    Input::Dumped(KernelDump {
        links: (0..links).map(link).collect(),
        addresses: Vec::new(),
    })
}

#[test]
fn the_ring_stays_within_its_bounds() {
    let mut ring = Ring::new(origin(), &machine(1)).unwrap();
    for number in 0..5_000 {
        ring.before(
            at(number),
            Some(&Input::Kernel(vec![KernelEvent::LinkGone(7)])),
        );
        ring.after(Digest::default());
        ring.trim();
        let (entries, bytes) = ring.size();
        assert!(
            entries <= ENTRIES_MAX && bytes <= BYTES_MAX,
            "{entries}, {bytes}"
        );
    }
    assert_eq!(ring.size().0, ENTRIES_MAX);
    // Dumps of a host with many links leave room for a few inputs.
    for number in 5_000..5_100 {
        ring.before(at(number), Some(&dump(600)));
        ring.after(Digest::default());
        for _ in 0..40 {
            ring.trim();
        }
        assert!(ring.size().1 <= BYTES_MAX, "{:?}", ring.size());
    }
    let (entries, _) = ring.size();
    assert!((1..10).contains(&entries), "{entries}");
}

#[test]
fn a_large_configuration_has_no_ring_and_a_smaller_one_has_one_again() {
    let most = u32::try_from(INSTANCES_MAX).unwrap();
    let machine = machine(most);
    let tape = Tape::new(origin(), &machine, None);
    let mut recorded = Recorded::new(machine, tape);
    assert!(recorded.copy().is_some());
    let mut reload = |count, ms| {
        recorded.handle(Input::Reload(settings(count)), at(ms));
        while recorded.poll_output().is_some() {}
        recorded
            .copy()
            .map(|copied| copied.lines("test".into()).count())
    };
    assert_eq!(reload(most + 1, 1), None);
    // From the state after the reload: no input yet.
    assert_eq!(reload(2, 2), Some(2));
    assert_eq!(reload(3, 3), Some(3));
}

#[test]
fn a_disk_that_does_not_follow_leaves_a_gap_and_makes_nobody_wait() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let file = std::fs::File::from(OwnedFd::from(writer));
    let path = "a pipe that nobody reads".into();
    let from = (&settings(1), &RestoredMap::new(), at(0));
    let (mut tape, thread) = FileTape::start((path, file), origin(), from).unwrap();
    let entry = |ms| Entry {
        at: at(ms),
        input: Some(dump(20)),
        decided: Some(Digest::default()),
    };
    // More than the queue and the pipe hold; this would never end if it waited.
    let sent = 6_000;
    for number in 0..sent {
        tape.send(entry(number));
    }
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    // There is room again, sooner or later: then the gap is told before what follows.
    for number in sent..sent + 2_000 {
        tape.send(entry(number));
        std::thread::sleep(Duration::from_micros(200));
    }
    drop(tape);
    thread.join().unwrap();
    let text = reading.join().unwrap();
    let mut steps = 0;
    let mut missed = 0;
    for line in text.lines() {
        match serde_json::from_str::<Line>(line).unwrap() {
            Line::Step(_) => steps += 1,
            Line::Gap { missed: more } => missed += more,
            Line::Recording(_) | Line::End { .. } => {}
        }
    }
    assert!(missed > 0, "no gap");
    assert_eq!(steps + missed, sent + 2_000);
    assert!(text.ends_with("{\"end\":{\"because\":\"the daemon ended\"}}\n"));
}

#[test]
fn what_was_being_taken_in_is_marked() {
    let mut ring = Ring::new(origin(), &machine(1)).unwrap();
    ring.before(at(1), Some(&Input::Subscribed));
    let lines: Vec<_> = ring.copy().lines("a crash".into()).collect();
    let step = String::from_utf8(lines[1].clone()).unwrap();
    assert_eq!(
        step,
        "{\"step\":{\"at\":1000000,\"input\":\"subscribed\",\"decided\":null}}\n"
    );
}
