//! What commands need of a file to find its daemon, and to wait for its end. Nothing is asked for it but the
//! disk: a name service that does not answer must not keep anybody from `status` or `stop`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::account::Lookup;
use super::{LoadError, load_with};

/// What a file says about where its daemon is, and how long its end may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// `workspace`.
    pub workspace: Option<PathBuf>,
    /// `runtime-dir`.
    pub runtime_dir: Option<PathBuf>,
    /// `state-dir`.
    pub state_dir: Option<PathBuf>,
    /// How long the ending daemon waits for a running action.
    pub stop_wait: Duration,
}

/// Reads a file without asking for the users and groups in it, which may be unknown.
///
/// # Errors
///
/// All else that is wrong with the file.
pub fn outline(path: &Path) -> Result<Outline, LoadError> {
    let application = load_with(path, Lookup::Leave)?.config.application;
    Ok(Outline {
        workspace: application.workspace,
        runtime_dir: application.runtime_dir,
        state_dir: application.state_dir,
        stop_wait: application.stop_wait,
    })
}
