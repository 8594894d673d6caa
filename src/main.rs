//! Process entry: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    keepstart::cli::main()
}
