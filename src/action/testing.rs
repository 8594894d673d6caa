//! What the tests of this folder share: jobs, scripts, a recorder that remembers, an executor in a directory
//! of its own. Everything runs real processes.

use std::fs;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::output::OutputName;
use super::{DaemonName, ExecEvent, Executor, ExecutorOptions, JobRecorder, ProcessStart};
use crate::machine::job::{Action, Exit, InstanceId, Job, JobId, Role};
use crate::machine::reason::Reason;
use crate::machine::settings::{
    ActionSettings, Arguments, Command, Debounce, InstanceName, InstanceSettings, NicNeverSeen,
    Quorum, Release, Retry, VipRule,
};

/// Longer than anything takes; a test that reaches it has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A job that a test may change before it submits it.
pub(super) fn job(number: u64, action: Action, run: Command) -> Job {
    let command = Arc::new(ActionSettings {
        run,
        timeout: Duration::from_secs(90),
        kill_after: Duration::from_secs(10),
        working_directory: None,
        process: Arc::default(),
    });
    Job {
        id: JobId {
            life: std::process::id(),
            number,
        },
        instance: InstanceId(1),
        settings: Arc::new(instance(&command)),
        action,
        command,
        role: Role::Master,
        previous_role: Role::Unknown,
        epoch: 7,
        reason: Reason::RoleGained,
    }
}

fn instance(command: &Arc<ActionSettings>) -> InstanceSettings {
    InstanceSettings {
        name: InstanceName::new("web.1").unwrap(),
        role: VipRule {
            nic: Some("lo".into()),
            addresses: vec!["127.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            quorum: Quorum::All,
            nic_never_seen: NicNeverSeen::Unknown,
        },
        start: Arc::clone(command),
        stop: Arc::clone(command),
        is_running: None,
        debounce: Debounce {
            window: Duration::ZERO,
            hold_max: Duration::ZERO,
            hold_on_loss: Duration::ZERO,
        },
        unknown_stop_after: None,
        start_cancel_after: Duration::from_secs(10),
        retry: Retry {
            first: Duration::from_secs(1),
            factor: NonZeroU32::MIN,
            longest: Duration::from_secs(1),
            reset_after: Duration::from_secs(1),
        },
        audit_every: Duration::from_mins(2),
        report_every: Duration::from_hours(1),
        on_exit: Release::Keep,
        on_remove: Release::Keep,
        environment: Vec::new(),
        arguments: Arguments::None,
    }
}

/// Changes the instance of a job.
pub(super) fn with_settings(mut job: Job, change: impl FnOnce(&mut InstanceSettings)) -> Job {
    change(Arc::make_mut(&mut job.settings));
    job
}

/// Writes an executable file. A child does it, because a descriptor for writing in this process may be copied
/// into a child that another test makes at this moment, and then the exec fails with ETXTBSY.
pub(super) fn script(path: &Path, text: &str) -> PathBuf {
    let mut writer = Process::new("/bin/sh")
        .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    assert!(writer.wait().unwrap().success());
    path.to_owned()
}

/// Remembers the calls in their order.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) calls: Mutex<Vec<Call>>,
}

/// One call of a recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Intent(JobId),
    Spawned(JobId, u32, ProcessStart),
    NotSpawned(JobId),
}

impl JobRecorder for Recorder {
    fn intent(&self, job: &Job) {
        self.calls.lock().unwrap().push(Call::Intent(job.id));
    }

    fn spawned(&self, job: &Job, pid: u32, started: ProcessStart) {
        let call = Call::Spawned(job.id, pid, started);
        self.calls.lock().unwrap().push(call);
    }

    fn not_spawned(&self, job: &Job) {
        self.calls.lock().unwrap().push(Call::NotSpawned(job.id));
    }
}

/// An executor and the directory that it works in.
pub(super) struct Bench {
    pub(super) executor: Executor,
    pub(super) recorder: Arc<Recorder>,
    pub(super) directory: TempDir,
}

/// Whose jobs the bench runs.
pub(super) fn daemon() -> DaemonName {
    DaemonName::of(Path::new("/etc/bench.yaml"))
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with_environment(vec![("PATH".into(), "/usr/bin:/bin".into())])
    }

    pub(super) fn with_environment(
        environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Arc::new(Recorder::default());
        let output_directory = directory.path().join("output");
        fs::create_dir(&output_directory).unwrap();
        let executor = Executor::new(ExecutorOptions {
            output_directory,
            recorder: Arc::<Recorder>::clone(&recorder),
            environment,
            daemon: daemon(),
            life: std::process::id(),
            realtime: None,
        })
        .unwrap();
        Self {
            executor,
            recorder,
            directory,
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn script(&self, name: &str, text: &str) -> PathBuf {
        script(&self.path(name), text)
    }

    pub(super) async fn next(&mut self) -> ExecEvent {
        tokio::time::timeout(PATIENCE, self.executor.next())
            .await
            .expect("an event was due")
    }

    /// Whether nothing happens for a while: that a spawn still hangs is no event.
    pub(super) async fn is_quiet_for(&mut self, time: Duration) -> bool {
        let event = async { while let ExecEvent::Hangs { .. } = self.executor.next().await {} };
        tokio::time::timeout(time, event).await.is_err()
    }

    pub(super) async fn spawned(&mut self) -> (JobId, u32) {
        match self.next().await {
            ExecEvent::Spawned { job, pid, .. } => (job, pid),
            other @ (ExecEvent::Ended { .. }
            | ExecEvent::Hangs { .. }
            | ExecEvent::UnitsChanged(_)) => {
                panic!("not spawned, but {other:?}")
            }
        }
    }

    pub(super) async fn ended(&mut self) -> (JobId, Exit) {
        loop {
            if let ExecEvent::Ended { job, exit, .. } = self.next().await {
                return (job, exit);
            }
        }
    }

    /// Runs one job to its end.
    pub(super) async fn run(&mut self, job: Job) -> Exit {
        let id = job.id;
        self.executor.submit(Box::new(job));
        let (ended, exit) = self.ended().await;
        assert_eq!(ended, id);
        exit
    }

    /// Runs a command to its end.
    pub(super) async fn run_command(&mut self, run: Command) -> Exit {
        self.run(job(1, Action::Start, run)).await
    }

    /// What the job has printed; there is no follower that would have taken it away.
    pub(super) fn output(&self, job: &Job) -> String {
        let name = OutputName::of(job).file_name();
        fs::read_to_string(self.path("output").join(name)).unwrap()
    }
}

/// Waits until something holds, without knowing when it will.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let steps = PATIENCE.as_millis() / 5;
    for _ in 0..steps {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}

/// Whether the process exists and is no zombie.
pub(super) fn is_alive(pid: u32) -> bool {
    super::process::ProcessStat::read(pid).is_ok_and(|stat| !stat.ended)
}

/// Ends a process that a test has left behind, and the group that it leads, also when the test fails.
pub(super) struct Reaper(pub(super) u32);

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(pid) = super::process::to_pid(self.0) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}
