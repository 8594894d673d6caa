//! Tests of `action/executor`.

mod adoption;
mod hung;
mod security;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::process::ProcessStat;
use super::super::testing::{Bench, Call, Reaper, is_alive, job, until, with_settings};
use super::*;
use crate::machine::job::Action;
use crate::machine::settings::{Arguments, Command};

fn shell(line: &str) -> Command {
    Command::Shell(line.into())
}

fn start(number: u64, run: Command) -> Job {
    job(number, Action::Start, run)
}

fn read_pid(path: &Path) -> u32 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

fn not_started(exit: Exit) -> String {
    match exit {
        Exit::NotStarted(text) => text,
        other @ (Exit::Code(_)
        | Exit::Signal(_)
        | Exit::Unseen
        | Exit::UnitFailed(_)
        | Exit::NotRunning(_)
        | Exit::PartlyRunning(_)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn exit_statuses_and_signals_are_told_apart() {
    let mut bench = Bench::new();
    assert_eq!(bench.run_command(shell("exit 0")).await, Exit::Code(0));
    assert_eq!(bench.run_command(shell("exit 255")).await, Exit::Code(255));
    assert_eq!(
        bench.run_command(shell("kill -9 $$")).await,
        Exit::Signal(9)
    );
    assert_eq!(
        bench.run_command(shell("kill -SEGV $$")).await,
        Exit::Signal(11)
    );
    assert!(bench.executor.is_idle());
    let counters = bench.executor.counters();
    assert_eq!(
        (counters.submitted, counters.spawned, counters.ended),
        (4, 4, 4)
    );
    assert_eq!((counters.threads, counters.spawns_hung), (2, 0));
}

#[tokio::test]
async fn a_job_leads_a_group_and_has_null_for_input_and_is_recorded_and_reaped() {
    let mut bench = Bench::new();
    let job = start(1, shell("readlink /proc/self/fd/0; cat; kill -STOP $$"));
    bench.executor.submit(Box::new(job.clone()));
    let (id, pid) = bench.spawned().await;
    let stat = ProcessStat::read(pid).unwrap();
    assert_eq!((id, stat.group), (job.id, pid));
    assert_ne!(stat.session, pid);
    until("it has stopped", || {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        text.contains(") T ")
    })
    .await;
    let calls = [Call::Intent(job.id), Call::Spawned(job.id, pid, stat.start)];
    assert_eq!(*bench.recorder.calls.lock().unwrap(), calls);
    bench.executor.signal(job.id, JobSignal::Kill);
    assert_eq!(bench.ended().await, (job.id, Exit::Signal(9)));
    assert_eq!(bench.output(&job), "/dev/null\n");
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test]
async fn the_environment_is_exactly_this() {
    let outer = vec![
        ("PATH".into(), "/usr/bin".into()),
        ("HOME".into(), "/home/x".into()),
        ("LANG".into(), "C".into()),
    ];
    let mut bench = Bench::with_environment(outer);
    let job = start(1, Command::Argv(vec!["env".into()]));
    let job = with_settings(job, |settings| {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        settings.environment = vec![pair("LANG", "de_DE"), pair("MINE", "a b")];
        settings.role.nic = None;
    });
    assert_eq!(bench.run(job.clone()).await, Exit::Code(0));
    let printed = bench.output(&job);
    let printed: BTreeSet<&str> = printed.lines().collect();
    let id = format!("KEEPSTART_JOB={}", job.id);
    let expected = BTreeSet::from([
        "PATH=/usr/bin",
        "HOME=/home/x",
        "LANG=de_DE",
        "KEEPSTART_INSTANCE=web.1",
        "KEEPSTART_ROLE=MASTER",
        "KEEPSTART_PREVIOUS_ROLE=UNKNOWN",
        "KEEPSTART_VIP=127.0.0.7,fd00::7",
        "KEEPSTART_NIC=",
        "KEEPSTART_ACTION=start",
        "KEEPSTART_REASON=the role was gained",
        "KEEPSTART_EPOCH=7",
        "KEEPSTART_CONFIG=/etc/bench.yaml",
        "MINE=a b",
        &id,
    ]);
    assert_eq!(printed, expected);
}

#[tokio::test]
async fn a_script_starts_with_default_signals() {
    let mut bench = Bench::new();
    let job = start(1, shell("grep -E 'Sig(Ign|Blk)' /proc/self/status"));
    assert_eq!(bench.run(job.clone()).await, Exit::Code(0));
    // Rust programs ignore SIGPIPE (bit 12); scripts must not.
    let printed = bench.output(&job);
    let mask = |name: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
    };
    assert_eq!(mask("SigIgn:") & (1 << 12), 0, "{printed}");
    assert_eq!(mask("SigBlk:"), 0, "{printed}");
}

#[tokio::test]
async fn a_script_without_interpreter_is_read_by_the_shell_with_its_arguments() {
    let mut bench = Bench::new();
    let file = bench.script("my start.sh", "echo \"$0|$*\"; exit 4\n");
    let job = start(1, Command::File(file.clone()));
    let job = with_settings(job, |settings| settings.arguments = Arguments::Keepalived);
    assert_eq!(bench.run(job.clone()).await, Exit::Code(4));
    let expected = format!("{}|INSTANCE web.1 MASTER 0\n", file.display());
    assert_eq!(bench.output(&job), expected);
    // A list of words is a system call's arguments; it has no second reading.
    let words = vec![file.to_str().unwrap().to_owned()];
    let text = not_started(bench.run_command(Command::Argv(words)).await);
    let expected = format!("cannot run {}: Exec format error", file.display());
    assert_eq!(text, expected);
}

#[tokio::test]
async fn arguments_reach_the_command_of_a_line() {
    let mut bench = Bench::new();
    for (number, line) in [
        (1, "echo web"),
        (2, "for w; do printf '%s ' \"$w\"; done; echo"),
    ] {
        let job = start(number, shell(line));
        let job = with_settings(job, |settings| settings.arguments = Arguments::Keepalived);
        assert_eq!(bench.run(job.clone()).await, Exit::Code(0));
        let output = bench.output(&job);
        assert!(
            output.trim().ends_with("INSTANCE web.1 MASTER 0"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let mut bench = Bench::new();
    let missing = bench.path("missing.sh");
    let text = not_started(bench.run_command(Command::File(missing.clone())).await);
    let expected = format!(
        "cannot run {}: No such file or directory",
        missing.display()
    );
    assert_eq!(text, expected);

    let plain = bench.path("plain.sh");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    let text = not_started(bench.run_command(Command::File(plain.clone())).await);
    assert_eq!(
        text,
        format!("cannot run {}: Permission denied", plain.display())
    );

    let odd = bench.script("odd.sh", "#! /opt/no/python3 -u\n");
    let text = not_started(bench.run_command(Command::File(odd.clone())).await);
    let expected = "its interpreter /opt/no/python3: No such file or directory";
    assert_eq!(text, format!("cannot run {}: {expected}", odd.display()));

    let windows = bench.script("windows.sh", "#!/bin/sh\r\ntrue\r\n");
    let text = not_started(bench.run_command(Command::File(windows.clone())).await);
    let expected = "its interpreter /bin/sh\\r: No such file or directory (its lines end as on Windows: \
                    sed -i 's/\\r$//' mends that)";
    assert_eq!(
        text,
        format!("cannot run {}: {expected}", windows.display())
    );

    let mut job = start(9, shell("true"));
    Arc::make_mut(&mut job.command).working_directory = Some("/nowhere".into());
    let text = not_started(bench.run(job.clone()).await);
    assert_eq!(
        text,
        "cannot run /bin/sh in /nowhere: No such file or directory"
    );

    let text = not_started(
        bench
            .run_command(Command::Argv(vec!["nonesuch".into()]))
            .await,
    );
    assert!(
        text.starts_with("cannot run nonesuch: there is no such program"),
        "{text}"
    );

    let calls = bench.recorder.calls.lock().unwrap().clone();
    assert!(calls.ends_with(&[
        Call::Intent(start(1, shell("")).id),
        Call::NotSpawned(start(1, shell("")).id)
    ]));
    assert_eq!(bench.executor.counters().not_started, 6);
    // Nothing was written, so nothing is left to be followed.
    assert_eq!(fs::read_dir(bench.path("output")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_job_runs_in_its_directory() {
    let mut bench = Bench::new();
    let mut job = start(1, shell("pwd"));
    Arc::make_mut(&mut job.command).working_directory = Some("/usr".into());
    assert_eq!(bench.run(job.clone()).await, Exit::Code(0));
    assert_eq!(bench.output(&job), "/usr\n");
}

#[tokio::test]
async fn without_an_output_directory_the_script_runs_all_the_same() {
    let mut bench = Bench::new();
    fs::remove_dir(bench.path("output")).unwrap();
    let line = format!("echo lost; touch {}", bench.path("ran").display());
    assert_eq!(bench.run_command(shell(&line)).await, Exit::Code(0));
    assert!(bench.path("ran").exists());
    assert_eq!(bench.executor.counters().outputs_lost, 1);
}

#[tokio::test]
async fn what_a_script_leaves_in_the_background_is_left_alone() {
    let mut bench = Bench::new();
    let pid_file = bench.path("pid");
    let line = format!("sleep 1000 & echo $! >{}", pid_file.display());
    let job = start(1, shell(&line));
    assert_eq!(bench.run(job.clone()).await, Exit::Code(0));
    let left = read_pid(&pid_file);
    let _reaper = Reaper(left);
    bench.executor.signal(job.id, JobSignal::Kill);
    assert!(bench.is_quiet_for(Duration::from_millis(50)).await);
    assert!(is_alive(left));
    drop(bench);
    assert!(is_alive(left));
}

#[tokio::test]
async fn a_job_that_has_just_ended_by_itself_is_not_signalled() {
    let mut bench = Bench::new();
    let pid_file = bench.path("pid");
    let line = format!("sleep 1000 & echo $! >{}", pid_file.display());
    let job = start(1, shell(&line));
    bench.executor.submit(Box::new(job.clone()));
    let (_, pid) = bench.spawned().await;
    until("it has ended", || ProcessStat::read(pid).unwrap().ended).await;
    let left = read_pid(&pid_file);
    let _reaper = Reaper(left);
    bench.executor.signal(job.id, JobSignal::Term);
    assert_eq!(bench.ended().await, (job.id, Exit::Code(0)));
    assert!(is_alive(left));
}

#[tokio::test]
async fn a_signalled_job_ends_only_with_the_last_of_its_group() {
    let mut bench = Bench::new();
    let (deaf_file, ready) = (bench.path("deaf"), bench.path("ready"));
    // The child ignores TERM; the script itself does not.
    let line = format!(
        "(trap '' TERM; touch {}; while :; do sleep 0.05; done) & echo $! >{}; wait",
        ready.display(),
        deaf_file.display()
    );
    let job = start(1, shell(&line));
    bench.executor.submit(Box::new(job.clone()));
    let (_, pid) = bench.spawned().await;
    until("the child is deaf", || ready.exists() && deaf_file.exists()).await;
    let deaf = read_pid(&deaf_file);
    bench.executor.signal(job.id, JobSignal::Term);
    assert!(bench.is_quiet_for(Duration::from_millis(300)).await);
    assert!(is_alive(deaf));
    assert!(!is_alive(pid));
    assert!(!bench.executor.is_idle());
    bench.executor.signal(job.id, JobSignal::Kill);
    assert_eq!(bench.ended().await, (job.id, Exit::Signal(15)));
    assert!(!is_alive(deaf));
    assert!(bench.executor.is_idle());
}

/// As in a container whose PID 1 reaps nobody.
#[tokio::test]
async fn a_group_of_zombies_that_nobody_reaps_is_empty() {
    let mut bench = Bench::new();
    let (parent_file, ready) = (bench.path("parent"), bench.path("ready"));
    // The parent leaves the group, its child stays in it, and is never waited for.
    let line = format!(
        "perl -e '$group = getpgrp; setpgrp; unless (fork) {{ setpgrp 0, $group; open F, \">{}\"; sleep 1000 }} sleep 1000' \
         & echo $! >{}; wait",
        ready.display(),
        parent_file.display()
    );
    let job = start(1, shell(&line));
    bench.executor.submit(Box::new(job.clone()));
    let (_, pid) = bench.spawned().await;
    // The shell and its child write at the same time.
    let told = || fs::read_to_string(&parent_file).is_ok_and(|text| text.ends_with('\n'));
    until("the child is in the group", || ready.exists() && told()).await;
    let parent = read_pid(&parent_file);
    let _reaper = Reaper(parent);
    bench.executor.signal(job.id, JobSignal::Term);
    assert_eq!(bench.ended().await, (job.id, Exit::Signal(15)));
    assert!(is_alive(parent));
    let group = to_pid(pid).unwrap();
    assert_eq!(group_state(group), Group::Populated, "by the zombie");
    assert!(bench.executor.is_idle());
}

#[tokio::test]
async fn a_script_may_answer_term_with_a_status_of_its_own() {
    let mut bench = Bench::new();
    let ready = bench.path("ready");
    let line = format!(
        "trap 'exit 7' TERM; touch {}; while :; do sleep 0.02; done",
        ready.display()
    );
    let job = start(1, shell(&line));
    bench.executor.submit(Box::new(job.clone()));
    bench.spawned().await;
    until("it listens", || ready.exists()).await;
    bench.executor.signal(job.id, JobSignal::Term);
    assert_eq!(bench.ended().await, (job.id, Exit::Code(7)));
}

#[tokio::test]
async fn five_hundred_jobs_at_once_all_end_and_leave_no_zombie() {
    let mut bench = Bench::new();
    for number in 1..=500 {
        let action = match number % 3 {
            0 => Action::Stop,
            1 => Action::Start,
            _ => Action::IsRunning,
        };
        let code = number % 200;
        let argv = ["/bin/sh", "-c", &format!("exit {code}")].map(str::to_owned);
        let job = job(number, action, Command::Argv(argv.into()));
        bench.executor.submit(Box::new(job));
    }
    let mut pids = BTreeSet::new();
    let mut ended = BTreeSet::new();
    while ended.len() < 500 {
        match bench.next().await {
            ExecEvent::Spawned { pid, .. } => assert!(pids.insert(pid)),
            ExecEvent::Ended { job, exit, .. } => {
                let code = i32::try_from(job.number % 200).unwrap();
                assert_eq!(exit, Exit::Code(code));
                assert!(ended.insert(job.number));
            }
            // Five hundred at once may take a busy machine a second.
            ExecEvent::Hangs { .. } => {}
            ExecEvent::UnitsChanged(_) => panic!("the executor has no units"),
        }
    }
    assert!(bench.executor.is_idle());
    assert_eq!(pids.len(), 500);
    let zombie = |pid: &&u32| ProcessStat::read(**pid).is_ok_and(|stat| stat.ended);
    assert_eq!(pids.iter().filter(zombie).count(), 0);
}

#[tokio::test]
async fn a_cancelled_wait_loses_nothing() {
    let mut bench = Bench::new();
    let job = start(1, shell("sleep 0.05; exit 5"));
    bench.executor.submit(Box::new(job.clone()));
    let mut events = Vec::new();
    while events.len() < 2 {
        let wait = Duration::from_micros(200);
        if let Ok(event) = tokio::time::timeout(wait, bench.executor.next()).await {
            events.push(event);
        }
    }
    assert!(matches!(events[0], ExecEvent::Spawned { .. }));
    assert!(matches!(
        &events[1],
        ExecEvent::Ended {
            exit: Exit::Code(5),
            ..
        }
    ));
}
