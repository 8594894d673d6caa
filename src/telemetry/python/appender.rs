//! A log file: opened, appended to, rotated and opened again as Python's file handlers do it. Owned by the log
//! thread. What fails is tried again with the next record.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::rotation::Schedule;
use super::strftime::Local;
use crate::config::logging::{File, Keeping, Mode, Opening, Zone};

/// A log file.
#[derive(Debug)]
pub(super) struct Appender {
    settings: File,
    local: Local,
    file: Option<fs::File>,
    /// What a first opening still does to what is in the file.
    mode: Mode,
    /// When it is rotated, in seconds since 1970.
    due: Option<i64>,
    /// The last write ended within a line.
    is_torn: bool,
}

/// How a line was written.
#[derive(Debug)]
pub(super) enum Appended {
    /// As it should be.
    Well,
    /// To a file that should have been rotated.
    Unrotated(io::Error),
    /// Not at all.
    Not(io::Error),
}

impl Appender {
    /// A file that is opened with the first line, or by [`Self::open`]. `now` is in seconds since 1970.
    pub(super) fn new(settings: File, local: Local, now: i64) -> Self {
        let mut appender = Self {
            mode: settings.mode,
            settings,
            local,
            file: None,
            due: None,
            is_torn: false,
        };
        // A file of an earlier life is as old as its last line.
        let written = fs::metadata(&appender.settings.path).map(|metadata| metadata.mtime());
        let begun = written.unwrap_or(now);
        let zone = || appender.zone();
        appender.due = appender.schedule().map(|plan| plan.next(begun, &zone()));
        appender
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.settings.path
    }

    /// Opens the file now, unless that is left to the first line.
    pub(super) fn open(&mut self) -> io::Result<()> {
        match self.settings.opening {
            Opening::AtOnce => self.opened().map(drop),
            Opening::Delayed => Ok(()),
        }
    }

