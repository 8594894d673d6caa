//! Tests of `state/register`: names and trust. What daemons make of it is in `tests/daemon/register.rs`.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_file_is_known_by_its_canonical_path_and_by_the_one_it_was_named_with() {
    let dir = tempfile::tempdir().unwrap();
    let here = fs::canonicalize(dir.path()).unwrap();
    let file = here.join("web.yaml");
    fs::write(&file, "").unwrap();
    let link = here.join("link.yaml");
    symlink(&file, &link).unwrap();
    let known = |path: &Path| known_by(path).collect::<Vec<_>>();
    assert_eq!(known(&file), std::slice::from_ref(&file));
    assert_eq!(known(&link), [file.clone(), link.clone()]);
    // Gone, and named through a directory that is a link.
    let directory = here.join("etc");
    symlink(&here, &directory).unwrap();
    fs::remove_file(&file).unwrap();
    let named = directory.join("web.yaml");
    assert_eq!(known(&named), [file, named.clone()]);
}

#[test]
fn an_entry_is_believed_while_its_lock_is_held_and_its_process_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("web.yaml");
    let entered = |pid| {
        let held = enter_one(dir.path(), config.clone(), Path::new("/run/web")).unwrap();
        let entry = Entry {
            config: config.clone(),
            pid,
            start_ticks: start_of(std::process::id()),
            runtime_dir: "/run/web".into(),
        };
        fs::write(&held.entry, serde_json::to_vec(&entry).unwrap()).unwrap();
        held
    };
    let found = || read(dir.path(), &config);
    let Held {
        lock, entry: path, ..
    } = entered(std::process::id());
    assert_eq!(
        found().unwrap().control_socket(),
        Path::new("/run/web/control")
    );
    assert!(found().unwrap().is_seen());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    // Another file's, of the same name by chance.
    assert!(read(dir.path(), &dir.path().join("db.yaml")).is_none());
    drop(lock);
    assert!(found().is_none(), "a killed daemon's");
    let Held {
        lock: _lock,
        entry: path,
        ..
    } = entered(1);
    assert!(found().is_none(), "the number is another process's");
    fs::write(&path, "{").unwrap();
    assert!(found().is_none());
}

#[test]
fn only_a_directory_in_safe_hands_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let uid = rustix::process::geteuid().as_raw();
    assert!(is_trusted(dir.path(), uid));
    assert!(!is_trusted(dir.path(), uid + 1));
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(!is_trusted(dir.path(), uid));
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    let link = dir.path().join("link");
    symlink(dir.path(), &link).unwrap();
    assert!(!is_trusted(&link, uid));
}
