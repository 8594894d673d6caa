//! Replays of a recording that a daemon made on a real kernel, whole, cut, damaged, and with another configuration.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::machine::settings::Settings;
use crate::record::Header;

const FLAP: &str = include_str!("../../tests/incidents/flap.jsonl");

/// What a reader finds: how many steps, and what comes last.
fn read(text: &str) -> (u64, Result<Option<Read>, ReadError>) {
    let mut reader = Reader::new(text.as_bytes());
    let mut steps = 0;
    loop {
        match reader.read() {
            Ok(Some(Read::Step(_))) => steps += 1,
            Ok(Some(Read::Recording(_) | Read::End { .. })) => {}
            other => return (steps, other),
        }
    }
}

fn lines() -> Vec<String> {
    FLAP.lines().map(str::to_owned).collect()
}

fn with_line(number: usize, line: &str) -> String {
    let mut lines = lines();
    lines[number - 1] = line.to_owned();
    lines.join("\n") + "\n"
}

fn life(text: &str) -> (Header, Vec<Entry>) {
    let mut reader = Reader::new(text.as_bytes());
    let mut header = None;
    let mut entries = Vec::new();
    while let Some(told) = reader.read().unwrap() {
        match told {
            Read::Recording(found) => header = Some(*found),
            Read::Step(entry) => entries.push(entry),
            Read::End { .. } | Read::Torn | Read::Unended => {}
        }
    }
    (header.unwrap(), entries)
}

#[test]
fn a_whole_recording_is_read_to_its_end() {
    let (steps, last) = read(FLAP);
    assert_eq!(steps, lines().len() as u64 - 2);
    assert!(matches!(last, Ok(None)), "{last:?}");
}

#[test]
fn one_that_was_cut_off_is_read_up_to_there() {
    let end = FLAP.find("{\"end\"").unwrap();
    for cut in 1..200 {
        let (steps, last) = read(&FLAP[..end - cut]);
        assert!(steps > 0);
        // A line whose newline alone is missing is whole.
        let fits = matches!(last, Ok(Some(Read::Torn | Read::Unended)));
        assert!(fits, "{cut} bytes are missing: {last:?}");
    }
}

#[test]
fn a_life_may_follow_a_torn_one() {
    let end = FLAP.find("{\"end\"").unwrap();
    let two = format!("{}\n{FLAP}", &FLAP[..end - 5]);
    let mut reader = Reader::new(two.as_bytes());
    let (mut begun, mut torn) = (0, 0);
    while let Some(told) = reader.read().unwrap() {
        begun += u32::from(matches!(told, Read::Recording(_)));
        torn += u32::from(matches!(told, Read::Torn));
    }
    assert_eq!((begun, torn), (2, 1));
}

#[test]
fn damage_is_told_with_its_line() {
    for line in [
        "{\"step\":{\"at\":17,",
        "{\"stop\":{}}",
        "garbage",
        "{\"step\":{\"at\":-1}}",
    ] {
        let (_, last) = read(&with_line(7, line));
        let Err(ReadError::Damaged { line: 7, .. }) = last else {
            panic!("{line}: {last:?}")
        };
    }
    let (_, last) = read(&with_line(1, ""));
    assert!(
        matches!(last, Err(ReadError::NoHeader { line: 2 })),
        "{last:?}"
    );
}

#[test]
fn a_gap_is_not_gone_over() {
    let (steps, last) = read(&with_line(7, "{\"gap\":{\"missed\":3}}"));
    assert_eq!(steps, 5);
    let error = last.unwrap_err();
    assert!(matches!(error, ReadError::Gap { line: 7, missed: 3 }));
    assert!(error.to_string().contains("gap"), "{error}");
}

#[test]
fn what_a_newer_version_recorded_is_refused_with_its_name() {
    let first = &lines()[0];
    let newer = first.replace("\"format\":1", "\"format\":2");
    let newer = newer.replace("\"version\":\"0.1.0\"", "\"version\":\"9.9.9\"");
    for header in [newer.clone(), newer.replace("starts_at_once", "starts")] {
        let (_, last) = read(&with_line(1, &header));
        let error = last.unwrap_err().to_string();
        assert!(
            error.contains("9.9.9") && error.contains("format 2"),
            "{error}"
        );
    }
    let strange = newer.replace("\"format\":2", "\"format\":1");
    let strange = strange.replace("starts_at_once", "starts");
    let error = read(&with_line(1, &strange)).1.unwrap_err().to_string();
    assert!(
        error.contains("9.9.9") && error.contains("starts_at_once"),
        "{error}"
    );
}

