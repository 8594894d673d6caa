//! keepalived's processes, and its file with all that it includes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::facts::{Keepalived, KeepalivedConf, Seen};
use super::super::keepalived_conf;
use super::{processes, scripts};

/// Where keepalived's file is when its command line does not say.
const FILE: &str = "/etc/keepalived/keepalived.conf";

/// The most files that are read: an include that matches a directory of thousands is a mistake.
const FILES_MAX: usize = 200;

/// The longest file that is read, in bytes.
const FILE_SIZE_MAX: u64 = 1024 * 1024;

/// Looks at both.
pub(super) fn look() -> Keepalived {
    let running = processes::named(&["keepalived"]);
    let given = running.iter().find_map(|process| file_of(&process.words));
    let file = given.unwrap_or_else(|| PathBuf::from(FILE));
    Keepalived {
        processes: running.iter().map(|process| process.pid).collect(),
        conf: read(&file),
        file,
    }
}

/// The file that a command line of keepalived names: `-f FILE`, `-fFILE`, `--use-file=FILE`.
fn file_of(words: &[String]) -> Option<PathBuf> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "-f" || word == "--use-file" {
            return words.next().map(PathBuf::from);
        }
        let joined = word
            .strip_prefix("--use-file=")
            .or_else(|| word.strip_prefix("-f"));
        if let Some(file) = joined {
            return Some(file.into());
        }
    }
    None
}

fn read(file: &Path) -> Seen<Option<KeepalivedConf>> {
    let text = match text(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", file.display())),
    };
    let mut left = FILES_MAX;
    let mut open = |pattern: &Path, from: &Path| {
        let files = matching(pattern, from);
        let files = files.into_iter().take(left).collect::<Vec<_>>();
        left -= files.len();
        let read = |file: PathBuf| match text_of(&file) {
            Ok(text) => Ok((file, text)),
            Err(why) => Err(why),
        };
        files.into_iter().map(read).collect()
    };
    let mut conf = keepalived_conf::parse(file, &text, &mut open);
    for hook in &mut conf.hooks {
        hook.resolved = fs::canonicalize(&hook.program).ok();
        hook.units = scripts::units_of_file(&hook.program);
    }
    Ok(Some(conf))
}

fn text_of(file: &Path) -> Result<String, String> {
    text(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

fn text(file: &Path) -> io::Result<String> {
    let found = fs::metadata(file)?;
    if !found.is_file() || found.len() > FILE_SIZE_MAX {
        return Err(io::Error::other("it is no file of a usual size"));
    }
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The files that a pattern names, relative to the file that includes them. Of glob(7) only `*` and `?`, in the last
/// part, which is how people write it; a file that is not there is reported when it is read.
fn matching(pattern: &Path, from: &Path) -> Vec<PathBuf> {
    let pattern = from.parent().unwrap_or(Path::new("/")).join(pattern);
    let last = pattern
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let Some(folder) = pattern.parent().filter(|_| last.contains(['*', '?'])) else {
        return vec![pattern];
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| {
            matches(
                last.as_bytes(),
                entry.file_name().to_string_lossy().as_bytes(),
            )
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            matches(rest, name) || matches!(name, [_, name @ ..] if matches(pattern, name))
        }
        ([b'?', rest @ ..], [_, name @ ..]) => matches(rest, name),
        ([wanted, rest @ ..], [found, name @ ..]) => wanted == found && matches(rest, name),
        ([], _) | (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{file_of, matches};

    #[test]
    fn a_command_line_names_its_file() {
        let file = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            file_of(&words)
                .map(|file| file.display().to_string())
                .unwrap_or_default()
        };
        assert_eq!(file("keepalived -n -f a.conf"), "a.conf");
        assert_eq!(file("keepalived -fa.conf -n"), "a.conf");
        assert_eq!(file("keepalived --use-file=a.conf"), "a.conf");
        assert_eq!(file("/usr/sbin/keepalived --dont-fork"), "");
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        let all = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
        assert!(
            all("*.conf", "a.conf") && all("a?b*", "axb") && all("*", "") && all("a*c", "abbc")
        );
        assert!(!all("*.conf", "a.conf~") && !all("a?", "a") && !all("", "a"));
    }
}
