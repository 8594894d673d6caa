//! keepstart(8), made of the command line's own description and of `keepstart.8.tail`, and the completions for
//! bash, zsh and fish. Runs when a package is built, and in its test.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use clap_complete::Shell;
use keepstart::telemetry::MessageId;
use roff::{Roff, bold, roman};

/// What the page says beyond the commands.
const TAIL: &str = include_str!("../keepstart.8.tail");

/// The names that the binary answers to, each of which a shell is to complete.
const NAMES: [&str; 2] = ["keepstart", "keepserver"];

/// Writes `keepstart.8` and the completions, under the names their shells look for, into `directory`.
///
/// # Errors
///
/// A file cannot be written.
pub(crate) fn write(directory: &Path) -> io::Result<()> {
    fs::write(directory.join("keepstart.8"), page()?)?;
    for name in NAMES {
        for (shell, file) in [
            (Shell::Bash, format!("{name}.bash")),
            (Shell::Zsh, format!("_{name}")),
            (Shell::Fish, format!("{name}.fish")),
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut keepstart::cli::command(), name, &mut script);
            fs::write(directory.join(file), script)?;
        }
    }
    Ok(())
}

fn page() -> io::Result<Vec<u8>> {
    let mut command = keepstart::cli::command();
    // Only this fills in what the usage and the subcommands show.
    command.build();
    let name = command.get_name().to_owned();
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut roff = Roff::new();
    // The third word is a date, which would make every build another package.
    roff.control(
        "TH",
        [name.as_str(), "8", "", &name, "System administration"],
    );
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {}", about.trim_end_matches('.')))]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold(name), roman(" [OPTIONS] COMMAND")]);
    roff.control("SH", ["OPTIONS"]);
    render_arguments(&mut roff, command.get_arguments());
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        render_command(&mut roff, sub);
    }
    render_blocks(&mut roff, &command);
    let mut page = Vec::new();
    roff.to_writer(&mut page)?;
    page.extend(TAIL.replace("MESSAGE_IDS\n", &message_ids()).bytes());
    Ok(page)
}

/// A command with its own options; what is common to all stands in the section OPTIONS.
fn render_command(roff: &mut Roff, command: &clap::Command) {
    roff.control("SS", [command.get_name()]);
    if let Some(about) = command.get_about() {
        roff.text([roman(format!("{about}."))]);
    }
    let own = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set() && argument.get_id() != "help");
    render_arguments(roff, own);
    if let Some(help) = command.get_after_help() {
        roff.control("PP", []);
        render_help(roff, &help.to_string());
    }
}

fn render_arguments<'a>(roff: &mut Roff, arguments: impl Iterator<Item = &'a clap::Arg>) {
    for argument in arguments.filter(|argument| !argument.is_hide_set()) {
        roff.control("TP", []);
        let short = argument.get_short().map(|short| format!("-{short}, "));
        roff.text([bold(format!("{}{argument}", short.unwrap_or_default()))]);
        let help = argument.get_help().map(ToString::to_string);
        roff.text([roman(format!("{}.", help.unwrap_or_default()))]);
    }
}

/// What stands after the help of the whole: blocks with a heading each.
fn render_blocks(roff: &mut Roff, command: &clap::Command) {
    let help = command.get_after_help().map(ToString::to_string);
    for block in help.unwrap_or_default().split("\n\n") {
        let (heading, body) = block.split_once('\n').unwrap_or((block, ""));
        roff.control(
            "SH",
            [heading.trim_end_matches(':').to_uppercase().as_str()],
        );
        render_help(roff, body);
    }
}

/// Prose, in which what is indented keeps its lines.
fn render_help(roff: &mut Roff, text: &str) {
    let mut literal = false;
    for line in text.lines() {
        let indented = line.starts_with("  ");
        match (literal, indented) {
            (false, true) => roff.control("EX", []),
            (true, false) => roff.control("EE", []),
            (false, false) | (true, true) => roff,
        };
        literal = indented;
        if line.is_empty() {
            roff.control("PP", []);
        } else {
            roff.text([roman(line)]);
        }
    }
    if literal {
        roff.control("EE", []);
    }
}

/// The table of message ids.
fn message_ids() -> String {
    MessageId::ALL.iter().fold(String::new(), |mut table, id| {
        // Writing into a string has no way to fail.
        let _ = writeln!(table, "{:032x}  {}", id.number(), what_is(*id));
        table
    })
}

fn what_is(id: MessageId) -> &'static str {
    match id {
        MessageId::Transition => "a role has changed",
        MessageId::Complete => "all that a change of role has caused is complete",
        MessageId::ActionFailed => "a start or stop has failed",
        MessageId::TimedOut => "an action took too long and was ended",
        MessageId::Resynchronized => "notifications were dropped, addresses are read anew",
        MessageId::Reloaded => "a new configuration is in force",
    }
}
