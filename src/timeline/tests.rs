//! Which stages come of which events, that they add up, and that nothing grows without bound.

use super::document::{EntryDocument, EntryState, StageKind, StageResult, TimelineDocument};
use super::testing::{Story, ZERO_UNIX_MS, job, name, us};
use super::*;
use crate::machine::job::{Action, JobSignal, Knowledge, Role};
use crate::machine::reason::Cause;

const FAILED: Outcome = Outcome::Failed { code: 1 };

fn documents(story: &Story, now: u64) -> Vec<EntryDocument> {
    let (head, entries) = TimelineDocument::of(&story.timeline, None, None, us(now), ZERO_UNIX_MS);
    assert_eq!((head.entries, head.kept), (entries.len(), entries.len()));
    for entry in &entries {
        assert_adds_up(entry);
    }
    entries
}

/// Each stage begins where the one before ended, and together they are the whole.
fn assert_adds_up(entry: &EntryDocument) {
    let mut at_us = 0;
    for stage in &entry.stages {
        assert_eq!(stage.at_us, at_us, "{entry:#?}");
        at_us += stage.took_us;
    }
    assert_eq!(at_us, entry.took_us, "{entry:#?}");
}

fn stages(entry: &EntryDocument) -> Vec<(StageKind, u64)> {
    let of = |stage: &document::StageDocument| (stage.stage, stage.took_us);
    entry.stages.iter().map(of).collect()
}

#[test]
fn a_transition_has_its_stages_and_is_told_when_it_is_complete() {
    let mut story = Story::default();
    let over = story.gain(5_000_000);
    let [entry] = &over[..] else {
        panic!("{over:#?}")
    };
    assert_eq!(entry.began_unix_ms, ZERO_UNIX_MS + 5_000);
    assert_eq!(
        entry.sentence(us(9_000_000)),
        "MASTER took 0.9 ms to the start's first instruction, 1.2 s in all: seen → decided 0.0 → spawned 0.9 → \
         start done 1203 → is-running said yes 1215 ms"
    );
    assert_eq!(
        entry.stages_us(),
        "debounce 0, spawn 900, start 1202500, is-running 11600"
    );
    let documents = documents(&story, 9_000_000);
    let [document] = &documents[..] else {
        panic!("{documents:#?}")
    };
    assert_eq!(
        stages(document),
        [
            (StageKind::Debounce, 0),
            (StageKind::Spawn, 900),
            (StageKind::Run, 1_202_500),
            (StageKind::Check, 11_600),
        ]
    );
    assert_eq!(document.state, EntryState::Settled);
    assert_eq!(document.first_instruction_us, Some(900));
    assert_eq!((document.took_us, document.age_ms), (1_215_000, 4_000));
}

#[test]
fn what_needed_no_action_says_so() {
    let mut story = Story::default();
    story.transition(Role::Backup, 1_000, 1_000);
    let over = story.settled(Knowledge::Stopped, 1_000);
    assert_eq!(
        over[0].sentence(us(2_000)),
        "BACKUP needed no action (the service was stopped), 0.0 ms in all"
    );
}

#[test]
fn a_failed_start_shows_every_attempt_and_the_waits_between() {
    let mut story = Story::default();
    story.transition(Role::Master, 0, 200_000);
    let first = [200_000, 200_500, 300_000];
    story.runs(Action::Start, Reason::RoleGained, first, FAILED);
    story.retry(1_300_000, Some(FAILED));
    let [document] = &documents(&story, 800_000)[..] else {
        panic!("one entry")
    };
    assert_eq!(document.state, EntryState::Retrying);
    assert_eq!(document.retry_in_ms, Some(500));
    let last = document.stages.last().expect("a stage");
    assert!(last.open && last.took_us == 500_000, "{document:#?}");
    let second = [1_300_000, 1_300_400, 1_400_000];
    story.runs(Action::Start, Reason::Retry, second, Outcome::Done);
    story.settled(Knowledge::Running, 1_400_000);
    let [document] = &documents(&story, 2_000_000)[..] else {
        panic!("one entry")
    };
    assert_eq!(
        stages(document),
        [
            (StageKind::Debounce, 200_000),
            (StageKind::Spawn, 500),
            (StageKind::Run, 99_500),
            (StageKind::Wait, 1_000_000),
            (StageKind::Spawn, 400),
            (StageKind::Run, 99_600),
        ]
    );
    assert_eq!(document.stages[2].result, Some(StageResult::Failed));
    assert_eq!(document.stages[3].what, "waited for the next attempt");
    assert_eq!(document.first_instruction_us, Some(200_500));
}

