//! Tests of `trust`: on real directories, with real links and a real access control list.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::*;

/// A user that nobody trusts.
const STRANGER: u32 = 12_345;

/// A directory in `/tmp`, which is sticky and root's, with `a/b/script` in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir_in("/tmp").unwrap());
        fs::create_dir_all(place.path("a/b")).unwrap();
        fs::write(place.path("a/b/script"), "#!/bin/sh\n").unwrap();
        for (name, mode) in [
            ("", 0o700),
            ("a", 0o755),
            ("a/b", 0o755),
            ("a/b/script", 0o755),
        ] {
            place.chmod(name, mode);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The faults on the way to a file, and whether the quick walk would have asked for them.
    #[track_caller]
    fn faults(&self, name: &str) -> Vec<String> {
        let path = self.path(name);
        let trusted = Trusted::for_user(None);
        let faults = inspect(&path, trusted);
        assert!(
            faults.is_empty() || !is_safe(&path, trusted),
            "the quick walk passes what has {faults:?}"
        );
        let here = self.0.path().display().to_string();
        let told = faults
            .iter()
            .map(|fault| fault.to_string().replace(&here, "HERE"));
        told.collect()
    }
}

#[test]
fn what_only_its_owner_and_root_can_write_is_safe() {
    let place = Place::new();
    assert_eq!(place.faults("a/b/script"), Vec::<String>::new());
    assert!(is_safe(&place.path("a/b/script"), Trusted::for_user(None)));
    assert_eq!(inspect(Path::new("/bin/sh"), Trusted::ROOT), Vec::new());
}

#[test]
fn a_component_that_others_can_write_is_named_with_its_remedy() {
    let cases = [
        ("a/b/script", 0o757, "everybody", "o-w"),
        ("a/b/script", 0o777, "everybody", "o-w"),
        ("a/b", 0o757, "everybody", "o-w"),
        ("a", 0o707, "everybody", "o-w"),
        ("", 0o702, "everybody", "o-w"),
    ];
    for (name, mode, whose, remedy) in cases {
        let place = Place::new();
        place.chmod(name, mode);
        let end = if name.is_empty() {
            "HERE".into()
        } else {
            format!("HERE/{name}")
        };
        let told = place.faults("a/b/script");
        let [fault] = told.as_slice() else {
            panic!("{name} {mode:o}: {told:?}")
        };
        // The group is root's or the tester's own.
        let expected =
            format!("{end} can be written by {whose} (mode {mode:04o}); mend it with `chmod ");
        assert!(fault.starts_with(&expected), "{fault}");
        assert!(
            fault.ends_with(&format!("{remedy} {end}`"))
                || fault.ends_with(&format!("go-w {end}`")),
            "{fault}"
        );
        // Whoever does as he is told has no fault left.
        let here = place.0.path().display().to_string();
        let command = fault.split('`').nth(1).unwrap().replace("HERE", &here);
        let status = Command::new("/bin/sh").args(["-c", &command]).status();
        assert!(status.unwrap().success());
        assert_eq!(
            place.faults("a/b/script"),
            Vec::<String>::new(),
            "{command}"
        );
    }
}

#[test]
fn a_sticky_directory_is_no_fault_where_the_entry_is_in_safe_hands() {
    let place = Place::new();
    place.chmod("a", 0o1777);
    assert_eq!(place.faults("a/b/script"), Vec::<String>::new());
    assert!(is_safe(&place.path("a/b/script"), Trusted::for_user(None)));
    place.chmod("a/b", 0o1777);
    symlink("script", place.path("a/b/link")).unwrap();
    assert_eq!(place.faults("a/b/link"), Vec::<String>::new());
}

