//! The machine of this life, and everything that records it. Runs once, on the main thread, before the reactor's.

use std::fs::File;
use std::path::PathBuf;
use std::thread::JoinHandle;

use crate::machine::message::RestoredMap;
use crate::machine::settings::Settings;
use crate::machine::{Machine, Time};
use crate::record::{FileTape, Origin, Recorded, Tape, crash};

use super::AppError;

/// Makes the machine, begins its ring and the recording of `--record FILE`, whose thread is given back, and has a panic
/// leave the ring at `crash`.
pub(super) fn begin(
    (settings, restored, now): (&Settings, &RestoredMap, Time),
    origin: Origin,
    (record, crash): (Option<(PathBuf, File)>, PathBuf),
) -> Result<(Recorded, Option<JoinHandle<()>>), AppError> {
    let machine = Machine::new(settings, restored, origin.life, now);
    let from = (settings, restored, now);
    let record = record.map(|file| FileTape::start(file, origin.clone(), from));
    let record = record.transpose();
    let (file, thread) = record
        .map_err(AppError::system("begin the recording"))?
        .unzip();
    let tape = Tape::new(origin, &machine, file);
    crash::leave_at(crash, &tape);
    Ok((Recorded::new(machine, tape), thread))
}
