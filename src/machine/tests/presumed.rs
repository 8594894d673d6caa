//! A process of an earlier life that only looks like a job: nothing is run beside it, and nothing is done to it.

use super::*;

const JOB: JobId = JobId { life: 3, number: 9 };

/// A machine on the BACKUP, at 100 s, that has taken such a start up.
fn begun() -> Machine {
    let adopted = Adopted {
        job: JOB,
        action: Action::Start,
        role: Role::Master,
        epoch: 41,
        reason: Reason::Adopted,
        pid: 4_711,
        identity: Identity::Presumed,
        started: at(90),
        deadline: at(180),
    };
    let restored = Restored {
        adopted: Some(adopted),
        epoch: 41,
        ..Restored::default()
    };
    let restored = RestoredMap::from([(name(0), restored)]);
    let mut machine = Machine::new(&settings(1, [instance(0, false)]), &restored, 4, at(100));
    outputs(&mut machine);
    give(&mut machine, Input::Subscribed, at(100));
    let seen = give(&mut machine, Input::Dumped(KernelDump::default()), at(100));
    assert!(began(&seen).is_empty(), "{seen:?}");
    machine
}

fn began(outputs: &[Output]) -> Vec<Action> {
    let actions = outputs.iter().filter_map(|one| {
        let Output::Start(job) = one else {
            return None;
        };
        Some(job.action)
    });
    actions.collect()
}

fn is_done_to_it(one: &Output) -> bool {
    matches!(one, Output::Signal { .. } | Output::LetGo { .. })
}

#[test]
fn it_is_let_go_of_when_its_time_is_up_and_never_signalled() {
    let machine = begun();
    // A recording goes on as the life went on.
    let written = serde_json::to_string(&machine.checkpoint(Clone::clone)).unwrap();
    let mut machine = Machine::resume(serde_json::from_str(&written).unwrap());
    let next = machine.view(InstanceId(0), at(100)).unwrap().next;
    assert_eq!(next, Next::JobPresumed { until: at(180) });
    assert_eq!(machine.next_deadline(), Some(at(180)));
    let over = wait(&mut machine, at(180));
    let signals = over.iter().filter(|one| is_done_to_it(one));
    let signals: Vec<_> = signals.cloned().collect();
    let expected = Output::LetGo {
        job: JOB,
        instance: name(0),
        action: Action::Start,
        pid: Some(4_711),
    };
    assert_eq!(signals, [expected]);
    assert_eq!(began(&over), [Action::Stop]);
    // Its end is nobody's business any more.
    let job = JOB;
    let exit = Exit::Unseen;
    let late = give(&mut machine, Input::Ended { job, exit }, at(181));
    assert!(late.is_empty(), "{late:?}");
}

#[test]
fn its_end_is_an_end_that_nobody_saw() {
    let mut machine = begun();
    let job = JOB;
    let exit = Exit::Unseen;
    let ended = give(&mut machine, Input::Ended { job, exit }, at(120));
    assert_eq!(began(&ended), [Action::Stop]);
    assert!(!ended.iter().any(is_done_to_it), "{ended:?}");
}

#[test]
fn an_instance_on_its_leave_goes_when_it_is_let_go_of() {
    let mut machine = begun();
    give(&mut machine, Input::Reload(settings(1, [])), at(101));
    assert_eq!(machine.views(at(101)).count(), 1);
    let over = wait(&mut machine, at(180));
    assert!(over.contains(&Output::Gone(InstanceId(0))), "{over:?}");
    assert_eq!(machine.jobs_running(), 0);
}
