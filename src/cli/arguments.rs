//! The command line: commands, options and their help. Pure.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::machine::settings::{BadInstanceName, InstanceName};

/// The names that the binary answers to. Any other name it may have been given is the first one's.
const NAMES: [(&str, Speaks); 2] = [("keepstart", Speaks::Own), ("keepserver", Speaks::Own)];

/// Which command line a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// The one of this file; the Python tool's is a part of it.
    Own,
}

const AFTER_HELP: &str = "\
Examples:
  keepstart demo                            see it work, without touching this machine
  keepstart -c config.yaml validate         check a configuration
  keepstart -c config.yaml start            start the daemon of it
  keepstart -c config.yaml status           what runs, and why
  keepstart stop -c /etc/keepstart/config.yaml

Exit codes:
   0  done                                  69  the daemon did not do it, or not in time
   1  something failed, or will (doctor)    71  the system refused
   2  the command line is wrong             74  the output could not be written
   3  no daemon runs                        75  a daemon of this configuration runs already, or
   4  the daemon is there and does not           a user or group in it is not known (yet)
       answer; status: a role is UNKNOWN;    77  not allowed
       doctor: not all could be looked at    78  the configuration has faults, or a place that it
                                                leads to (workspace, runtime-dir, state-dir,
                                                pidfile) cannot be used";

/// Turns "this Linux node now holds the virtual IP" into "these things run here, and nowhere else".
#[derive(Debug, Parser)]
#[command(name = "keepstart", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(super) struct Arguments {
    /// The configuration; a daemon is found by its file [default: ./config.yaml, else /etc/keepstart/config.yaml]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// For `start` and `run`: what is logged (error, warn, info, debug, trace, or filters as in RUST_LOG)
    #[arg(long, global = true, value_name = "LEVEL", hide_short_help = true)]
    pub(super) log_level: Option<String>,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start the daemon, and return when it is ready or has failed
    #[command(after_help = "\
With `daemon: true` in the file the daemon runs in the background, and this command returns \
when it has read the addresses of this node and acts on them. With `daemon: false` (the default) this \
command is the daemon, as `run` is.

A second start with the same file is refused with exit code 75, which names the process of the first.

Examples:
  keepstart -c config.yaml start
  keepstart -c config.yaml --log-level debug start")]
    Start {
        /// Record every input from now on, at the end of this file (see `record` and `replay`)
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
    },

    /// End the daemon, and return when its process is gone
    #[command(after_help = "\
A running script is waited for as long as `stop-wait` says (60 s by default), and then left running. The \
services themselves go on running unless the file says `on-exit: stop`. With no daemon running this says so \
and exits 0. The daemon is found although its file has faults, names other directories by now, or is gone.")]
    Stop,

    /// Have the daemon read its configuration again
    #[command(after_help = "\
A file with faults changes nothing: they are printed, and the exit code is 78. An instance \
whose definition is unchanged is not disturbed. What only a restart can change (daemon, workspace, pidfile, \
runtime-dir, state-dir, control-group, control-readers) is named.")]
    Reload,

    /// Be the daemon, in the foreground; what systemd runs
    #[command(after_help = "\
Ends on SIGTERM and SIGINT, reads the configuration again on SIGHUP, writes its state into the \
log on SIGUSR1, opens its log files again on SIGUSR2. Logs as the logging section says; \
without one to stderr, or to the journal under systemd.

Example of a unit (the packages have a fuller one):
  [Service]
  Type=notify
  ExecStart=/usr/bin/keepstart -c /etc/keepstart/config.yaml run
  ExecReload=/bin/kill -HUP $MAINPID
  KillMode=process")]
    Run(Run),

    /// Check a configuration and tell all that is wrong with it
    #[command(after_help = "\
Faults are printed as FILE:LINE:COLUMN: what is wrong; the exit code is then 78. Warnings (a script that is \
not there, for one) are printed too, and change the exit code with --strict only. Nothing is started, and no \
daemon is asked.

Examples:
  keepstart -c config.yaml validate --strict
  keepstart -c config.yaml validate --effective | less")]
    Validate(Validate),

    /// Show role, service, last start or stop, last is-running and next step of each instance, and why
    #[command(after_help = "\
