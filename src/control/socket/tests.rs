//! Tests of `control/socket`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

/// A listener is made within one.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

#[test]
fn a_dead_daemons_socket_is_replaced_and_nothing_else_is() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("control");
    drop(bind(&path, Access::Owner, Access::Owner).expect("a listener"));
    assert!(path.exists(), "a dead daemon leaves its socket");
    let _listener = bind(&path, Access::Owner, Access::Owner).expect("a listener in its place");
    let mode = fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file = directory.path().join("file");
    fs::write(&file, "precious").expect("a file");
    let error = bind(&file, Access::Owner, Access::Owner).expect_err("something is in the way");
    let exists = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    assert!(exists(&error), "{error}");
    assert_eq!(fs::read_to_string(&file).expect("the file"), "precious");
}

#[test]
fn a_group_may_use_the_socket_and_pass_its_directory() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let directory = TempDir::new().expect("a directory");
    let mode = fs::Permissions::from_mode;
    fs::set_permissions(directory.path(), mode(0o700)).expect("its mode");
    let home = directory.path().join("home");
    fs::create_dir(&home).expect("a directory");
    fs::set_permissions(&home, mode(0o700)).expect("its mode");
    let path = home.join("control");
    // Everybody may give files to his own group.
    let gid = rustix::process::getegid().as_raw();
    let _listener = bind(&path, Access::Group(gid), Access::Group(gid)).expect("a listener");
    for (path, expected) in [(&path, 0o660), (&home, 0o710)] {
        let found = fs::metadata(path).expect("its metadata");
        assert_eq!((found.mode() & 0o777, found.gid()), (expected, gid));
    }
    let above = fs::metadata(directory.path()).expect("its metadata").mode();
    assert_eq!(above & 0o777, 0o700);
}

#[test]
fn root_follows_no_link_in_a_workspace_and_nobody_else_may_write_there() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let workspace = TempDir::new().expect("a directory");
    let elsewhere = workspace.path().join("elsewhere/0badcafe");
    let home = workspace.path().join(".keepstart");
    fs::create_dir_all(&elsewhere).expect("a directory");
    fs::create_dir(&home).expect("a directory");
    let mode = fs::Permissions::from_mode;
    fs::set_permissions(&elsewhere, mode(0o700)).expect("its mode");
    symlink(workspace.path().join("elsewhere"), home.join("hash")).expect("a link");
    let path = home.join("hash/0badcafe/control");
    let gid = rustix::process::getegid().as_raw();
    let bound = bind(&path, Access::Group(gid), Access::Group(gid));
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(bound.is_err(), is_root, "{bound:?}");
    let found = fs::metadata(&elsewhere).expect("its metadata").mode() & 0o777;
    assert_eq!(found, if is_root { 0o700 } else { 0o710 });
    fs::set_permissions(&elsewhere, mode(0o770)).expect("its mode");
    let direct = elsewhere.join("control");
    let error = bind(&direct, Access::Owner, Access::Owner).expect_err("others may write there");
    assert!(
        error.to_string().contains("not this user's alone"),
        "{error}"
    );
}

#[test]
fn readers_have_a_socket_of_their_own_that_goes_with_their_right() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let directory = TempDir::new().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).expect("its mode");
    let (control, status) = (
        directory.path().join("control"),
        directory.path().join("status"),
    );
    let modes = || {
        let mode = |path| fs::metadata(path).expect("its metadata").mode() & 0o777;
        (mode(directory.path()), mode(&control), mode(&status))
    };
    let readers = Access::of_readers(&Readers::Everyone);
    drop(bind(&control, Access::Owner, Access::Owner).expect("a listener"));
    drop(bind(&status, readers, readers).expect("a listener"));
    assert_eq!(modes(), (0o711, 0o600, 0o666));
    let gid = rustix::process::getegid().as_raw();
    let written = gid.to_string();
    let readers = Access::of_readers(&Readers::Group(Group { written, gid }));
    drop(bind(&status, readers, readers).expect("a listener"));
    assert_eq!(modes(), (0o711, 0o600, 0o660));
    unbind(&status).expect("it goes");
    unbind(&status).expect("it is gone");
    assert!(!status.exists() && control.exists());
}

#[test]
fn a_changed_group_takes_the_place_of_the_one_before() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("control");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o710)).expect("its mode");
    // Root may give a directory to any group, another user to those that he is in.
    let own = rustix::process::getegid().as_raw();
    let groups = rustix::process::getgroups().expect("the groups");
    let mut groups = groups.iter().map(|gid| gid.as_raw());
    let is_root = rustix::process::geteuid().is_root();
    let other = groups
        .find(|gid| *gid != own)
        .or(is_root.then_some(own + 1));
    let gid = other.unwrap_or(own);
    let access = Access::Group(gid);
    drop(bind(&path, access, access).expect("a listener"));
    let found = fs::metadata(directory.path()).expect("its metadata");
    assert_eq!((found.mode() & 0o777, found.gid()), (0o710, gid));
    assert_eq!(access.and(Access::Owner), access);
    assert_eq!(access.and(Access::Group(gid + 1)), Access::Everybody);
}
