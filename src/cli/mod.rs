//! What a person types: reads the command line, runs one command, and turns its end into an exit code. One
//! file a command; `out` alone writes. Runs on the main thread, before any other exists.

mod arguments;
mod audit;
mod demo;
mod doctor;
mod exit;
mod locate;
mod out;
mod record;
mod reload;
mod replay;
mod run;
mod silent;
mod start;
mod status;
mod stop;
mod timeline;
mod validate;
mod what_if;
mod why;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use exit::{Code, Ending, Failure};
use out::Out;

/// The description of the command line, of which the manual page and the completions are made.
pub fn command() -> clap::Command {
    arguments::command()
}

/// Runs the command of this process's command line.
pub fn main() -> ExitCode {
    let out = Out::new();
    match arguments::parse(std::env::args_os()) {
        Ok(arguments) => finish(out, dispatch(out, &arguments)),
        Err(error) => usage(out, &error),
    }
}

fn dispatch(out: Out, arguments: &Arguments) -> Ending {
    let config = arguments.config.as_deref();
    match &arguments.command {
        Command::Start { record } => start::start(
            out,
            config,
            arguments.log_level.as_deref(),
            record.as_deref(),
        ),
        Command::Stop => stop::stop(out, config),
        Command::Reload => reload::reload(out, config),
        Command::Run(how) => run::run(config, arguments.log_level.as_deref(), how),
        Command::Validate(how) => validate::validate(out, config, how),
        Command::Status(what) => status::status(out, config, what),
        Command::Timeline(what) => timeline::timeline(out, config, what),
        Command::Why(what) => why::why(out, config, what),
        Command::Audit { instance } => audit::audit(out, config, instance.clone()),
        Command::Doctor(how) => doctor::doctor(out, config, how),
        Command::Record { output } => record::record(out, config, output.as_deref()),
        Command::Replay(what) => replay::replay(out, config, what),
        Command::Demo => demo::demo(out),
        Command::Version => {
            out.line(concat!("keepstart ", env!("CARGO_PKG_VERSION")))?;
            Ok(Code::Fine)
        }
    }
}

fn finish(out: Out, ending: Ending) -> ExitCode {
    match ending {
        Ok(code) => code.into(),
        Err(Failure::ReaderGone) => Code::Fine.into(),
        Err(Failure::Said(number)) => number.into(),
        Err(Failure::Told { code, message }) => {
            out.note(&message);
            code.into()
        }
    }
}

/// Help that was asked for, or what is wrong with the command line.
fn usage(out: Out, error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        out.note(error.render().to_string().trim_end());
        return Code::Usage.into();
    }
    finish(
        out,
        out.print(&error.render().to_string()).map(|()| Code::Fine),
    )
}