    /// Opens the file again: what it was may have been renamed. If that fails, what it was stays open.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        let before = self.file.take();
        let opened = self.opened().map(drop);
        if opened.is_err() {
            self.file = before;
        }
        opened
    }

    /// Appends a line, which has its end.
    pub(super) fn append(&mut self, line: &str, now: i64) -> Appended {
        if let Err(error) = self.watch().and_then(|()| self.opened().map(drop)) {
            return Appended::Not(error);
        }
        let rotated = self.rotate_if_due(line, now);
        let written = self.write(line);
        match (written, rotated) {
            (Ok(()), Ok(())) => Appended::Well,
            (Ok(()), Err(error)) => Appended::Unrotated(error),
            (Err(error), Ok(()) | Err(_)) => Appended::Not(error),
        }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let torn = self.is_torn;
        let mut file = self.opened()?;
        if torn {
            // The rest of a line for which the disk had no room is lost; the next one begins on its own.
            file.write_all(b"\n")?;
        }
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_torn = rest.len() < line.len();
                    return Err(error);
                }
            }
        }
        self.is_torn = false;
        Ok(())
    }

    /// The open file.
    fn opened(&mut self) -> io::Result<&fs::File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut options = fs::File::options();
                // The permissions are those that the umask leaves, as for every file of Python's.
                let file = options
                    .append(true)
                    .create(true)
                    .open(&self.settings.path)?;
                if self.mode == Mode::Truncate {
                    file.set_len(0)?;
                    self.mode = Mode::Append;
                }
                file
            }
        };
        Ok(self.file.insert(file))
    }

    /// Lets a file go that is no longer the one with this name.
    fn watch(&mut self) -> io::Result<()> {
        if self.settings.keeping != Keeping::Watched {
            return Ok(());
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        let open = file.metadata()?;
        let there = fs::metadata(&self.settings.path);
        if !there.is_ok_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino())) {
            self.file = None;
        }
        Ok(())
    }

    fn rotate_if_due(&mut self, line: &str, now: i64) -> io::Result<()> {
        match self.settings.keeping {
            Keeping::Plain | Keeping::Watched => Ok(()),
            Keeping::BySize { bytes_max, backups } => {
                let there = self.opened()?.metadata()?;
                let full = there.len() + line.len() as u64 >= bytes_max;
                // An empty file would only push an older one out.
                let is_due = bytes_max > 0 && backups > 0 && full && there.len() > 0;
                if is_due && there.is_file() {
                    self.number(backups)
                } else {
                    Ok(())
                }
            }
            Keeping::ByTime { backups, .. } => self.stamp(backups, now),
        }
    }

    /// `NAME.1` becomes `NAME.2`, and so on; the last one is overwritten.
    fn number(&mut self, backups: u32) -> io::Result<()> {
        // Renamed by somebody else already: there is nothing to rotate.
        if self.settings.path.exists() {
            let base = self.file_name();
            let number_of = |name: String| {
                let number = name.strip_prefix(&base)?.strip_prefix('.')?;
                // `+1` and `01` are no numbers of this handler.
                let plain = number.starts_with(|c| ('1'..='9').contains(&c));
                number.parse::<u32>().ok().filter(|_| plain)
            };
            let mut numbers: Vec<u32> = self.names()?.filter_map(number_of).collect();
            numbers.retain(|number| *number < backups);
            numbers.sort_unstable();
            for number in numbers.into_iter().rev() {
                let (from, to) = (number.to_string(), (number + 1).to_string());
                fs::rename(self.beside(&from), self.beside(&to))?;
            }
            fs::rename(&self.settings.path, self.beside("1"))?;
        }
        self.file = None;
        self.opened().map(drop)
    }

    /// Gives the file the time at which its interval began as a suffix, if that is over.
    fn stamp(&mut self, backups: u32, now: i64) -> io::Result<()> {
        let (Some(schedule), Some(due)) = (self.schedule(), self.due) else {
            return Ok(());
        };
        if now < due {
            return Ok(());
        }
        let zone = self.zone();
        let next = schedule.next(now, &zone);
        if let Ok(there) = fs::metadata(&self.settings.path)
            && !there.is_file()
        {
            self.due = Some(next);
            return Ok(());
        }
        let suffix = schedule.suffix(due, now, &zone);
        if self.settings.path.exists() {
            fs::rename(&self.settings.path, self.beside(&suffix))?;
        }
        self.due = Some(next);
        self.file = None;
        self.opened()?;
        if backups > 0 {
            let backups = usize::try_from(backups).unwrap_or(usize::MAX);
            for name in schedule.outdated(&self.file_name(), self.names()?, backups) {
                fs::remove_file(self.settings.path.with_file_name(name))?;
            }
        }
        Ok(())
    }

    fn schedule(&self) -> Option<Schedule> {
        match self.settings.keeping {
            Keeping::ByTime { when, interval, .. } => Some(Schedule {
                when,
                interval: interval.get(),
            }),
            Keeping::Plain | Keeping::Watched | Keeping::BySize { .. } => None,
        }
    }

    fn zone(&self) -> TimeZone {
        match self.settings.keeping {
            Keeping::ByTime {
                zone: Zone::Utc, ..
            } => TimeZone::UTC,
            Keeping::ByTime { .. } | Keeping::Plain | Keeping::Watched | Keeping::BySize { .. } => {
                self.local.zone()
            }
        }
    }

    fn file_name(&self) -> String {
        let name = self.settings.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// `NAME.suffix`.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = OsString::from(&self.settings.path);
        path.push(".");
        path.push(suffix);
        path.into()
    }

    /// The names in the file's directory, as far as they are text.
    fn names(&self) -> io::Result<impl Iterator<Item = String> + use<>> {
        let directory = self.settings.path.parent().unwrap_or(&self.settings.path);
        let entries = fs::read_dir(directory)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()))
    }
}

#[cfg(test)]
mod tests;
