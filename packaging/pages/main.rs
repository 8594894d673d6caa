//! `cargo run --example pages -- DIRECTORY` writes the manual page and the shell completions there.

mod pages;

use std::path::PathBuf;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.context("usage: pages DIRECTORY")?;
    pages::write(&directory).with_context(|| format!("cannot write into {}", directory.display()))
}
