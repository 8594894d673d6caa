//! Process entry: arguments in, exit code out. A process that is about to become an action leaves at the first door.

use std::process::ExitCode;

fn main() -> ExitCode {
    keepstart::action::staged(std::env::args_os()).unwrap_or_else(keepstart::cli::main)
}