#[test]
fn a_hung_start_is_cut_at_its_signal_and_the_next_role_waits_for_it() {
    let mut story = Story::default();
    story.transition(Role::Master, 0, 0);
    story.ordered(Action::Start, Reason::RoleGained, 0);
    story.spawned(Action::Start, 1_000);
    // The loss comes while it hangs; it is cancelled a second later, and killed another one later.
    story.epoch = 1;
    story.transition(Role::Backup, 500_000, 500_000);
    story.epoch = 1;
    story.signalled(JobSignal::Term, Outcome::Cancelled, 1_500_000);
    story.signalled(JobSignal::Kill, Outcome::Cancelled, 2_500_000);
    let over = story.ended(Action::Start, Outcome::Cancelled, 2_510_000);
    assert_eq!(over[0].state, State::Overtaken { by: 2 });
    story.epoch = 2;
    let stop = [2_510_000, 2_511_000, 2_600_000];
    story.runs(Action::Stop, Reason::RoleLost, stop, Outcome::Done);
    story.settled(Knowledge::Stopped, 2_600_000);
    let documents = documents(&story, 3_000_000);
    let [gain, loss] = &documents[..] else {
        panic!("{documents:#?}")
    };
    assert_eq!(gain.overtaken_by.as_deref(), Some("web/2"));
    assert_eq!(
        stages(gain),
        [
            (StageKind::Debounce, 0),
            (StageKind::Spawn, 1_000),
            (StageKind::Run, 1_499_000),
            (StageKind::End, 1_010_000),
        ]
    );
    assert_eq!(gain.stages[3].result, Some(StageResult::Cancelled));
    assert_eq!(
        stages(loss),
        [
            (StageKind::Debounce, 0),
            (StageKind::Wait, 2_010_000),
            (StageKind::Spawn, 1_000),
            (StageKind::Run, 89_000),
        ]
    );
    assert_eq!(loss.stages[1].what, "waited for the job of an earlier role");
}

#[test]
fn flaps_that_nobody_believed_are_one_entry() {
    let mut story = Story::default();
    for at in [10, 50, 90] {
        story.overtaken(Role::Master, None, at * 1_000, at * 1_000 + 20_000);
    }
    let over = story.transition(Role::Master, 200_000, 400_000);
    assert_eq!(over[0].kind, Kind::Unbelieved { times: 3 });
    assert_eq!(
        over[0].headline(us(0)),
        "MASTER was over before it was believed, 3 times within 100 ms"
    );
    assert_eq!(over[0].id(), None);
    documents(&story, 500_000);
}

#[test]
fn what_was_overtaken_before_anything_was_run_says_so() {
    let mut story = Story::default();
    story.transition(Role::Master, 0, 0);
    let over = story.overtaken(Role::Master, Some(1), 0, 30_000);
    assert_eq!(over[0].state, State::Superseded);
    story.transition(Role::Backup, 30_000, 30_000);
    story.settled(Knowledge::Stopped, 30_000);
    let documents = documents(&story, 40_000);
    assert_eq!(documents[0].state, EntryState::Superseded);
    assert_eq!(documents[0].took_us, 30_000);
    assert_eq!(documents[1].state, EntryState::Settled);
}

#[test]
fn a_repair_begins_with_the_audit_that_found_it_needed() {
    let mut story = Story::default();
    story.gain(0);
    // One that finds all well is no entry; one that does not is the first stage of the repair.
    let well = [10_000_000, 10_000_500, 10_005_000];
    story.runs(Action::IsRunning, Reason::Audit, well, Outcome::Done);
    assert_eq!(documents(&story, 10_010_000).len(), 1);
    let bad = [20_000_000, 20_000_500, 20_005_000];
    story.runs(Action::IsRunning, Reason::Audit, bad, FAILED);
    let start = [20_005_000, 20_006_000, 20_100_000];
    story.runs(Action::Start, Reason::FoundStopped, start, Outcome::Done);
    story.settled(Knowledge::Running, 20_100_000);
    let documents = documents(&story, 30_000_000);
    let repair = &documents[1];
    assert_eq!(repair.kind, document::EntryKind::Jobs);
    assert_eq!(repair.reason, Some(Reason::FoundStopped));
    assert_eq!(
        stages(repair),
        [
            (StageKind::Check, 5_000),
            (StageKind::Spawn, 1_000),
            (StageKind::Run, 94_000),
        ]
    );
    assert_eq!(repair.stages[0].result, Some(StageResult::No));
    assert_eq!(
        repair.headline,
        "start, because it was found stopped on the MASTER, took 6.0 ms to the start's first instruction, 100 ms \
         in all"
    );
}

#[test]
fn a_job_of_an_earlier_life_is_an_entry_of_its_own() {
    let mut story = Story::default();
    let adopted = Event::Adopted {
        instance: name("web"),
        job: job(1),
        action: Action::Stop,
        epoch: 6,
        role: Role::Backup,
        reason: Reason::RoleLost,
        pid: 12,
        started: us(0),
    };
    story.take(&adopted);
    story.take(&adopted);
    assert_eq!(
        documents(&story, 10).len(),
        1,
        "it comes back with a reload"
    );
    story.jobs = 1;
    story.epoch = 6;
    story.transition(Role::Backup, 100, 100);
    let over = story.ended(Action::Stop, Outcome::Unseen, 5_000);
    assert_eq!(over[0].state, State::Over);
    assert_eq!(
        over[0].headline(us(0)),
        "stop of the daemon's earlier life took 5.0 ms"
    );
    story.settled(Knowledge::Stopped, 5_000);
    let documents = documents(&story, 10_000);
    assert_eq!(documents[0].stages[0].result, Some(StageResult::Unseen));
    assert_eq!(stages(&documents[1])[1], (StageKind::Wait, 4_900));
}