#[test]
fn links_are_resolved_and_what_they_lead_through_is_judged() {
    let place = Place::new();
    fs::create_dir(place.path("open")).unwrap();
    place.chmod("open", 0o757);
    fs::write(place.path("open/script"), "").unwrap();
    place.chmod("open/script", 0o755);
    let expected =
        ["HERE/open can be written by everybody (mode 0757); mend it with `chmod o-w HERE/open`"];
    let here = place.path("open");
    symlink("../../open/script", place.path("a/b/relative")).unwrap();
    symlink(here.join("script"), place.path("a/b/absolute")).unwrap();
    symlink("../open", place.path("a/directory")).unwrap();
    symlink("a/b/relative", place.path("twice")).unwrap();
    for name in [
        "a/b/relative",
        "a/b/absolute",
        "a/directory/script",
        "twice",
        "a/b/../../open/script",
    ] {
        assert_eq!(place.faults(name), expected, "{name}");
    }
    // Where the link stands counts as well.
    symlink("../a/b/script", place.path("open/out")).unwrap();
    assert_eq!(place.faults("open/out"), expected);
    symlink("../a/b/script", place.path("a/fine")).unwrap();
    assert_eq!(place.faults("a/b/../b/script"), Vec::<String>::new());
}

#[test]
fn what_cannot_be_run_is_left_to_the_attempt() {
    let place = Place::new();
    symlink("loop", place.path("loop")).unwrap();
    symlink("nowhere", place.path("dangling")).unwrap();
    for name in [
        "missing",
        "a/missing/script",
        "loop",
        "dangling",
        "a/b/script/x",
    ] {
        assert_eq!(place.faults(name), Vec::<String>::new(), "{name}");
        assert!(
            !is_safe(&place.path(name), Trusted::for_user(None)),
            "{name}"
        );
    }
}

#[test]
fn what_is_missing_where_others_can_put_it_is_a_fault() {
    let place = Place::new();
    place.chmod("a", 0o1777);
    symlink("a/missing", place.path("dangling")).unwrap();
    let expected = ["HERE/a/missing is not there, and others can put a file of theirs there"];
    for name in ["a/missing", "a/missing/script", "dangling"] {
        assert_eq!(place.faults(name), expected, "{name}");
    }
    assert_eq!(place.faults("a/b/missing"), Vec::<String>::new());
}

#[test]
fn the_quick_walk_is_sure_of_plain_absolute_paths_only() {
    let place = Place::new();
    let trusted = Trusted::for_user(None);
    symlink("script", place.path("a/b/link")).unwrap();
    let here = place.0.path().display().to_string();
    for path in ["a/b/script", "", "."] {
        assert!(!is_safe(Path::new(path), trusted), "{path}");
    }
    for path in [
        "/a/b/link",
        "/a/../a/b/script",
        "/a//b/script",
        "/a/b/script/",
    ] {
        assert!(
            !is_safe(Path::new(&format!("{here}{path}")), trusted),
            "{path}"
        );
    }
    assert!(is_safe(Path::new("/"), trusted) || is_safe(Path::new("/usr"), trusted));
}

/// Gives a file to somebody else, which only root can, and walks: for another user his own files are a stranger's to
/// who trusts only root.
fn strangers(place: &Place, name: &str, walked: &str) -> Vec<Trouble> {
    let path = place.path(name);
    if geteuid().is_root() {
        lchown(&path, Some(STRANGER), None).unwrap();
    }
    let faults = inspect(&place.path(walked), Trusted::ROOT);
    let of_it = faults.into_iter().filter(|fault| fault.component == path);
    of_it.map(|fault| fault.trouble).collect()
}

fn a_stranger() -> u32 {
    if geteuid().is_root() {
        STRANGER
    } else {
        geteuid().as_raw()
    }
}

