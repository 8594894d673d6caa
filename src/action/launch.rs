//! From a job to a process: program, arguments, environment, output, and the sentence that says why it could
//! not be. Runs on a spawner thread, which it may keep waiting: `posix_spawn(3)` suspends its caller until the
//! exec, and the exec waits for a write lease or a file server as long as these like.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::JobRecorder;
use super::environment::{Block, Inherited, keepalived_arguments, search_path};
use super::output::{OutputFate, OutputName, Spare};
use super::process::{ProcessStat, open_pidfd, plain};
use super::spawn::{Streams, spawn};
use super::stage::{StageError, Staged, Step, spawn_staged};
use crate::kill_points;
use crate::machine::job::Job;
use crate::machine::process::ScriptSecurity;
use crate::machine::settings::{Arguments, Command};
use crate::scheduling::Realtime;
use crate::trust::{self, Trusted, interpreter_of};

/// The shell of lines, and of files whose format the kernel does not know.
pub(super) const SHELL: &str = "/bin/sh";

/// What all launches share; made once.
pub(super) struct Launcher {
    /// The environment that every job begins with.
    pub(super) environment: Inherited,
    /// Where output files go.
    pub(super) output_directory: PathBuf,
    /// Writes down which processes exist.
    pub(super) recorder: Arc<dyn JobRecorder>,
    /// `/dev/null`, open for reading and writing.
    pub(super) null: File,
    /// This life of the daemon; see [`JobId`](crate::machine::job::JobId).
    pub(super) life: u32,
    /// What becomes of scripts that are not in safe hands, where the file does not say.
    pub(super) script_security: ScriptSecurity,
    /// What the spawner threads are, and no action.
    pub(super) realtime: Option<Arc<Realtime>>,
}

/// Told of a process that can be signalled before it is the action.
pub(super) trait Births {
    /// It exists, and leads a group of this number.
    fn born(&self, pid: u32);

    /// It is about to be reaped, and nothing has come of it.
    fn dying(&self);
}

/// A process that exists, unreaped.
pub(super) struct Spawned {
    /// Its number, which is its group's too.
    pub(super) pid: u32,
    /// Becomes readable when it ends. `None` when descriptors were scarce (EMFILE).
    pub(super) pidfd: Option<OwnedFd>,
    /// When the exec had succeeded.
    pub(super) at: Instant,
}

impl Launcher {
    /// Makes the calling spawner thread what it is to be.
    pub(super) fn enter_class(&self) {
        self.realtime.iter().for_each(|it| it.enter());
    }

    /// Runs the job's command; the error is a sentence for people.
    pub(super) fn launch(
        &self,
        job: &Job,
        spare: &mut Spare,
        births: &dyn Births,
    ) -> (Result<Spawned, String>, OutputFate) {
        self.recorder.intent(job);
        match self.spawn(job, spare, births) {
            Ok((pid, at, fate)) => {
                // The child is unreaped, and only the executor reaps it, once it has heard of it: so the
                // number is this process's for as long as this function runs.
                let pidfd = open_pidfd(pid);
                kill_points::pass("output", "unnamed");
                let fate = match fate {
                    OutputFate::Kept => spare.hand_over(&OutputName::of(job)),
                    OutputFate::Lost => fate,
                };
                kill_points::pass("output", "named");
                (Ok(Spawned { pid, pidfd, at }), fate)
            }
            Err(error) => {
                self.recorder.not_spawned(job);
                (Err(error), OutputFate::Kept)
            }
        }
    }

    /// Without its start the process could be taken for another one of its number. The intent alone has the next
    /// daemon look for it by its environment.
    fn record(&self, job: &Job, pid: u32) {
        if let Ok(stat) = ProcessStat::read(pid) {
            self.recorder.spawned(job, pid, stat.start);
        }
    }

    /// Refuses what somebody else could have changed. Between this look and the exec nothing can be put in the
    /// place of what was looked at: whoever could do that could write a directory on the way, and that is refused.
    fn judge(&self, job: &Job, program: &Path) -> Result<(), String> {
        let process = &job.command.process;
        match process.script_security.unwrap_or(self.script_security) {
            ScriptSecurity::Strict => {}
            ScriptSecurity::Warn | ScriptSecurity::Off => return Ok(()),
        }
        let run = &job.command.run;
        let file = match run {
            Command::File(_) | Command::Argv(_) => Some(program),
            Command::Shell(_) | Command::Units(_) => run.file(),
        };
        let trusted = Trusted::for_user(process.user.as_ref().map(|user| user.uid));
        let Some(file) = file.filter(|file| !trust::is_safe(file, trusted)) else {
            return Ok(());
        };
        let faults = trust::inspect(file, trusted);
        let Some(first) = faults.first() else {
            return Ok(());
        };
        let more = match faults.len() {
            1 => String::new(),
            length => format!(" (and {} more; keepstart validate shows all)", length - 1),
        };
        let file = file.display();
        Err(format!("{file} is not run, because {first}{more}"))
    }

