//! Tests of `state/paths`.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

const BOOT: &str = "11111111-2222-3333-4444-555555555555";

fn caller(uid: u32) -> Caller {
    Caller {
        uid,
        boot: BootId::parse(BOOT).unwrap(),
        xdg_runtime_dir: Some("/run/user/1000".into()),
        xdg_state_home: Some("/home/me/.local/state".into()),
    }
}

fn myself() -> Caller {
    caller(rustix::process::geteuid().as_raw())
}

struct Config {
    dir: tempfile::TempDir,
    file: PathBuf,
}

fn config(name: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    fs::write(&file, "").unwrap();
    Config { dir, file }
}

fn plain(file: &Path, who: Caller) -> Paths {
    Paths::new(file, None, None, None, who).unwrap()
}

#[test]
fn the_hash_is_the_same_in_every_build() {
    assert_eq!(hash_of(Path::new("")), "e484e9d1b9");
    let path = Path::new("/etc/keepstart/config.yaml");
    assert_eq!(hash_of(path), "e0ef33cffd");
}

#[test]
fn root_uses_the_system_directories() {
    let config = config("web.yaml");
    let paths = plain(&config.file, caller(0));
    let name = paths.runtime_dir().file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("web-") && name.len() == 14, "{name}");
    assert_eq!(paths.runtime_dir(), Path::new("/run/keepstart").join(name));
    assert_eq!(
        paths.state_dir(),
        Path::new("/var/lib/keepstart").join(name)
    );
    assert_eq!(paths.control_socket(), paths.runtime_dir().join("control"));
}

#[test]
fn others_use_their_xdg_directories_or_tmp() {
    let config = config("web.yaml");
    let paths = plain(&config.file, caller(1000));
    assert!(paths.runtime_dir().starts_with("/run/user/1000/keepstart"));
    assert!(
        paths
            .state_dir()
            .starts_with("/home/me/.local/state/keepstart")
    );

    let who = Caller {
        xdg_runtime_dir: None,
        ..caller(1000)
    };
    let paths = plain(&config.file, who);
    let text = paths.runtime_dir().to_str().unwrap();
    assert!(text.starts_with("/tmp/keepstart-1000-web-"), "{text}");

    let homeless = Caller {
        xdg_state_home: None,
        ..caller(1000)
    };
    let error = Paths::new(&config.file, None, None, None, homeless).unwrap_err();
    assert!(error.to_string().contains("state-dir"));
}

#[test]
fn a_workspace_holds_both_and_the_runtime_files_under_the_boot() {
    let config = config("web.yaml");
    let paths = Paths::new(
        &config.file,
        Some(Path::new("/opt/it")),
        None,
        None,
        caller(0),
    )
    .unwrap();
    assert!(paths.state_dir().starts_with("/opt/it/.keepstart"));
    assert_eq!(paths.runtime_dir(), paths.state_dir().join(&BOOT[..8]));
}

#[test]
fn given_directories_win_and_relative_ones_are_in_the_workspace() {
    let config = config("web.yaml");
    let new = |workspace: Option<&str>| {
        let given = |dir| Some(Path::new(dir));
        let workspace = workspace.map(Path::new);
        Paths::new(&config.file, workspace, given("r"), given("/s"), caller(0)).unwrap()
    };
    assert_eq!(new(Some("/opt/it")).runtime_dir(), Path::new("/opt/it/r"));
    assert_eq!(new(Some("/opt/it")).state_dir(), Path::new("/s"));
    let beside = fs::canonicalize(config.dir.path()).unwrap();
    assert_eq!(new(None).runtime_dir(), beside.join("r"));
    assert_eq!(new(Some("ws")).runtime_dir(), beside.join("ws/r"));
}

#[test]
fn two_files_never_meet_and_one_file_by_two_names_does() {
    let one = config("config.yaml");
    let two = config("config.yaml");
    for workspace in [None, Some(Path::new("/opt/it"))] {
        let dirs = |file: &Path| {
            let paths = Paths::new(file, workspace, None, None, caller(0)).unwrap();
            [paths.runtime_dir, paths.state_dir]
        };
        let alias = one.dir.path().join("alias.yaml");
        let _ = fs::remove_file(&alias);
        symlink(&one.file, &alias).unwrap();
        let around = one
            .dir
            .path()
            .join("..")
            .join(one.dir.path().file_name().unwrap());
        assert_eq!(dirs(&one.file), dirs(&alias));
        assert_eq!(dirs(&one.file), dirs(&around.join("config.yaml")));
        for (a, b) in dirs(&one.file).iter().zip(dirs(&two.file)) {
            assert_ne!(*a, b);
        }
    }
}

#[test]
fn strange_file_names_make_plain_directory_names() {
    let config = config(&format!("zwei wörter\n{}.yaml", "x".repeat(200)));
    let paths = plain(&config.file, caller(0));
    let name = paths.runtime_dir().file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("zwei_w_rter_xxx"), "{name}");
    assert_eq!(name.len(), STEM_BYTES_MAX + 11);
}

