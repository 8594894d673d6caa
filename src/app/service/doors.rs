//! What the daemon can be told things by: its signals and its sockets. Runs on the main thread, once.

use std::path::PathBuf;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook_tokio::Signals;

use super::super::AppError;
use crate::config::{Application, Config};
use crate::control::peer::Door;
use crate::control::server::Listeners;
use crate::control::socket::{self, Access};
use crate::state::Paths;

/// Where people, systemd and the system come in. Open before the reactor begins to act: a daemon that cannot be
/// told to end must not begin.
pub(in crate::app) struct Doors {
    pub(super) signals: Signals,
    pub(super) listeners: Listeners,
}

impl Doors {
    /// Installs the signal handlers and makes the control socket, within a runtime.
    pub(in crate::app) fn open(config: &Config, paths: &Paths) -> Result<Self, AppError> {
        let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])
            .map_err(AppError::system("install the signal handlers"))?;
        let listeners = listeners(&config.application, paths)?;
        Ok(Self { signals, listeners })
    }
}

fn listeners(application: &Application, paths: &Paths) -> Result<Listeners, AppError> {
    let at = |path: PathBuf| move |source| AppError::Control { path, source };
    let (control, status) = (paths.control_socket(), paths.status_socket());
    let group = application.control_group.as_deref();
    let access = Access::of_group(group).map_err(at(control.clone()))?;
    let steering = socket::bind(&control, access).map_err(at(control))?;
    let reading = match &application.control_readers {
        Some(readers) => {
            let bound =
                Access::of_readers(readers).and_then(|access| socket::bind(&status, access));
            Some(bound.map_err(at(status))?)
        }
        None => {
            socket::unbind(&status).map_err(at(status))?;
            None
        }
    };
    let door = group.map_or(Door::Own, |_| Door::Steering);
    Ok(Listeners {
        steering,
        door,
        reading,
    })
}
