//! What the daemon can be told things by: its signals and its sockets. Runs on the main thread, once.

use std::path::PathBuf;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use signal_hook_tokio::Signals;

use super::super::AppError;
use crate::config::Application;
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

/// Who may come in by the sockets.
pub(in crate::app) struct Guests {
    steering: Access,
    reading: Option<Access>,
}

impl Guests {
    /// Those of the file.
    pub(in crate::app) fn of(application: &Application) -> Self {
        let readers = application.control_readers.as_ref();
        Self {
            steering: Access::of_group(application.control_group.as_ref()),
            reading: readers.map(Access::of_readers),
        }
    }
}

impl Doors {
    /// Installs the signal handlers and makes the control socket, within a runtime.
    pub(in crate::app) fn open(
        application: &Application,
        guests: &Guests,
        paths: &Paths,
    ) -> Result<Self, AppError> {
        let mut told_by = vec![SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2];
        // Without real-time threads it can only be the limit on all of the daemon's time, and ends it.
        told_by.extend(application.realtime_priority.map(|_| SIGXCPU));
        let signals =
            Signals::new(told_by).map_err(AppError::system("install the signal handlers"))?;
        let listeners = listeners(guests, paths)?;
        Ok(Self { signals, listeners })
    }
}

fn listeners(guests: &Guests, paths: &Paths) -> Result<Listeners, AppError> {
    let at = |path: PathBuf| move |source| AppError::Control { path, source };
    let (control, status) = (paths.control_socket(), paths.status_socket());
    let through = guests.steering.and(guests.reading.unwrap_or(Access::Owner));
    let steering = socket::bind(&control, guests.steering, through).map_err(at(control))?;
    let reading = match guests.reading {
        Some(access) => Some(socket::bind(&status, access, through).map_err(at(status))?),
        None => {
            socket::unbind(&status).map_err(at(status))?;
            None
        }
    };
    let door = match guests.steering {
        Access::Owner => Door::Own,
        Access::Group(_) | Access::Everybody => Door::Steering,
    };
    Ok(Listeners {
        steering,
        door,
        reading,
    })
}