#[test]
fn a_gap_ends_what_was_under_way_and_is_told() {
    let mut story = Story::default();
    story.transition(Role::Master, 0, 0);
    story.ordered(Action::Start, Reason::RoleGained, 0);
    let over = story.timeline.lose(us(2_000_000), ZERO_UNIX_MS);
    assert_eq!(over[0].state, State::Gap);
    // What comes of the lost job belongs to nothing.
    story.ended(Action::Start, Outcome::Done, 3_000_000);
    story.settled(Knowledge::Running, 3_000_000);
    let (head, entries) =
        TimelineDocument::of(&story.timeline, None, None, us(4_000_000), ZERO_UNIX_MS);
    assert_eq!(
        (head.gaps, head.last_gap_unix_ms),
        (1, Some(ZERO_UNIX_MS + 2_000))
    );
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].state, EntryState::Gap);
}

#[test]
fn an_instance_that_the_file_no_longer_has_leaves_nothing_open() {
    let mut story = Story::default();
    story.transition(Role::Master, 0, 0);
    let over = story.timeline.gone(&name("web"), ZERO_UNIX_MS);
    assert_eq!(over[0].state, State::Over);
    assert!(story.timeline.tracks.is_empty());
}

#[test]
fn a_failure_of_hours_is_folded_and_still_adds_up() {
    let mut story = Story::default();
    story.transition(Role::Master, 0, 0);
    let mut at = 0;
    for _ in 0..1_000 {
        story.runs(
            Action::Start,
            Reason::Retry,
            [at, at + 7, at + 1_013],
            FAILED,
        );
        at += 60_000_001;
        story.retry(at, Some(FAILED));
    }
    let [document] = &documents(&story, at)[..] else {
        panic!("one entry")
    };
    assert_eq!(document.stages.len(), STAGES_MAX + 1, "and the open one");
    assert_eq!(document.took_us, at);
    let folded = document
        .stages
        .iter()
        .find(|one| one.stage == StageKind::Folded);
    let folded = folded.expect("a folded stage");
    // A debounce, three stages of each attempt, less the wait that is open and those that are shown.
    assert_eq!(
        folded.what,
        format!("{} more stages", 3_000 - (STAGES_MAX - 1))
    );
}

#[test]
fn it_is_bounded_by_instance_and_in_all() {
    let mut story = Story::default();
    for round in 0..100_u64 {
        story.gain(round * 10_000_000);
    }
    let kept = story.timeline.entries(None);
    assert_eq!(kept.len(), ENTRIES_OF_INSTANCE_MAX);
    assert_eq!(kept.last().map(|entry| entry.epoch), Some(100));
    assert_eq!(story.timeline.forgotten(), 68);
    for number in 0..3_000_u64 {
        let instance = name(&format!("i{number}"));
        let at = us(2_000_000_000 + number);
        story.take(&Event::Transition {
            instance: instance.clone(),
            from: Role::Unknown,
            to: Role::Backup,
            epoch: 1,
            cause: Cause::NotLookedYet,
            seen: at,
            decided: at,
        });
        story.take(&Event::Settled {
            instance,
            role: Role::Backup,
            epoch: 1,
            knowledge: Knowledge::Stopped,
            at,
        });
    }
    assert_eq!(story.timeline.entries(None).len(), ENTRIES_MAX);
    assert!(story.timeline.tracks.is_empty());
    assert_eq!(story.timeline.counts.len(), ENTRIES_MAX);
    let one = story.timeline.entries(Some(&name("i2999")));
    assert_eq!(one.len(), 1);
}

#[test]
fn the_document_has_the_fields_that_scripts_use() {
    let mut story = Story::default();
    story.gain(0);
    let documents = documents(&story, 2_000_000);
    let json = serde_json::to_value(&documents[0]).expect("JSON");
    assert_eq!(json["kind"], "transition");
    assert_eq!(json["id"], "web/1");
    assert_eq!(json["from"], "UNKNOWN");
    assert_eq!(json["role"], "MASTER");
    assert_eq!(json["state"], "settled");
    assert_eq!(json["took_us"], 1_215_000);
    assert_eq!(json["stages"][1]["stage"], "spawn");
    assert_eq!(json["stages"][1]["action"], "start");
    assert_eq!(json["stages"][1]["job"], "00000001-1");
    assert_eq!(json["stages"][2]["result"], "done");
    let back: EntryDocument = serde_json::from_value(json).expect("an entry");
    assert_eq!(back, documents[0]);
}
