//! Tests of `state/directories`.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use std::os::unix::fs::MetadataExt;

use super::*;

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_link_is_refused_or_what_is_behind_it_judged() {
    let home = directory();
    let dir = home.path().join("it");
    symlink(home.path().join("target"), &dir).unwrap();
    fs::create_dir(home.path().join("target")).unwrap();
    let make = |links, uid| make(&Wanted::own(&dir, links), None, uid);
    assert!(matches!(
        make(Links::Refused, uid()),
        Err(DirectoryError::Symlink { .. })
    ));
    assert!(make(Links::Followed, uid()).is_ok());
    assert!(matches!(
        make(Links::Followed, 4242),
        Err(DirectoryError::ForeignOwner { .. })
    ));
    fs::remove_file(&dir).unwrap();
    fs::write(&dir, "").unwrap();
    assert!(matches!(
        make(Links::Followed, uid()),
        Err(DirectoryError::Make { .. })
    ));
}

#[test]
fn a_shared_one_lets_everybody_through_and_may_be_anybodys() {
    let home = directory();
    let dir = home.path().join("keepstart");
    let wanted = Wanted::shared(&dir, Links::Refused);
    make(&wanted, None, uid()).unwrap();
    assert_eq!(mode(&dir), 0o755);
    make(&wanted, None, 4242).unwrap();
    fs::rename(&dir, home.path().join("target")).unwrap();
    symlink(home.path().join("target"), &dir).unwrap();
    let error = make(&wanted, None, uid()).unwrap_err().to_string();
    assert!(
        error.contains("symbolic link") && error.contains("`state-dir`"),
        "{error}"
    );
}

#[test]
fn who_can_replace_a_directory_is_told_once() {
    let home = directory();
    let open = home.path().join("open");
    let place = open.join("a/b");
    fs::create_dir_all(&place).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o757)).unwrap();
    let told = |uid| {
        let mut found = Vec::new();
        interference(&place, uid, &mut found).unwrap();
        interference(&place, uid, &mut found).unwrap();
        found.retain(|one| {
            one.fault
                .component
                .starts_with(fs::canonicalize(home.path()).unwrap())
        });
        found
    };
    let found = told(uid());
    assert_eq!(found.len(), 1, "{found:?}");
    let text = found[0].to_string();
    assert!(
        text.contains(
            "open can be written by everybody (mode 0757), who can replace this daemon's"
        ),
        "{text}"
    );
    assert!(text.contains("set `runtime-dir`"), "{text}");

    // As /tmp is: whoever may write there cannot rename what is not his.
    fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(told(uid()), []);
}

#[test]
fn an_owner_other_than_root_can_replace_what_is_in_his_directory() {
    const STRANGER: u32 = 4242;
    let home = directory();
    let place = home.path().join("in");
    fs::create_dir(&place).unwrap();
    // Only root can give a directory away; for anybody else his own is a stranger's to another user.
    let (owner, uid) = if uid() == 0 {
        std::os::unix::fs::chown(home.path(), Some(STRANGER), None).unwrap();
        (STRANGER, 0)
    } else {
        (uid(), STRANGER)
    };
    let mut found = Vec::new();
    interference(&place, uid, &mut found).unwrap();
    let real = fs::canonicalize(home.path()).unwrap();
    let at = |one: &&Interference| one.fault.component == real;
    let trouble = found.iter().find(at).map(|one| one.fault.trouble);
    assert_eq!(trouble, Some(Trouble::DirectoryOwner { uid: owner }));
    found.clear();
    interference(&place, owner, &mut found).unwrap();
    assert_eq!(found.iter().find(at), None);
}

#[test]
fn roots_group_may_write_on_the_way_and_nobody_else_by_a_list() {
    let home = directory();
    let open = home.path().join("open");
    let place = open.join("in");
    fs::create_dir_all(&place).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o775)).unwrap();
    let real = fs::canonicalize(&open).unwrap();
    let is_told = || {
        let mut found = Vec::new();
        interference(&place, uid(), &mut found).unwrap();
        found.iter().any(|one| one.fault.component == real)
    };
    let is_of_roots_group = fs::metadata(&open).unwrap().gid() == 0;
    assert_eq!(is_told(), !is_of_roots_group);
    let granted = std::process::Command::new("setfacl")
        .args(["-m", "u:4242:rwx"])
        .arg(&open)
        .status();
    assert!(granted.unwrap().success());
    assert!(is_told());
}