#[test]
fn a_component_of_somebody_else_is_a_fault() {
    let uid = a_stranger();
    let of_a_directory = Trouble::DirectoryOwner { uid };
    for (name, trouble) in [
        ("a/b/script", Trouble::Owner { uid }),
        ("a/b", of_a_directory),
        ("a", of_a_directory),
    ] {
        let place = Place::new();
        assert_eq!(strangers(&place, name, "a/b/script"), [trouble]);
        let path = place.path("a/b/script");
        assert!(!is_safe(&path, Trusted::ROOT));
        // Who runs it may own it.
        let by_him = inspect(&path, Trusted::root_and(uid));
        assert_eq!(by_him, Vec::new());
        assert!(is_safe(&path, Trusted::root_and(uid)));
    }
    // A link is only a matter of the directory that it is in.
    let place = Place::new();
    symlink("b/script", place.path("a/link")).unwrap();
    assert_eq!(strangers(&place, "a/link", "a/link"), []);
    place.chmod("a", 0o1777);
    let troubles = strangers(&place, "a/link", "a/link");
    assert_eq!(troubles, [Trouble::LinkOwner { uid }]);
}

#[test]
fn who_an_access_control_list_lets_write_is_seen_in_the_mode() {
    let place = Place::new();
    let grant = |name: &str| {
        let path = place.path(name);
        let status = Command::new("setfacl")
            .args(["-m", "u:12345:rwx"])
            .arg(path)
            .status();
        assert!(status.expect("run setfacl of acl").success());
    };
    grant("a");
    let found = fs::metadata(place.path("a")).unwrap().permissions().mode();
    assert_eq!(found & 0o070, 0o070, "the mask stands in the group's bits");
    let told = place.faults("a/b/script");
    let [fault] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(fault.starts_with("HERE/a can be written by "), "{fault}");
}

#[test]
fn roots_group_may_write_and_nobody_else_by_a_list() {
    if !geteuid().is_root() {
        // Of the other users none may give files to root's group; /etc is what they can see of it.
        assert!(is_safe(Path::new("/etc"), Trusted::ROOT));
        return;
    }
    let place = Place::new();
    chown(place.path("a"), Some(0), Some(0)).unwrap();
    place.chmod("a", 0o775);
    assert_eq!(place.faults("a/b/script"), Vec::<String>::new());
    let acl = Command::new("setfacl")
        .args(["-m", "u:12345:rwx"])
        .arg(place.path("a"))
        .status();
    assert!(acl.expect("run setfacl of acl").success());
    assert_eq!(
        place.faults("a/b/script"),
        [
            "HERE/a can be written by others, in its access control list; mend it with `setfacl -m m::r-x HERE/a`"
        ]
    );
    // Whoever does as he is told takes nobody's entry away.
    let mend = Command::new("setfacl")
        .args(["-m", "m::r-x"])
        .arg(place.path("a"))
        .status();
    assert!(mend.unwrap().success());
    assert_eq!(place.faults("a/b/script"), Vec::<String>::new());
    let listed = Command::new("getfacl")
        .arg(place.path("a"))
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("user:12345:rwx"), "{listed}");
    place.chmod("a", 0o775);
    chown(place.path("a"), Some(0), Some(STRANGER)).unwrap();
    let told = place.faults("a/b/script");
    assert!(
        told[0].contains("can be written by group 12345 (mode 0775)"),
        "{told:?}"
    );
}

#[test]
fn remedies_are_words_that_a_shell_takes_back() {
    let remedy = |component: &str| {
        let trouble = Trouble::Owner { uid: 7 };
        let component = component.into();
        Fault { component, trouble }.remedy().unwrap()
    };
    assert_eq!(remedy("/opt/web"), "chown root /opt/web");
    assert_eq!(remedy("/opt/it's here"), "chown root '/opt/it'\\''s here'");
    let home = Fault {
        component: "/home/alice".into(),
        trouble: Trouble::DirectoryOwner { uid: 1000 },
    };
    assert_eq!(home.remedy(), None, "nobody's home is taken from him");
    assert_eq!(
        home.to_string(),
        "/home/alice belongs to user 1000; move what is run into a directory of root's, or run it as that user \
         (`user: 1000`)"
    );
    let unseen = Fault {
        component: "/opt".into(),
        trouble: Trouble::Unseen(rustix::io::Errno::IO),
    };
    assert_eq!(unseen.remedy(), None);
    assert!(unseen.to_string().contains("cannot be looked at"));
}
