//! Scripts, and the way to them.

use super::*;

#[test]
fn scripts_that_cannot_run() {
    let state = |state: ScriptState| move |facts: &mut Facts| facts.scripts[0].state = state;
    one(
        state(ScriptState::Missing),
        &[
            "!scripts: /x/start does not exist, but it is the start of instance web",
            "ls -l /x",
        ],
    );
    one(state(ScriptState::NotAFile), &["/x/start is no file"]);
    one(
        state(ScriptState::NotExecutable),
        &["/x/start is not executable", "# chmod 755 /x/start"],
    );
    one(
        state(ScriptState::OnNoexec),
        &["mounted with noexec", "findmnt"],
    );
    one(
        state(ScriptState::NoInterpreter("/no/sh".into())),
        &["begins with #!/no/sh, which does not exist"],
    );
    one(
        state(ScriptState::Unseen("closed".into())),
        &["unseen scripts: /x/start: closed"],
    );
}

#[test]
fn paths_in_the_wrong_hands() {
    let weak = Fault {
        component: "/x".into(),
        trouble: Trouble::Writable {
            group: None,
            everybody: true,
            mode: 0o757,
        },
    };
    one(
        |facts| facts.scripts[1].weak = Ok(vec![weak]),
        &[
            "!script-permissions: /x can be written by everybody (mode 0757), and is on the way to what is the stop of",
            "# chmod o-w /x",
        ],
    );
    let home = Fault {
        component: "/x".into(),
        trouble: Trouble::DirectoryOwner { uid: 1000 },
    };
    one(
        |facts| facts.scripts[1].weak = Ok(vec![home]),
        &[
            "!script-permissions: /x belongs to user 1000, and is on the way to what is the stop of",
            "; move what is run into a directory of root's, or run it as that user (`user: 1000`)",
            "# ls -ld /x",
        ],
    );
    one(
        |facts| facts.scripts[0].weak = Err("closed".into()),
        &["unseen script-permissions: /x/start: closed"],
    );
}
