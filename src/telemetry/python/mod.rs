//! The `logging:` section at work: records go to loggers, loggers have handlers, handlers write lines. Owned by
//! the log thread, as everything that writes the log is.

mod appender;
mod render;
mod rotation;
mod strftime;
mod syslog;
#[cfg(test)]
mod testing;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use tracing::level_filters::LevelFilter;

use self::appender::{Appended, Appender};
use self::render::{Circumstances, number, render};
use self::strftime::Local;
use self::syslog::SyslogSocket;
use super::OUTPUT_TARGET;
use super::record::Record;
use super::sink::{JOURNAL_SOCKET, Journal, Sink, Written};
use crate::config::logging::{
    self as settings, APPLICATION, Formatter, Level, Output, Plan, Standard,
};

/// The modules whose records are about starting, stopping and daemonizing.
const APPLICATION_MODULES: [&str; 2] = ["keepstart::app", "keepstart::cli"];

/// All loggers and handlers of a plan.
#[derive(Debug)]
pub(super) struct Loggers {
    core: Route,
    /// Where the plan names it; else these records are the core's.
    application: Option<Route>,
    script: Route,
    handlers: Vec<Handler>,
    begun: SystemTime,
    local: Local,
}

/// One logger, and all handlers that get its records.
#[derive(Debug)]
struct Route {
    name: String,
    level: Level,
    /// Places in the list of handlers.
    handlers: Vec<usize>,
}

#[derive(Debug)]
struct Handler {
    level: Level,
    formatter: Formatter,
    way: Way,
    trouble: Trouble,
}

/// Where lines go.
#[derive(Debug)]
enum Way {
    /// To stderr, or where a daemon without one writes.
    Console,
    Stdout(File),
    File(Box<Appender>),
    Syslog(SyslogSocket),
    Journal(Journal),
    Nowhere,
}

/// What a person was told of a way that does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Unrotated,
    Unwritten,
}

/// What the most talkative handler wants: nothing below it needs to be made a record.
pub(super) fn filter(plan: &Plan) -> LevelFilter {
    let names = [
        plan.core_name().to_owned(),
        plan.script_name(),
        APPLICATION.to_owned(),
    ];
    let least = names.iter().map(|name| {
        let (level, handlers) = plan.route(name);
        let handlers = handlers.iter().filter_map(|name| plan.handlers.get(*name));
        let least = handlers.map(|handler| handler.level).min();
        level.max(least.unwrap_or(Level::NOTSET))
    });
    match least.min().unwrap_or(Level::NOTSET) {
        Level(0..=5) => LevelFilter::TRACE,
        Level(6..=10) => LevelFilter::DEBUG,
        Level(11..=20) => LevelFilter::INFO,
        Level(21..=30) => LevelFilter::WARN,
        Level(31..=40) => LevelFilter::ERROR,
        Level(41..) => LevelFilter::OFF,
    }
}

impl Loggers {
    /// Makes the handlers of a plan and opens their files; what cannot be opened is told on the console and
    /// tried again.
    pub(super) fn new(plan: &Plan, now: SystemTime, console: &mut Sink) -> Self {
        Self::in_zone(plan, now, console, Local::default())
    }

    fn in_zone(plan: &Plan, now: SystemTime, console: &mut Sink, local: Local) -> Self {
        let mut handlers: Vec<Handler> = plan
            .handlers
            .values()
            .map(|handler| Handler::new(handler, plan, now, console, &local))
            .collect();
        for handler in &mut handlers {
            handler.open(now, console);
        }
        let route = |name: String| {
            let (level, names) = plan.route(&name);
            let place = |name: &&str| plan.handlers.keys().position(|known| known == name);
            let handlers = names.iter().filter_map(place).collect();
            Route {
                name,
                level,
                handlers,
            }
        };
        let application = plan.loggers.contains_key(APPLICATION);
        Self {
            core: route(plan.core_name().to_owned()),
            application: application.then(|| route(APPLICATION.to_owned())),
            script: route(plan.script_name()),
            handlers,
            begun: now,
            local,
        }
    }