Examples:
  keepstart status                     all instances
  keepstart status web                 one
  keepstart status --watch             until Ctrl-C
  keepstart status --json | jq -r '.instances[] | select(.role == \"MASTER\") | .name'

Exit codes: 0 the daemon answers, 3 no daemon runs, 4 a role is UNKNOWN, or the daemon is there and does \
not answer (or its reactor does not, so that what is shown may be out of date).")]
    Status(Status),

    /// Show what became of each change of role, stage by stage, with bars to scale
    #[command(after_help = "\
From the kernel's word to the last is-running: how long the change was held back, what it waited for, when its \
script's first instruction ran, how long it took, what failed and was tried again. The stages add up to the whole. \
It begins anew with each start of the daemon; the journal has the same lines of before.

Examples:
  keepstart timeline                   the last ten of all instances
  keepstart timeline web --last 3
  keepstart timeline --json | jq -r '.entries[] | [.id, .first_instruction_us, .took_us] | @tsv'")]
    Timeline(Timeline),

    /// Say on one screen why an instance is as it is, what happens next, and what to do
    #[command(after_help = "\
What the kernel says and how old that is, which rule holds (match, debounce, hold-on-loss, unknown-stop-after, retry, \
starts-at-once, start-cancel-after, timeouts), what runs and what ran last, what comes next and when, the last \
transitions, and what a person can do where something is wrong.

Without an instance: the only one, or with several the list of them.

Exit codes: 0 the daemon answers, 1 no such instance, 3 no daemon runs, 4 its role is UNKNOWN or the reactor does \
not answer.")]
    Why(Why),

    /// Have the daemon look at addresses and services now, and repair what differs
    #[command(after_help = "\
What it does by itself every `sleep` x `force-test-cycle` seconds. Returns when the audit has begun; \
`keepstart status` shows what comes of it.")]
    Audit {
        /// Only this instance
        #[arg(value_parser = instance)]
        instance: Option<InstanceName>,
    },

    /// Look at this machine and say what will hurt
    #[command(after_help = "\
Looks at the file, its scripts and who can write them, interfaces and addresses, the system's own network \
configuration, keepalived and its notify scripts, the daemon, other daemons, systemd and its units, limits and the \
clock. Changes nothing. Each finding is a sentence with its place and a command that mends it or shows more. What \
could not be looked at is said; root sees most.

Exit codes: 0 nothing will hurt, 1 something will or may, 4 nothing was found but not everything could be looked \
at, 78 there is no usable configuration.

Examples:
  keepstart doctor
  keepstart doctor --json | jq -r '.checks[].findings[].what'")]
    Doctor(Doctor),

    /// Write down what the running daemon has lived through last, for `replay`
    #[command(after_help = "\
The daemon always keeps its last inputs (up to 1,024 of them and 256 KiB, while it has at most 256 instances): \
what the kernel said, how jobs ended, that time passed. This command writes them down with the state from which \
they began. A daemon that ends by a panic leaves them in its runtime directory as crash.jsonl, and the next one \
says so in its log. For all inputs since the start, with any number of instances, start the daemon with \
--record FILE; that file is appended to, and ends at 1 GiB.

A recording has the commands and addresses of the configuration in it, and what the system said of failures; it has \
no value of `environment`, and nothing that scripts print.

Examples:
  keepstart record --output incident.jsonl
  keepstart record | keepstart replay -")]
    Record {
        /// Where to, instead of stdout; a file that is there is replaced
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },

    /// Decide again what a recorded daemon has decided, and show it
    #[command(after_help = "\
Prints transitions, jobs, retries and holds, each with the time of day (UTC) and the time since the beginning of \
the recording. The same recording gives the same bytes. Each decision is compared with what the daemon decided; \
another version of keepstart may rightly decide otherwise, so the version that recorded is told.

