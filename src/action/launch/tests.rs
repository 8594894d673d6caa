//! Tests of `action/launch`.

use std::fs;

use super::super::testing::{job, with_settings};
use super::*;
use crate::machine::job::Action;

fn invocation(run: Command, arguments: Arguments) -> Result<Invocation, String> {
    let job = job(1, Action::Start, run);
    let job = with_settings(job, |settings| settings.arguments = arguments);
    Invocation::of(&job, OsStr::new("/nowhere:/usr/bin:/bin"))
}

fn words(invocation: &Invocation) -> Vec<String> {
    let program = invocation.program.as_os_str();
    std::iter::once(program)
        .chain(invocation.arguments.iter().map(OsString::as_os_str))
        .map(|word| word.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn each_kind_of_command_without_arguments() {
    let file = invocation(Command::File("/opt/start.sh".into()), Arguments::None).unwrap();
    assert_eq!(words(&file), ["/opt/start.sh"]);
    assert_eq!(
        words(&file.by_shell().unwrap()),
        ["/bin/sh", "/opt/start.sh"]
    );
    let bare = invocation(Command::File("start.sh".into()), Arguments::None).unwrap();
    assert_eq!(words(&bare), ["./start.sh"]);
    let line = invocation(Command::Shell("a; b".into()), Arguments::None).unwrap();
    assert_eq!(words(&line), ["/bin/sh", "-c", "a; b"]);
    assert_eq!(line.by_shell(), None);
    let argv = Command::Argv(vec!["true".into(), "x y".into()]);
    let argv = invocation(argv, Arguments::None).unwrap();
    assert_eq!(words(&argv), ["/usr/bin/true", "x y"]);
}

#[test]
fn each_kind_of_command_with_keepalived_arguments() {
    let with = |run| words(&invocation(run, Arguments::Keepalived).unwrap());
    let arguments = ["INSTANCE", "web.1", "MASTER", "0"];
    let expected = |first: &[&'static str]| [first, &arguments].concat();
    assert_eq!(with(Command::File("/n.sh".into())), expected(&["/n.sh"]));
    assert_eq!(
        with(Command::Shell("/n.sh web".into())),
        expected(&["/bin/sh", "-c", "/n.sh web \"$@\"", "sh"])
    );
    let line = "test $3 = MASTER && n.sh \"$@\"";
    assert_eq!(
        with(Command::Shell(line.into())),
        expected(&["/bin/sh", "-c", line, "sh"])
    );
    assert_eq!(
        with(Command::Argv(vec!["/n.sh".into(), "web".into()])),
        expected(&["/n.sh", "web"])
    );
}

#[test]
fn programs_are_looked_for_like_execvp_does() {
    let directory = tempfile::tempdir().unwrap();
    // Neither a directory nor a file without the permission is a program.
    fs::create_dir(directory.path().join("sleep")).unwrap();
    fs::write(directory.path().join("cat"), "").unwrap();
    let path = format!("{}:/usr/bin", directory.path().display());
    let find = |program| find_program(program, OsStr::new(&path), None);
    assert_eq!(find("sleep").unwrap(), Path::new("/usr/bin/sleep"));
    assert_eq!(find("cat").unwrap(), Path::new("/usr/bin/cat"));
    assert_eq!(find("./x").unwrap(), Path::new("./x"));
    let error = format!("cannot run nonesuch: there is no such program in PATH {path}");
    assert_eq!(find("nonesuch").unwrap_err(), error);
    assert!(invocation(Command::Argv(Vec::new()), Arguments::None).is_err());
}