    /// Makes the process, and records it; gives back its number and when the exec had succeeded.
    fn spawn(
        &self,
        job: &Job,
        spare: &mut Spare,
        births: &dyn Births,
    ) -> Result<(u32, Instant, OutputFate), String> {
        let invocation = Invocation::of(job, search_path(job, &self.environment))?;
        let program = &invocation.program;
        self.judge(job, program)?;
        let environment = Block::of(job, &self.environment)
            .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let (output, fate) = match spare.file() {
            Some(file) => (file, OutputFate::Kept),
            None => (&self.null, OutputFate::Lost),
        };
        let directory = job.command.working_directory.as_deref();
        let process = &job.command.process;
        let realtime = self.realtime.as_deref();
        let differs = process.differs_from_the_daemon();
        // A workspace is where the daemon itself is, as long as the path still leads there.
        let elsewhere = directory.filter(|directory| !differs && !is_here(directory));
        // A plain child is brought elsewhere from an ordinary thread only.
        let is_realtime = || realtime.is_some_and(Realtime::is_handed_on);
        if differs || elsewhere.is_some() && is_realtime() {
            let staged = Staged {
                process,
                program,
                arguments: &invocation.arguments,
                directory,
                by_shell: invocation.format == Format::ShellMayRead,
                realtime,
            };
            let born = |pid| {
                births.born(pid);
                self.record(job, pid);
            };
            return match spawn_staged(staged, &environment, output, born, || births.dying()) {
                Ok(pid) => Ok((pid, super::now(), fate)),
                Err(error) => Err(explain_stage(program, job, error)),
            };
        }
        let streams = Streams {
            input: &self.null,
            output,
        };
        let attempt = |invocation: &Invocation| {
            let Invocation {
                program, arguments, ..
            } = invocation;
            spawn(
                program,
                arguments,
                &environment,
                elsewhere,
                streams,
                realtime,
            )
        };
        let result = match attempt(&invocation) {
            Err(error) if is(&error, Errno::NOEXEC) => match invocation.by_shell() {
                Some(by_shell) => attempt(&by_shell),
                None => Err(error),
            },
            result => result,
        };
        match result {
            Ok(pid) => {
                let at = super::now();
                kill_points::pass("process", "made");
                self.record(job, pid);
                Ok((pid, at, fate))
            }
            Err(error) => Err(explain(program, job, &error)),
        }
    }
}

/// Whether a path leads to this process's working directory. Waits as long as a file server does.
pub(super) fn is_here(directory: &Path) -> bool {
    let is_same = |there: fs::Metadata, here: fs::Metadata| {
        (there.dev(), there.ino()) == (here.dev(), here.ino())
    };
    fs::metadata(directory)
        .is_ok_and(|there| fs::metadata(".").is_ok_and(|here| is_same(there, here)))
}

/// A program and its arguments, as execve(2) takes them.
#[derive(Debug, PartialEq, Eq)]
struct Invocation {
    program: PathBuf,
    arguments: Vec<OsString>,
    format: Format,
}

/// What to do when the kernel does not know the program's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Hand the file to the shell, as a shell itself does with a script that has no `#!` line.
    ShellMayRead,
    /// Fail.
    KernelMustKnow,
}

impl Invocation {
    fn of(job: &Job, path: &OsStr) -> Result<Self, String> {
        let appended: &[&str] = match job.settings.arguments {
            Arguments::None => &[],
            Arguments::Keepalived => &keepalived_arguments(job),
        };
        let mut arguments: Vec<OsString> = Vec::new();
        let (program, format) = match &job.command.run {
            Command::File(file) => (with_slash(file), Format::ShellMayRead),
            Command::Shell(line) => {
                arguments.push("-c".into());
                arguments.push(line_with_arguments(line, appended).into());
                if !appended.is_empty() {
                    // The word after the line is `$0`; the shell begins its own error messages with it.
                    arguments.push("sh".into());
                }
                (PathBuf::from(SHELL), Format::KernelMustKnow)
            }
            Command::Argv(words) => {
                let (program, rest) = words
                    .split_first()
                    .ok_or("the command is an empty list of words")?;
                arguments.extend(rest.iter().map(OsString::from));
                let begin = job.command.working_directory.as_deref();
                (find_program(program, path, begin)?, Format::KernelMustKnow)
            }
            Command::Units(_) => return Err("a unit is started by systemd only".into()),
        };
        arguments.extend(appended.iter().map(OsString::from));
        Ok(Self {
            program,
            arguments,
            format,
        })
    }

