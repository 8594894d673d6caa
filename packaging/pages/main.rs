//! `cargo run --example pages -- DIRECTORY` writes the manual pages and the shell completions there.

mod pages;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return said("usage: pages DIRECTORY");
    };
    match pages::write(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => said(&format!(
            "cannot write into {}: {error}",
            directory.display()
        )),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a tool of the build, whose caller reads it"
)]
fn said(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
