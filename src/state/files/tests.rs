//! Tests of `state/files`.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[test]
fn a_file_is_replaced_whole_and_privately() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("epoch");
    for (bytes, durability) in [
        (&b"one"[..], Durability::Disk),
        (b"two", Durability::ThisBoot),
    ] {
        let mut file = replace(&path, bytes, durability).unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), bytes);
        file.write_all(b"+").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), [bytes, b"+"].concat());
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_leftover_of_a_killed_daemon_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("epoch");
    fs::write(dir.path().join("epoch.new"), "half").unwrap();
    replace(&path, b"whole", Durability::Disk).unwrap();
    assert_eq!(read(&path).unwrap().unwrap(), b"whole");
}

#[test]
fn what_is_no_regular_file_is_not_read_and_does_not_block() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it");
    assert!(read(&path).unwrap().is_none());

    fs::create_dir(&path).unwrap();
    assert!(read(&path).is_err());
    fs::remove_dir(&path).unwrap();

    symlink("/etc/passwd", &path).unwrap();
    assert!(read(&path).is_err());
    fs::remove_file(&path).unwrap();

    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert!(read(&path).is_err());
    fs::remove_file(&path).unwrap();

    let sparse = File::create(&path).unwrap();
    sparse.set_len(READ_BYTES_MAX + 1).unwrap();
    assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn only_the_newest_damaged_versions_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.json");
    for n in 0..8_u64 {
        fs::write(&path, n.to_string()).unwrap();
        File::open(&path)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(100 + n))
            .unwrap();
        let finding = set_aside(&path, "a test".to_owned());
        assert!(matches!(finding, Finding::SetAside { .. }), "{finding}");
    }
    let mut kept: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    kept.sort();
    assert_eq!(kept, ["3", "4", "5", "6", "7"]);
}