#[test]
fn a_socket_path_that_does_not_fit_is_refused_with_the_way_out() {
    let config = config("web.yaml");
    let new = |length: usize| {
        let dir = format!("/{}", "r".repeat(length - 1));
        Paths::new(&config.file, None, Some(Path::new(&dir)), None, caller(0))
    };
    assert!(new(SOCKET_PATH_BYTES_MAX - "/control".len()).is_ok());
    let error = new(SOCKET_PATH_BYTES_MAX - "/control".len() + 1).unwrap_err();
    assert!(error.to_string().contains("108 bytes"), "{error}");
    assert!(error.to_string().contains("`runtime-dir`"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error =
        Paths::new(Path::new("/nonexistent.yaml"), None, None, None, caller(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot resolve the path of /nonexistent.yaml"
    );
}

#[test]
fn directories_are_made_private_once_and_found_again() {
    let config = config("web.yaml");
    let workspace = config.dir.path();
    let paths = Paths::new(&config.file, Some(workspace), None, None, myself()).unwrap();
    for _ in 0..2 {
        paths.make_directories().unwrap();
    }
    for dir in [paths.runtime_dir(), paths.state_dir(), &paths.output_dir()] {
        assert_eq!(fs::metadata(dir).unwrap().mode() & 0o777, 0o700, "{dir:?}");
    }
    let shared = fs::metadata(workspace.join(".keepstart")).unwrap();
    assert_eq!(shared.mode() & 0o022, 0);
}

#[test]
fn a_directory_of_somebody_else_or_open_to_others_is_refused() {
    let config = config("web.yaml");
    let dir = config.dir.path().join("it");
    fs::create_dir(&dir).unwrap();
    let make = |who| {
        let given = Some(dir.as_path());
        Paths::new(&config.file, None, given, given, who)
            .unwrap()
            .make_directories()
    };
    assert!(make(myself()).is_ok());
    assert!(matches!(
        make(caller(4242)),
        Err(PathsError::Directory(DirectoryError::ForeignOwner {
            expected: 4242,
            ..
        }))
    ));

    fs::set_permissions(&dir, fs::Permissions::from_mode(0o770)).unwrap();
    let error = make(myself()).unwrap_err();
    assert!(error.to_string().contains("mode 770"), "{error}");
}

#[test]
fn only_unlocked_directories_of_other_boots_are_removed() {
    let config = config("web.yaml");
    let paths = Paths::new(&config.file, Some(config.dir.path()), None, None, myself()).unwrap();
    paths.make_directories().unwrap();
    let old = paths.state_dir().join("aaaaaaaa");
    let locked = paths.state_dir().join("bbbbbbbb");
    let other = paths.state_dir().join("notes");
    for dir in [&old, &locked, &other] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("run.json"), "").unwrap();
    }
    let elsewhere = config.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, paths.state_dir().join("cccccccc")).unwrap();
    let _held = Lock::acquire(&locked.join("lock")).unwrap();

    assert_eq!(paths.remove_old_boots().unwrap(), 1);
    assert!(!old.exists());
    for dir in [&locked, &other, &elsewhere, &paths.runtime_dir] {
        assert!(dir.exists(), "{dir:?}");
    }
}

#[test]
fn a_client_looks_for_its_own_daemon_and_then_for_roots() {
    let config = config("web.yaml");
    let of = |runtime_dir: Option<&str>, who: &Caller| {
        let found = Paths::candidates(&config.file, None, runtime_dir.map(Path::new), None, who);
        found.unwrap()
    };
    let roots = plain(&config.file, caller(0));
    let found = of(None, &caller(1000));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], plain(&config.file, caller(1000)));
    assert_eq!(found[1].runtime_dir(), roots.runtime_dir());
    assert_eq!(of(None, &caller(0)).len(), 1);
    assert_eq!(of(Some("/given"), &caller(1000)).len(), 1);
    let homeless = Caller {
        xdg_state_home: None,
        ..caller(1000)
    };
    let found = of(None, &homeless);
    assert_eq!(found.len(), 1, "it can have no daemon, but talk to root's");
    assert_eq!(found[0].runtime_dir(), roots.runtime_dir());
}

#[test]
fn in_tmp_only_an_own_directory_is_believed() {
    let config = config("web.yaml");
    let who = Caller {
        xdg_runtime_dir: None,
        xdg_state_home: Some(config.dir.path().join("state")),
        ..myself()
    };
    // Root would not go there.
    let mut paths = plain(&config.file, who);
    let dir = config.dir.path().join("tmp");
    paths.runtime_dir = dir.clone();
    paths.runtime_in_tmp = true;
    paths.check_for_client().unwrap();
    paths.make_directories().unwrap();
    paths.check_for_client().unwrap();

    let mut foreign = paths.clone();
    foreign.caller.uid = 4242;
    foreign.check_for_client().unwrap_err();

    fs::rename(&dir, config.dir.path().join("target")).unwrap();
    symlink(config.dir.path().join("target"), &dir).unwrap();
    for error in [
        paths.check_for_client().unwrap_err(),
        paths.make_directories().unwrap_err(),
    ] {
        let link = PathsError::Directory(DirectoryError::Symlink { path: dir.clone() });
        assert_eq!(error.to_string(), link.to_string());
    }
}

#[test]
fn a_workspace_that_is_not_there_is_not_made() {
    let config = config("web.yaml");
    let workspace = config.dir.path().join("nowhere");
    let paths = Paths::new(&config.file, Some(&workspace), None, None, myself()).unwrap();
    let error = anyhow::Error::from(paths.make_directories().unwrap_err());
    assert!(
        format!("{error:#}").contains("nowhere/.keepstart"),
        "{error:#}"
    );
    assert!(!workspace.exists());
}
