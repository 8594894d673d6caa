//! The walk by descriptors: each component is opened in the directory that was judged before, so nothing can be put
//! in its place in between. Holds descriptors (`O_PATH`) only while it walks: one that was kept would keep a file
//! system from being unmounted at a failover.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, getxattr, openat, readlinkat};
use rustix::io::Errno;

use super::{Fault, Judgement, Trouble, Trusted, judge};

/// How many links are followed, as the kernel does (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Where an access control list is kept (acl(5)).
const ACL: &str = "system.posix_acl_access";

/// Walks a path and gives back everything on it that is not in safe hands, from the root down. A relative path
/// begins in the working directory. What is not there is not a fault where only someone trusted can put it there: it
/// cannot be run either, and the attempt says why. What may not be looked at is one, because the user that is to run it
/// may perhaps reach it.
pub fn inspect(path: &Path, trusted: Trusted) -> Vec<Fault> {
    let mut walk = Walk {
        trusted,
        faults: Vec::new(),
        directories: Vec::new(),
    };
    let result = match std::path::absolute(path) {
        Ok(absolute) => walk.go(&absolute),
        Err(error) => Err((path.to_owned(), errno(&error))),
    };
    match result {
        // A moment later it may be there, and somebody else's.
        Err((component, Errno::NOENT)) if walk.is_in_shared() => {
            walk.fault(component, Trouble::Missing);
        }
        Ok(()) | Err((_, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => {}
        Err((component, errno)) => walk.fault(component, Trouble::Unseen(errno)),
    }
    walk.faults
}

struct Walk {
    trusted: Trusted,
    faults: Vec<Fault>,
    /// From the root to where the walk is, links resolved: what `..` goes back through.
    directories: Vec<Directory>,
}

struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
    /// Others may put their own things into it, and replace no one else's: it is sticky.
    is_shared: bool,
}

impl Directory {
    fn new(descriptor: OwnedFd, path: PathBuf, found: &Stat) -> Self {
        Self {
            descriptor,
            path,
            is_shared: found.st_mode & 0o1000 != 0 && found.st_mode & 0o022 != 0,
        }
    }
}

impl Walk {
    fn go(&mut self, path: &Path) -> Result<(), (PathBuf, Errno)> {
        let mut left: VecDeque<OsString> = words(path.as_os_str());
        let mut links = 0;
        self.enter_root()?;
        while let Some(word) = left.pop_front() {
            match word.as_bytes() {
                b"" | b"." => continue,
                b".." => {
                    // The root is its own parent.
                    if self.directories.len() > 1 {
                        self.directories.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let Some(here) = self.directories.last() else {
                return Ok(());
            };
            let component = here.path.join(&word);
            let failed = |errno| (component.clone(), errno);
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = openat(&here.descriptor, &word, flags, Mode::empty()).map_err(failed)?;
            let found = fstat(&opened).map_err(failed)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err((component, Errno::LOOP));
                    }
                    let target = readlinkat(&opened, "", Vec::new()).map_err(failed)?;
                    self.judge_link(component, &found);
                    let target = OsString::from_vec(target.into_bytes());
                    if target.as_bytes().starts_with(b"/") {
                        self.directories.truncate(1);
                    }
                    for word in words(&target).into_iter().rev() {
                        left.push_front(word);
                    }
                }
                FileType::Directory => {
                    self.judge(&component, &opened, &found);
                    let directory = Directory::new(opened, component, &found);
                    self.directories.push(directory);
                }
                FileType::RegularFile
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {
                    self.judge(&component, &opened, &found);
                    return match left.iter().find(|word| !word.is_empty()) {
                        None => Ok(()),
                        Some(_) => Err((component, Errno::NOTDIR)),
                    };
                }
            }
        }
        Ok(())
    }

    fn enter_root(&mut self) -> Result<(), (PathBuf, Errno)> {
        let root = PathBuf::from("/");
        let failed = |errno| (PathBuf::from("/"), errno);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(CWD, &root, flags, Mode::empty()).map_err(failed)?;
        let found = fstat(&opened).map_err(failed)?;
        self.judge(&root, &opened, &found);
        self.directories.push(Directory::new(opened, root, &found));
        Ok(())
    }

    /// Whether the walk is in a directory into which others may put their own things.
    fn is_in_shared(&self) -> bool {
        let here = self.directories.last();
        here.is_some_and(|directory| directory.is_shared)
    }

    /// A link is a fault only where its owner could replace it: in a sticky directory that he can write.
    fn judge_link(&mut self, component: PathBuf, found: &Stat) {
        if self.is_in_shared() && !self.trusted.includes(found.st_uid) {
            self.fault(component, Trouble::LinkOwner { uid: found.st_uid });
        }
    }

    fn judge(&mut self, component: &Path, opened: &OwnedFd, found: &Stat) {
        match judge(found, self.trusted) {
            Judgement::Safe => {}
            Judgement::Faulty(trouble) => self.fault(component.to_owned(), trouble),
            Judgement::AskAcl => {
                if has_acl(opened) {
                    self.fault(component.to_owned(), Trouble::Acl);
                }
            }
        }
    }

    fn fault(&mut self, component: PathBuf, trouble: Trouble) {
        let fault = Fault { component, trouble };
        // A link may lead through the same directory twice.
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

fn words(path: &OsStr) -> VecDeque<OsString> {
    let words = path.as_bytes().split(|&byte| byte == b'/');
    words
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect()
}

/// Whether a file has an access control list, or may have one. `O_PATH` descriptors have no attributes to ask for;
/// their links in `/proc` lead to the same files.
fn has_acl(file: impl AsFd) -> bool {
    let link = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let nothing: &mut [u8] = &mut [];
    !matches!(
        getxattr(link, ACL, nothing),
        Err(Errno::NODATA | Errno::OPNOTSUPP)
    )
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
