//! Tests of the machine as a whole, where a small case says more than a simulated world.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::job::{Action, Exit, InstanceId, Job, JobId, Knowledge, Role};
use super::kernel::{Address, AddressKey, KernelDump, KernelEvent};
use super::message::{Adopted, Event, Identity, Input, Output, Restored, RestoredMap};
use super::reason::{Next, Reason};
use super::settings::{
    ActionSettings, Arguments, Command, Debounce, InstanceName, InstanceSettings, NicNeverSeen,
    Quorum, Release, Retry, Settings, VipRule,
};
use super::{Machine, Time};

mod links;
mod presumed;

fn at(ms: u64) -> Time {
    Time::from_start(Duration::from_millis(ms))
}

fn name(index: u8) -> InstanceName {
    InstanceName::new(&format!("i{index}")).unwrap()
}

fn action(name: &str) -> Arc<ActionSettings> {
    Arc::new(ActionSettings {
        run: Command::File(PathBuf::from(name)),
        timeout: Duration::from_secs(90),
        kill_after: Duration::from_secs(10),
        working_directory: None,
        process: Arc::default(),
    })
}

fn instance(index: u8, asks: bool) -> InstanceSettings {
    InstanceSettings {
        name: name(index),
        role: VipRule {
            nic: None,
            addresses: vec![[10, 0, 0, index].into()],
            quorum: Quorum::All,
            nic_never_seen: NicNeverSeen::Unknown,
        },
        start: action("/start"),
        stop: action("/stop"),
        is_running: asks.then(|| action("/is-running")),
        debounce: Debounce {
            window: Duration::from_millis(200),
            hold_max: Duration::from_secs(2),
            hold_on_loss: Duration::ZERO,
        },
        unknown_stop_after: None,
        start_cancel_after: Duration::from_secs(10),
        retry: Retry {
            first: Duration::from_secs(1),
            factor: NonZeroU32::new(2).unwrap(),
            longest: Duration::from_secs(60),
            reset_after: Duration::from_secs(600),
        },
        audit_every: Duration::from_secs(120),
        report_every: Duration::from_secs(3_600),
        on_exit: Release::Keep,
        on_remove: Release::Keep,
        environment: Vec::new(),
        arguments: Arguments::None,
    }
}

fn settings(starts: u32, instances: impl IntoIterator<Item = InstanceSettings>) -> Settings {
    Settings {
        starts_at_once: NonZeroU32::new(starts).unwrap(),
        poll_every: Duration::from_secs(2),
        audit_every: Duration::from_secs(120),
        instances: instances.into_iter().map(Arc::new).collect(),
    }
}

fn vip(index: u8) -> Address {
    let local = [10, 0, 0, index].into();
    let key = AddressKey {
        link: 1,
        local,
        prefix_length: 32,
        peer: None,
    };
    Address {
        key,
        label: None,
        usable: true,
    }
}

fn dump(vips: &[u8]) -> Input {
    let addresses = vips.iter().map(|index| vip(*index)).collect();
    Input::Dumped(KernelDump {
        links: Vec::new(),
        addresses,
    })
}

fn gone(index: u8) -> Input {
    Input::Kernel(vec![KernelEvent::AddressGone(vip(index).key)])
}

fn present(index: u8) -> Input {
    Input::Kernel(vec![KernelEvent::AddressPresent(vip(index))])
}

fn outputs(machine: &mut Machine) -> Vec<Output> {
    std::iter::from_fn(|| machine.poll_output()).collect()
}

fn give(machine: &mut Machine, input: Input, now: Time) -> Vec<Output> {
    machine.handle(input, now);
    outputs(machine)
}

fn wait(machine: &mut Machine, now: Time) -> Vec<Output> {
    machine.handle_timeout(now);
    outputs(machine)
}

/// A machine that follows the kernel and has seen these VIPs at 1 ms.
fn machine(settings: &Settings, restored: &RestoredMap, vips: &[u8]) -> (Machine, Vec<Output>) {
    let mut machine = Machine::new(settings, restored, 7, at(0));
    outputs(&mut machine);
    give(&mut machine, Input::Subscribed, at(0));
    let first = give(&mut machine, dump(vips), at(1));
    (machine, first)
}

fn jobs(outputs: &[Output]) -> Vec<&Job> {
    let mut jobs = Vec::new();
    for output in outputs {
        if let Output::Start(job) = output {
            jobs.push(&**job);
        }
    }
    jobs
}

fn actions(outputs: &[Output]) -> Vec<Action> {
    jobs(outputs).iter().map(|job| job.action).collect()
}

