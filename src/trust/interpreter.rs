//! The interpreter of a script. Reads the disk.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// execve(2): at most 255 characters of the first line count.
const LINE_MAX: u64 = 256;

/// The interpreter that a script's `#!` line names.
pub fn interpreter_of(script: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    // A pipe in the place of a script would have its opener wait for a writer.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(script)
        .ok()?;
    file.take(LINE_MAX).read_to_end(&mut start).ok()?;
    let line = start.split(|&byte| byte == b'\n').next()?;
    // To the kernel a carriage return is a part of the name.
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let mut words = line.strip_prefix(b"#!")?.split(blank);
    let word = words.find(|word| !word.is_empty())?;
    Some(OsString::from_vec(word.to_vec()).into())
}