#[test]
fn another_decision_is_noticed_where_it_is_made() {
    let (header, mut entries) = life(FLAP);
    let at = entries
        .iter()
        .position(|entry| entry.decided.is_some_and(|digest| !digest.is_empty()))
        .unwrap();
    entries[at].decided = Some(Digest::default());
    let mut player = Player::begin(&header.origin, header.begin, &mut Vec::new());
    for (number, entry) in entries.into_iter().enumerate() {
        let verdict = player.decide(entry, &mut Vec::new()).unwrap();
        let expected = if number == at {
            Verdict::Different
        } else {
            Verdict::Same
        };
        assert_eq!(verdict, expected, "step {number}");
    }
}

#[test]
fn time_does_not_go_back() {
    let (header, entries) = life(FLAP);
    let mut player = Player::begin(&header.origin, header.begin, &mut Vec::new());
    player.decide(entries[3].clone(), &mut Vec::new()).unwrap();
    let back = player.decide(entries[2].clone(), &mut Vec::new());
    assert_eq!(back, Err(Backwards));
}

/// The recorded settings with another debounce.
fn with_window(header: &Header, window: Duration) -> Settings {
    let Begin::Start { settings, .. } = &header.begin else {
        panic!("it begins with the daemon")
    };
    let mut settings = settings.clone();
    for instance in &mut settings.instances {
        Arc::make_mut(instance).debounce.window = window;
    }
    settings
}

#[test]
fn the_same_configuration_makes_no_difference() {
    let (header, entries) = life(FLAP);
    let same = with_window(&header, Duration::from_millis(200));
    let other = Other::of(&header.origin, header.begin, entries);
    assert!(other.unrecorded(&same).is_empty());
    assert!(other.unrecorded_nics(&same).is_empty());
    let mut elsewhere = same.clone();
    Arc::make_mut(&mut elsewhere.instances[0]).role.nic = Some("eth9".into());
    assert_eq!(
        other.unrecorded_nics(&elsewhere),
        ["eth9".to_owned()].into()
    );
    let all = differences(&other.live(None), &other.live(Some(&same)));
    assert!(all.len() > 10, "{all:#?}");
    assert!(all.iter().all(Difference::is_none), "{all:#?}");
}

#[test]
fn without_debounce_every_flap_would_have_been_followed() {
    let (header, entries) = life(FLAP);
    let hasty = with_window(&header, Duration::ZERO);
    let other = Other::of(&header.origin, header.begin, entries);
    let all = differences(&other.live(None), &other.live(Some(&hasty)));
    let gains: Vec<_> = all
        .iter()
        .filter(|one| one.what == "becomes MASTER")
        .map(|one| (one.before.is_some(), one.after.is_some(), one.is_none()))
        .collect();
    // Calm, four that were held back and overtaken, and the one that was believed 200 ms late.
    let only_hasty = (false, true, false);
    let earlier = (true, true, false);
    let expected = [
        (true, true, true),
        only_hasty,
        only_hasty,
        only_hasty,
        only_hasty,
        earlier,
    ];
    assert_eq!(gains, expected, "{all:#?}");
}

#[test]
fn decisions_are_paired_with_the_nearest() {
    let at = |ms| Time::from_start(Duration::from_millis(ms));
    let name = crate::machine::settings::InstanceName::new("web").unwrap();
    let gain = |ms: &u64| Decision {
        at: at(*ms),
        event: Event::Held {
            instance: name.clone(),
            to: crate::machine::job::Role::Master,
            seen: Time::ZERO,
            until: at(*ms),
        },
    };
    let retry = |ms: &u64| Decision {
        at: at(*ms),
        event: Event::RetryScheduled {
            instance: name.clone(),
            epoch: 1,
            role: crate::machine::job::Role::Master,
            at: at(*ms),
            action: crate::machine::job::Action::Start,
            failures: 1,
            outcome: None,
        },
    };
    let before: Vec<_> = [100, 200, 300, 900].iter().map(retry).collect();
    let after: Vec<_> = [205, 880].iter().map(retry).chain([gain(&5)]).collect();
    let told: Vec<_> = differences(&before, &after)
        .iter()
        .map(Difference::verdict)
        .collect();
    assert_eq!(
        told,
        [
            "not at all",
            "5.000 ms later",
            "not at all",
            "20.000 ms earlier"
        ]
    );
    let told: Vec<_> = differences(&after, &before)
        .iter()
        .map(Difference::mark)
        .collect();
    assert_eq!(told, ['+', '~', '+', '~']);
}