    /// Writes a record wherever it belongs. Where it has no handler at all, it goes to the console.
    pub(super) fn write(&mut self, record: &Record, console: &mut Sink) -> Written {
        let is_application = || {
            let of = |module: &&str| {
                let rest = record.target.strip_prefix(*module);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            APPLICATION_MODULES.iter().any(of)
        };
        let route = match &self.application {
            _ if record.target == OUTPUT_TARGET => &self.script,
            Some(application) if is_application() => application,
            Some(_) | None => &self.core,
        };
        let level = number(record.level);
        if level < route.level {
            return Written::Well;
        }
        if route.handlers.is_empty() {
            return console.write(record);
        }
        let around = Circumstances {
            name: &route.name,
            begun: self.begun,
            zone: self.local.zone(),
        };
        let mut worst = Written::Well;
        for place in &route.handlers {
            if let Some(handler) = self.handlers.get_mut(*place)
                && level >= handler.level
            {
                worst = worst.max(handler.write(record, &around, console));
            }
        }
        worst
    }

    /// Opens all log files again.
    pub(super) fn reopen(&mut self, now: SystemTime, console: &mut Sink) {
        for handler in &mut self.handlers {
            handler.reopen(now, console);
        }
    }
}

impl Handler {
    fn new(
        handler: &settings::Handler,
        plan: &Plan,
        now: SystemTime,
        console: &Sink,
        local: &Local,
    ) -> Self {
        let way = match &handler.output {
            Output::Standard(Standard::Out) => match console {
                // Its stdout is not its own.
                Sink::File(_) => Way::Console,
                Sink::Stream(_) | Sink::Journal(..) => {
                    match io::stdout().as_fd().try_clone_to_owned() {
                        Ok(stdout) => Way::Stdout(stdout.into()),
                        Err(_) => Way::Console,
                    }
                }
            },
            Output::Standard(Standard::Error) => Way::Console,
            Output::File(file) => Way::File(Box::new(Appender::new(
                file.clone(),
                local.clone(),
                seconds(now),
            ))),
            Output::Syslog { address, facility } => {
                Way::Syslog(SyslogSocket::new(address.clone(), *facility))
            }
            Output::Journal => Way::Journal(Journal::new(JOURNAL_SOCKET.into())),
            Output::Null => Way::Nowhere,
        };
        let formatter = handler.formatter.as_ref();
        let formatter = formatter.and_then(|name| plan.formatters.get(name));
        Self {
            level: handler.level,
            formatter: formatter.cloned().unwrap_or_default(),
            way,
            trouble: Trouble::None,
        }
    }

    fn open(&mut self, now: SystemTime, console: &mut Sink) {
        if let Way::File(file) = &mut self.way {
            let opened = file.open();
            self.tell(
                opened.map_err(|error| (Trouble::Unwritten, error)),
                now,
                console,
            );
        }
    }

    fn reopen(&mut self, now: SystemTime, console: &mut Sink) {
        if let Way::File(file) = &mut self.way
            && let Err(error) = file.reopen()
        {
            let text = format!("cannot open {} again: {error}", file.path().display());
            console.write(&Record::new(
                now,
                tracing::Level::WARN,
                module_path!(),
                text,
            ));
        }
    }

    fn write(
        &mut self,
        record: &Record,
        around: &Circumstances<'_>,
        console: &mut Sink,
    ) -> Written {
        let mut line = match &self.way {
            Way::Journal(_) | Way::Nowhere => String::new(),
            Way::Console | Way::Stdout(_) | Way::File(_) | Way::Syslog(_) => {
                render(&self.formatter, record, around)
            }
        };
        let result = match &mut self.way {
            Way::Nowhere => Ok(()),
            Way::Journal(journal) => journal
                .send(record)
                .map_err(|error| (Trouble::Unwritten, error)),
            Way::Syslog(socket) => {
                let sent = socket.send(&line, record.level, record.time);
                sent.map_err(|error| (Trouble::Unwritten, error))
            }
            Way::Console => {
                line.push('\n');
                return console
                    .write_text(&line)
                    .map_or(Written::Not, |()| Written::Well);
            }
            Way::Stdout(stdout) => {
                line.push('\n');
                let written = stdout.write_all(line.as_bytes());
                written.map_err(|error| (Trouble::Unwritten, error))
            }
            Way::File(file) => {
                line.push('\n');
                match file.append(&line, seconds(record.time)) {
                    Appended::Well => Ok(()),
                    Appended::Unrotated(error) => Err((Trouble::Unrotated, error)),
                    Appended::Not(error) => Err((Trouble::Unwritten, error)),
                }
            }
        };
        let lost = matches!(result, Err((Trouble::Unwritten, _)));
        self.tell(result, record.time, console);
        if !lost {
            return Written::Well;
        }
        let instead = match &self.way {
            Way::Journal(_) => return console.write_instead(record),
            Way::Syslog(_) => format!("{line}\n"),
            Way::Console | Way::Stdout(_) | Way::File(_) | Way::Nowhere => line,
        };
        console
            .write_text(&instead)
            .map_or(Written::Not, |()| Written::Elsewhere)
    }

    /// Says once that a way does not work, and once that it does again.
    fn tell(
        &mut self,
        result: Result<(), (Trouble, io::Error)>,
        now: SystemTime,
        console: &mut Sink,
    ) {
        let before = self.trouble;
        self.trouble = result
            .as_ref()
            .err()
            .map_or(Trouble::None, |(trouble, _)| *trouble);
        if self.trouble == before {
            return;
        }
        let place = self.place();
        let text = match result {
            Ok(()) => format!("logs to {place} again"),
            Err((Trouble::Unrotated, error)) => {
                format!("cannot rotate {place}: {error}; it grows until that is possible")
            }
            Err((Trouble::Unwritten | Trouble::None, error)) => format!(
                "cannot log to {place}: {error}; what belongs there goes here until it can be written again"
            ),
        };
        console.write(&Record::new(
            now,
            tracing::Level::WARN,
            module_path!(),
            text,
        ));
    }

    fn place(&self) -> String {
        match &self.way {
            Way::Console => "stderr".into(),
            Way::Stdout(_) => "stdout".into(),
            Way::File(file) => file.path().display().to_string(),
            Way::Syslog(socket) => socket.describe(),
            Way::Journal(_) => "the journal".into(),
            Way::Nowhere => "nowhere".into(),
        }
    }
}

/// Whole seconds since 1970, as Python's `int(time.time())`.
fn seconds(time: SystemTime) -> i64 {
    let since: Duration = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