With --config OTHER it shows what another configuration would have done from the beginning, as a diff: the same, \
earlier, later, not at all, or only with OTHER. The kernel and people do what they did. Jobs are modelled: a job \
takes as long and ends as the recorded one of the same instance and action that began last before it (without one: \
10 ms, and well); one that the recorded daemon had to end hangs until it is told to; is-running answers what the \
actions, and what the recording shows of the service changing by itself, have made of it. Both configurations are \
lived through by this model, so that what differs comes of the configuration alone. Reloads in the recording are \
left out for OTHER, and an address that was not watched is taken for absent, which is told. Questions and holds are \
not listed.

Exit codes: 0 the same decisions, 1 other ones (the first is told), 65 the recording cannot be replayed: damaged, \
or with a gap. One that stops in the middle of a line, because the daemon was killed, is replayed up to there.

Examples:
  keepstart replay incident.jsonl
  keepstart replay incident.jsonl --json | jq .event
  keepstart replay incident.jsonl --config longer-debounce.yaml")]
    Replay(Replay),

    /// Show the main job for real, in a private network namespace
    #[command(after_help = "\
Starts a daemon on a virtual IP in a network namespace of its own, moves the IP a few times and \
shows what happened, in a few seconds. Touches nothing of this machine. Needs user namespaces or root; where \
neither is allowed the exit code is 77.")]
    Demo,

    /// Print the version
    Version,
}

#[derive(Debug, Default, Args)]
pub(super) struct Run {
    /// Started by `start`: leave the session, and say on stdout how it went.
    #[arg(long, hide = true)]
    pub(super) detached: bool,

    /// Started by `demo`: leave no trace outside of its own directories.
    #[arg(long, hide = true)]
    pub(super) demo: bool,

    /// Record every input from now on, at the end of this file (see `record` and `replay`)
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,

    /// The size of the netlink receive buffer: small ones are for tests of what the kernel drops.
    #[arg(long, hide = true, value_name = "BYTES")]
    pub(super) receive_buffer: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct Validate {
    /// Warnings count as faults
    #[arg(long)]
    pub(super) strict: bool,

    /// Print what the file means, with all its defaults
    #[arg(long)]
    pub(super) effective: bool,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// As JSON lines, like those of the control socket's `events`
    #[arg(long)]
    pub(super) json: bool,

    /// The recording; `-` is stdin
    #[arg(value_name = "RECORDING")]
    pub(super) file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    /// As JSON, for programs
    #[arg(long)]
    pub(super) json: bool,

    /// Go on showing what changes
    #[arg(short, long)]
    pub(super) watch: bool,

    /// Only this instance
    #[arg(value_parser = instance)]
    pub(super) instance: Option<InstanceName>,
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// As JSON, for programs
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Why {
    /// As JSON, for programs
    #[arg(long)]
    pub(super) json: bool,

    /// Which instance
    #[arg(value_parser = instance)]
    pub(super) instance: Option<InstanceName>,
}

#[derive(Debug, Args)]
pub(super) struct Timeline {
    /// As JSON, for programs
    #[arg(long)]
    pub(super) json: bool,

    /// So many of the last entries
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(super) last: usize,

    /// Only this instance
    #[arg(value_parser = instance)]
    pub(super) instance: Option<InstanceName>,
}

fn instance(text: &str) -> Result<InstanceName, BadInstanceName> {
    InstanceName::new(text)
}

/// The whole command line, under the binary's own name.
pub(super) fn command() -> clap::Command {
    Arguments::command()
}

/// Reads a command line whose first word is the program's name.
///
/// # Errors
///
/// It is wrong, or asks for help.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let words: Vec<_> = words.into_iter().collect();
    let (name, Speaks::Own) = spoken(words.first());
    let matches = Arguments::command()
        .name(name)
        .bin_name(name)
        .try_get_matches_from(words)?;
    Arguments::from_arg_matches(&matches)
}

fn spoken(program: Option<&OsString>) -> (&'static str, Speaks) {
    let called = program.and_then(|program| Path::new(program).file_name());
    let known = |(name, _): &&(&str, Speaks)| called.is_some_and(|called| called == *name);
    let [first, _] = NAMES;
    NAMES.iter().find(known).copied().unwrap_or(first)
}

#[cfg(test)]
mod tests;