fn end(machine: &mut Machine, job: JobId, code: i32, now: Time) -> Vec<Output> {
    give(
        machine,
        Input::Ended {
            job,
            exit: Exit::Code(code),
        },
        now,
    )
}

fn superseded(machine: &Machine, now: Time) -> u64 {
    machine.view(InstanceId(0), now).unwrap().superseded
}

fn event(output: &Output) -> Option<&Event> {
    match output {
        Output::Event(event) => Some(event),
        Output::Watch(_)
        | Output::WatchUnits(_)
        | Output::Subscribe
        | Output::Dump
        | Output::Start(_)
        | Output::Signal { .. }
        | Output::ReserveEpochs { .. }
        | Output::Remember { .. }
        | Output::RememberNic { .. }
        | Output::LetGo { .. }
        | Output::Changed(_)
        | Output::Gone(_)
        | Output::Finished => None,
    }
}

#[test]
fn what_a_reload_does_not_change_is_kept_once() {
    let before = settings(
        1,
        [instance(1, false), instance(2, false), instance(4, true)],
    );
    let mut after = settings(
        1,
        [instance(1, false), instance(2, true), instance(3, false)],
    );
    let told = after.clone();
    after.share(&before);
    assert_eq!(after, told);
    let shares = |index: usize| Arc::ptr_eq(&after.instances[index], &before.instances[index]);
    assert_eq!([0, 1, 2].map(shares), [true, false, false]);
}

#[test]
fn an_audit_does_not_cost_a_waiting_start_its_turn() {
    let two = settings(1, [instance(0, true), instance(1, true), instance(2, true)]);
    let (mut machine, first) = machine(&two, &RestoredMap::new(), &[0, 1, 2]);
    let asked: Vec<_> = jobs(&first).iter().map(|job| job.id).collect();
    assert_eq!(actions(&first), [Action::IsRunning; 3]);
    let first_start = end(&mut machine, asked[0], 1, at(2));
    assert_eq!(actions(&first_start), [Action::Start]);
    let start = jobs(&first_start)[0].id;
    assert_eq!(actions(&end(&mut machine, asked[1], 1, at(3))), []);
    assert_eq!(actions(&end(&mut machine, asked[2], 1, at(4))), []);
    let audited = give(&mut machine, Input::Audit(Some(name(1))), at(5));
    assert_eq!(actions(&audited), []);
    let next = end(&mut machine, start, 0, at(6));
    let starts: Vec<_> = jobs(&next)
        .iter()
        .filter(|job| job.action == Action::Start)
        .map(|job| job.instance)
        .collect();
    assert_eq!(starts, [InstanceId(1)]);
}

#[test]
fn a_view_between_two_mutations_shows_what_was_decided() {
    let (mut machine, first) = machine(
        &settings(1, [instance(0, false)]),
        &RestoredMap::new(),
        &[0],
    );
    let start = jobs(&first)[0].id;
    end(&mut machine, start, 1, at(10));
    let next = |machine: &Machine, ms| machine.view(InstanceId(0), at(ms)).unwrap().next;
    let retry = next(&machine, 10);
    assert!(matches!(retry, Next::RetryAt { at: due, failures: 1, .. } if due == at(1_010)));
    assert!(matches!(
        retry,
        Next::RetryAt {
            action: Action::Start,
            ..
        }
    ));
    // The timer is due and has not been handled: nothing waits for a place.
    assert_eq!(next(&machine, 1_020), retry);
    assert_eq!(actions(&wait(&mut machine, at(1_020))), [Action::Start]);
}

#[test]
fn a_shutdown_waits_for_the_stop_of_a_removed_instance() {
    let mut one = instance(0, false);
    one.on_remove = Release::Stop;
    let (mut machine, first) = machine(&settings(1, [one]), &RestoredMap::new(), &[0]);
    end(&mut machine, jobs(&first)[0].id, 0, at(10));
    let removed = give(&mut machine, Input::Reload(settings(1, [])), at(20));
    assert_eq!(actions(&removed), [Action::Stop]);
    end(&mut machine, jobs(&removed)[0].id, 1, at(30));
    let shut = give(&mut machine, Input::Shutdown, at(40));
    // What the operator was promised is tried once more at once, and not called complete before.
    assert_eq!(actions(&shut), [Action::Stop]);
    assert!(!shut.contains(&Output::Finished));
    let stopped = end(&mut machine, jobs(&shut)[0].id, 0, at(50));
    assert!(stopped.contains(&Output::Gone(InstanceId(0))));
    assert!(stopped.contains(&Output::Finished));
}