    fn by_shell(&self) -> Option<Self> {
        match self.format {
            Format::KernelMustKnow => None,
            Format::ShellMayRead => {
                let file = self.program.clone().into_os_string();
                Some(Self {
                    program: SHELL.into(),
                    arguments: std::iter::once(file)
                        .chain(self.arguments.iter().cloned())
                        .collect(),
                    format: Format::KernelMustKnow,
                })
            }
        }
    }
}

/// A path without a slash would be looked for in `PATH`; a file is meant where it stands.
fn with_slash(file: &Path) -> PathBuf {
    if file.as_os_str().as_encoded_bytes().contains(&b'/') {
        file.to_owned()
    } else {
        Path::new(".").join(file)
    }
}

/// The line such that the arguments reach the command.
///
/// In any line `"$@"` and `$1` to `$4` are the arguments. A line of plain words is one command, and like a
/// shell's own command it gets them at its end, because `notify "/etc/notify.sh web"` of a keepalived file
/// means just that.
fn line_with_arguments(line: &str, arguments: &[&str]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " /._-+=:,@%".contains(c);
    if !arguments.is_empty() && line.chars().all(is_plain) {
        format!("{line} \"$@\"")
    } else {
        line.to_owned()
    }
}

/// Looks a program up as execvp(3) does, where the action runs: there relative entries begin. It is done here because
/// std, asked to do it, gives up `posix_spawn`.
fn find_program(program: &str, path: &OsStr, begin: Option<&Path>) -> Result<PathBuf, String> {
    if program.contains('/') {
        return Ok(program.into());
    }
    std::env::split_paths(path)
        // An empty entry means the present directory; so does "./PROGRAM", and it has the slash.
        .map(|directory| match begin {
            Some(begin) if directory.is_relative() => begin.join(directory).join(program),
            Some(_) | None => with_slash(&directory.join(program)),
        })
        .find(|candidate| candidate.is_file() && access(candidate, Access::EXEC_OK).is_ok())
        .ok_or_else(|| {
            format!(
                "cannot run {program}: there is no such program in PATH {}",
                path.display()
            )
        })
}

/// Says what could not be run and why. ENOENT has three causes that the kernel does not tell apart: the
/// directory, the program, or the interpreter in its first line.
fn explain(program: &Path, job: &Job, error: &io::Error) -> String {
    let reason = plain(error);
    if is(error, Errno::NOENT) || is(error, Errno::NOTDIR) {
        if let Some(directory) = &job.command.working_directory
            && !directory.is_dir()
        {
            let directory = directory.display();
            return format!("cannot run {} in {directory}: {reason}", program.display());
        }
        if let Some(interpreter) = interpreter_of(program) {
            let program = program.display();
            let interpreter = interpreter.to_string_lossy();
            let hint = if interpreter.ends_with('\r') {
                " (its lines end as on Windows: sed -i 's/\\r$//' mends that)"
            } else {
                ""
            };
            let interpreter = interpreter.escape_debug();
            return format!("cannot run {program}: its interpreter {interpreter}: {reason}{hint}");
        }
    }
    format!("cannot run {}: {reason}", program.display())
}

/// The same where the process was to become something else first.
fn explain_stage(program: &Path, job: &Job, error: StageError) -> String {
    let process = &job.command.process;
    let shown = program.display();
    let user = process.user.as_ref().map_or("?", |user| &*user.written);
    let (what, error) = match error {
        StageError::Failed(Step::Exec, error) => return explain(program, job, &error),
        StageError::Failed(Step::Directory, error) => {
            let directory = job.command.working_directory.clone().unwrap_or_default();
            let error = plain(&error);
            return format!("cannot run {shown} in {}: {error}", directory.display());
        }
        StageError::NoStage(error) => ("cannot prepare its process".to_owned(), error),
        StageError::Died(signal) => {
            let by = signal.map(|signal| format!(", by signal {signal}"));
            let by = by.unwrap_or_default();
            return format!("cannot run {shown}: its process ended before it could begin{by}");
        }
        StageError::Failed(step, error) => {
            let what = match step {
                Step::Orders | Step::Exec | Step::Directory => {
                    "cannot understand its orders".into()
                }
                Step::Limit(resource) => {
                    let limit = process.limits.get(&resource).map(ToString::to_string);
                    let limit = limit.unwrap_or_default();
                    format!("cannot limit {} to {limit}", resource.as_str())
                }
                Step::Nice => format!("cannot set nice to {}", process.nice.unwrap_or_default()),
                Step::Groups => format!("cannot take the groups of user {user}"),
                Step::Group => "cannot change the group".into(),
                Step::User => format!("cannot become user {user}"),
            };
            (what, error)
        }
    };
    format!("cannot run {shown}: {what}: {}", plain(&error))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests;
