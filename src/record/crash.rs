//! What is left of a daemon that panics: its ring, in the runtime directory. Runs in the panicking thread, whichever
//! it is, just before the process ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::TryLockError;
use std::time::Duration;

use super::ring::Copied;
use super::tape::{SharedRing, Tape};

/// How often and how long the hook waits for a reactor that is just keeping an input.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// From now on a panic on any thread leaves the recording of `tape` at `path`, for its owner alone. A daemon that is
/// killed, or runs out of memory, leaves none.
pub fn leave_at(path: PathBuf, tape: &Tape) {
    let ring = tape.shared_ring();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        if let Some(copied) = copy(&ring) {
            // Whoever panics has no log any more; the next life says what is there.
            let _ = write(&path, copied, because(info));
        }
    }));
}

/// What an earlier life left there, under the name that it has from now on: it is told of once, and one is kept.
pub fn take_up(path: &Path) -> io::Result<Option<PathBuf>> {
    let told = path.with_extension("last.jsonl");
    match fs::rename(path, &told) {
        Ok(()) => Ok(Some(told)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn because(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(ToString::to_string);
    let what = info.payload_as_str().unwrap_or("a panic without words");
    format!(
        "the daemon panicked at {}: {what}",
        place.unwrap_or_default()
    )
}

/// The ring. It is locked for good where the panic came while an input was being kept, and then there is no copy.
fn copy(ring: &SharedRing) -> Option<Copied> {
    for _ in 0..TRIES {
        match ring.try_lock() {
            Ok(ring) => return ring.as_ref().map(super::Ring::copy),
            Err(TryLockError::Poisoned(ring)) => {
                return ring.into_inner().as_ref().map(super::Ring::copy);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
        }
    }
    None
}

/// Whole or not at all: the name is given when everything is written.
fn write(path: &Path, copied: Copied, because: String) -> io::Result<()> {
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    let mut file = BufWriter::new(file);
    for line in copied.lines(because) {
        file.write_all(&line)?;
    }
    file.flush()?;
    fs::rename(&fresh, path)
}