#[test]
fn a_held_gain_that_is_lost_is_counted() {
    let (mut machine, _) = machine(
        &settings(1, [instance(0, false)]),
        &RestoredMap::new(),
        &[0],
    );
    give(&mut machine, gone(0), at(10));
    let before = superseded(&machine, at(10));
    let held = give(&mut machine, present(0), at(20));
    assert!(
        held.iter()
            .any(|one| matches!(event(one), Some(Event::Held { .. })))
    );
    give(&mut machine, gone(0), at(30));
    assert_eq!(superseded(&machine, at(30)), before + 1);
}

#[test]
fn an_adopted_job_past_its_deadline_is_told_to_end_at_once() {
    let adopted = Adopted {
        job: JobId { life: 3, number: 9 },
        action: Action::Start,
        role: Role::Master,
        epoch: 41,
        reason: Reason::RoleGained,
        pid: 4_711,
        identity: Identity::Recorded,
        started: at(2),
        deadline: at(5),
    };
    let restored = Restored {
        adopted: Some(adopted),
        ..Restored::default()
    };
    let restored = RestoredMap::from([(name(0), restored)]);
    let mut machine = Machine::new(&settings(1, [instance(0, false)]), &restored, 4, at(1_000));
    outputs(&mut machine);
    assert_eq!(machine.next_deadline(), Some(at(1_000)));
    let view = machine.view(InstanceId(0), at(1_000)).unwrap();
    assert_eq!(view.knowledge, Knowledge::Maybe);
    // Why and since when it runs is the job's own, not that of who took it up.
    let job = view.job.unwrap();
    assert_eq!((job.reason, job.started), (Reason::RoleGained, at(2)));
    let signalled = wait(&mut machine, at(1_000));
    assert!(
        signalled
            .iter()
            .any(|one| matches!(one, Output::Signal { .. }))
    );
    assert_eq!(machine.next_deadline(), Some(at(11_000)));
    let ended = give(
        &mut machine,
        Input::Ended {
            job: JobId { life: 3, number: 9 },
            exit: Exit::Unseen,
        },
        at(1_500),
    );
    let is_old = |one: &Output| matches!(event(one), Some(Event::JobEnded { started, .. }) if *started == at(2));
    assert!(ended.iter().any(is_old), "{ended:?}");
    let last = machine.view(InstanceId(0), at(1_500)).unwrap().last_action;
    assert_eq!(last.unwrap().reason, Reason::RoleGained);
    // What is told of it names the transition that it serves, not the one that is to come.
    let told = |one: &Output| {
        matches!(
            event(one),
            Some(Event::JobSignalled {
                epoch: 41,
                role: Role::Master,
                ..
            })
        )
    };
    assert!(signalled.iter().any(told), "{signalled:?}");
}

#[test]
fn a_job_of_an_instance_that_was_not_configured_is_waited_for_when_it_comes() {
    let job = JobId { life: 3, number: 9 };
    let adopted = Adopted {
        job,
        action: Action::Start,
        role: Role::Master,
        epoch: 41,
        reason: Reason::RoleGained,
        pid: 4_711,
        identity: Identity::Recorded,
        started: at(2),
        deadline: at(50_000),
    };
    let restored = Restored {
        adopted: Some(adopted),
        ..Restored::default()
    };
    let restored = RestoredMap::from([(name(0), restored)]);
    let (mut waiting, _) = machine(&settings(1, []), &restored, &[0]);
    let one = settings(1, [instance(0, false)]);
    let reloaded = give(&mut waiting, Input::Reload(one.clone()), at(1_000));
    assert_eq!(actions(&reloaded), []);
    assert_eq!(actions(&give(&mut waiting, dump(&[0]), at(1_001))), []);
    let view = waiting.view(InstanceId(0), at(1_001)).unwrap();
    assert_eq!(view.job.map(|job| job.pid), Some(Some(4_711)));
    let exit = Exit::Unseen;
    let ended = give(&mut waiting, Input::Ended { job, exit }, at(2_000));
    assert_eq!(actions(&ended), [Action::Start]);

    // One that has ended before keeps nobody waiting.
    let (mut late, _) = machine(&settings(1, []), &restored, &[0]);
    let exit = Exit::Unseen;
    give(&mut late, Input::Ended { job, exit }, at(500));
    give(&mut late, Input::Reload(one), at(1_000));
    assert_eq!(
        actions(&give(&mut late, dump(&[0]), at(1_001))),
        [Action::Start]
    );
}

