//! The file as text: read to a limit, so that the wrong file (a disk image, a FIFO, `/dev/zero`) is refused at once.
//! Runs on the thread of whoever loads a configuration; may wait for the disk.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use super::fault::{Fault, Faults, Lines, LoadError};

/// The largest file that is read, in bytes: room for far more instances than one machine has.
pub const FILE_SIZE_MAX: u64 = 16 * 1024 * 1024;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("there is no such file")]
    Missing,
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is a directory, expected a file")]
    Directory,
    #[error("is a pipe or a device, expected a file: the daemon reads it again at each reload")]
    Stream,
    #[error("is larger than {} MiB, expected a configuration file", FILE_SIZE_MAX / 1024 / 1024)]
    TooLarge,
}

/// Reads at most [`FILE_SIZE_MAX`] bytes.
pub(super) fn bounded(path: &Path) -> Result<Vec<u8>, ReadError> {
    // O_NONBLOCK keeps a FIFO that nobody writes into from holding everything up; it means nothing to a file.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                ReadError::Missing
            } else {
                ReadError::Io(error)
            }
        })?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ReadError::Directory);
    }
    if !metadata.is_file() {
        return Err(ReadError::Stream);
    }
    if metadata.len() > FILE_SIZE_MAX {
        return Err(ReadError::TooLarge);
    }
    let mut bytes = Vec::new();
    // Files in /proc have no size, and others may grow meanwhile: the limit holds for them too.
    file.take(FILE_SIZE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(ReadError::TooLarge);
    }
    Ok(bytes)
}

/// The bytes as text, or the place of the first that is not UTF-8.
pub(super) fn text<'b>(bytes: &'b [u8], path: &Path) -> Result<&'b str, LoadError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (good, _) = bytes
            .split_at_checked(error.valid_up_to())
            .unwrap_or_default();
        let good = std::str::from_utf8(good).unwrap_or_default();
        let at = u32::try_from(good.len()).unwrap_or(u32::MAX);
        let fault = Fault {
            file: path.into(),
            position: Some(Lines::new(good).position(at)),
            message: "not UTF-8, expected text in UTF-8".into(),
        };
        LoadError::lasting(Faults {
            list: vec![fault],
            more: 0,
        })
    })
}