#[test]
fn in_a_storm_of_overruns_the_role_follows_the_dumps() {
    let (mut machine, first) = machine(
        &settings(1, [instance(0, false)]),
        &RestoredMap::new(),
        &[0],
    );
    end(&mut machine, jobs(&first)[0].id, 0, at(5));
    give(&mut machine, Input::Overrun, at(10));
    let mut now = 10;
    let mut storm = |machine: &mut Machine, vips: &[u8], until: u64| {
        let mut begun = Vec::new();
        while now < until {
            now += 10;
            begun.extend(actions(&wait(machine, at(now))));
            begun.extend(actions(&give(machine, Input::Overrun, at(now))));
            begun.extend(actions(&give(machine, dump(vips), at(now + 5))));
        }
        begun
    };
    assert_eq!(storm(&mut machine, &[0], 30_000), []);
    assert_eq!(storm(&mut machine, &[], 30_010), [Action::Stop]);
}

#[test]
fn a_restart_stops_nothing_that_the_kernel_can_still_be_asked_about() {
    let mut one = instance(0, false);
    one.unknown_stop_after = Some(Duration::from_millis(1));
    let settings = settings(1, [one]);
    let restored = Restored {
        knowledge: Some(Knowledge::Running),
        ..Restored::default()
    };
    let restored = RestoredMap::from([(name(0), restored)]);
    let mut machine = Machine::new(&settings, &restored, 7, at(0));
    outputs(&mut machine);
    give(&mut machine, Input::Subscribed, at(0));
    assert_eq!(actions(&wait(&mut machine, at(50))), []);
    assert_eq!(actions(&give(&mut machine, dump(&[0]), at(60))), []);
    // Nor does a new rule.
    let mut changed = instance(0, false);
    changed.unknown_stop_after = Some(Duration::from_millis(1));
    changed.role.quorum = Quorum::Any;
    let settings = self::settings(1, [changed]);
    assert_eq!(
        actions(&give(&mut machine, Input::Reload(settings), at(100))),
        []
    );
    assert_eq!(actions(&wait(&mut machine, at(150))), []);
    // But a dump that does not come means something in the end: three polls later.
    let error = "interrupted".to_owned();
    give(&mut machine, Input::DumpFailed { error }, at(160));
    assert_eq!(actions(&wait(&mut machine, at(6_100))), []);
    assert_eq!(actions(&wait(&mut machine, at(6_101))), [Action::Stop]);
}

#[test]
fn only_a_second_epoch_that_the_disk_has_not_answered_is_complained_of() {
    let complains = |outputs: Vec<Output>| {
        let exhausted = |one: &Output| matches!(event(one), Some(Event::EpochsExhausted { .. }));
        outputs.iter().any(exhausted)
    };
    let (mut machine, first) =
        machine(&settings(1, [instance(0, false)]), &RestoredMap::new(), &[]);
    assert!(!complains(first));
    assert!(complains(give(&mut machine, present(0), at(1_000))));
    let noted = Input::EpochsReserved(vec![(InstanceId(0), 1_000), (InstanceId(9), 1_000)]);
    give(&mut machine, noted, at(1_001));
    assert!(!complains(give(&mut machine, gone(0), at(5_000))));
}

fn repaired(outputs: &[Output]) -> bool {
    let is_repair = |output: &Output| matches!(event(output), Some(Event::AuditRepaired { .. }));
    outputs.iter().any(is_repair)
}

#[test]
fn a_vip_that_a_reload_makes_known_was_missed_by_no_notification() {
    let one = settings(1, [instance(0, false)]);
    let both = settings(1, [instance(0, false), instance(1, false)]);
    let (mut machine, _) = machine(&one, &RestoredMap::new(), &[0]);
    let reloaded = give(&mut machine, Input::Reload(both), at(10));
    assert!(reloaded.contains(&Output::Dump));
    assert!(!repaired(&give(&mut machine, dump(&[0, 1]), at(11))));
    // The next dump is an audit again.
    give(&mut machine, Input::Audit(None), at(20));
    assert!(repaired(&give(&mut machine, dump(&[0]), at(21))));
}

#[test]
fn a_dump_under_way_brings_nothing_back_that_a_reload_removes() {
    let one = settings(1, [instance(0, false)]);
    let both = settings(1, [instance(0, false), instance(1, false)]);
    let (mut machine, first) = machine(&both, &RestoredMap::new(), &[0]);
    for job in jobs(&first) {
        end(&mut machine, job.id, 0, at(5));
    }
    give(&mut machine, Input::Audit(None), at(10));
    assert!(!give(&mut machine, Input::Reload(one.clone()), at(11)).contains(&Output::Dump));
    // It was asked for while the second VIP was watched, so it is asked for anew.
    let stale = give(&mut machine, dump(&[0, 1]), at(12));
    assert!(stale.contains(&Output::Dump) && !repaired(&stale));
    assert!(!repaired(&give(&mut machine, dump(&[0]), at(13))));
    // Where nothing changes there is no dump.
    assert!(!give(&mut machine, Input::Reload(one), at(14)).contains(&Output::Dump));
}

mod units;
