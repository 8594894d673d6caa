//! Tests of `action/executor`: scripts that somebody else could change.

use std::os::unix::fs::symlink;

use super::*;
use crate::machine::process::ScriptSecurity;

fn judged(run: Command, security: ScriptSecurity) -> Job {
    let mut job = start(1, run);
    let command = Arc::make_mut(&mut job.command);
    Arc::make_mut(&mut command.process).script_security = Some(security);
    job
}

fn strict(run: Command) -> Job {
    judged(run, ScriptSecurity::Strict)
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_script_that_everybody_can_write_is_not_run() {
    let mut bench = Bench::new();
    let script = bench.script("start", "#!/bin/sh\ntouch \"$0.ran\"\n");
    chmod(&script, 0o757);
    let shown = script.display().to_string();
    let runs = [
        Command::File(script.clone()),
        Command::Argv(vec![shown.clone(), "--fast".into()]),
        shell(&format!("{shown} --fast; exit 1")),
    ];
    for run in runs {
        let error = not_started(bench.run(strict(run)).await);
        let expected = format!(
            "{shown} is not run, because {shown} can be written by everybody (mode 0757); mend it with `chmod "
        );
        assert!(error.starts_with(&expected), "{error}");
    }
    let calls = bench.recorder.calls.lock().unwrap().clone();
    let job = start(1, shell("")).id;
    assert_eq!(calls[..2], [Call::Intent(job), Call::NotSpawned(job)]);
    assert!(!bench.path("start.ran").exists());
    // Nobody has asked for the look, or for more than a word about it.
    for security in [ScriptSecurity::Warn, ScriptSecurity::Off] {
        let run = Command::File(script.clone());
        assert_eq!(bench.run(judged(run, security)).await, Exit::Code(0));
    }
    assert!(bench.path("start.ran").exists());
    // The rest of a line is the shell's matter.
    let line = strict(shell(&format!("true; {shown}")));
    assert_eq!(bench.run(line).await, Exit::Code(0));
}

#[tokio::test]
async fn a_link_is_run_by_its_own_name_as_long_as_what_it_leads_to_is_safe() {
    let mut bench = Bench::new();
    let open = bench.path("open");
    fs::create_dir(&open).unwrap();
    bench.script("open/start", "#!/bin/sh\necho \"$0\"\n");
    let link = bench.path("link");
    symlink("open/start", &link).unwrap();
    let job = strict(Command::File(link.clone()));
    assert_eq!(bench.run(job.clone()).await, Exit::Code(0));
    assert_eq!(bench.output(&job), format!("{}\n", link.display()));
    chmod(&open, 0o757);
    let error = not_started(bench.run(job).await);
    let expected = format!(
        "{} is not run, because {} can be written by everybody (mode 0757)",
        link.display(),
        open.display()
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_directory_that_becomes_writable_is_seen_at_the_next_run() {
    let mut bench = Bench::new();
    let directory = bench.path("bin");
    fs::create_dir(&directory).unwrap();
    let script = bench.script("bin/start", "#!/bin/sh\nexit 3\n");
    let job = strict(Command::File(script));
    assert_eq!(bench.run(job.clone()).await, Exit::Code(3));
    chmod(&directory, 0o757);
    let error = not_started(bench.run(job.clone()).await);
    let shown = directory.display();
    assert!(
        error.contains(&format!("{shown} can be written")),
        "{error}"
    );
    chmod(&directory, 0o755);
    assert_eq!(bench.run(job).await, Exit::Code(3));
}

#[tokio::test]
async fn a_program_of_path_is_judged_where_it_is_found() {
    let bin = tempfile::tempdir_in("/tmp").unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.path().display());
    let mut bench = Bench::with_environment(vec![("PATH".into(), path.into())]);
    let run = Command::Argv(vec!["true".into()]);
    assert_eq!(bench.run(strict(run.clone())).await, Exit::Code(0));
    super::super::super::testing::script(&bin.path().join("true"), "#!/bin/sh\nexit 9\n");
    chmod(bin.path(), 0o757);
    let error = not_started(bench.run(strict(run)).await);
    let shown = bin.path().display();
    assert!(
        error.starts_with(&format!("{shown}/true is not run, because {shown} can")),
        "{error}"
    );
}

#[tokio::test]
async fn what_others_could_put_where_nothing_is_is_not_run() {
    let mut bench = Bench::new();
    let (shared, own) = (bench.path("shared"), bench.path("own"));
    fs::create_dir(&shared).unwrap();
    fs::create_dir(&own).unwrap();
    chmod(&shared, 0o1777);
    let missing = shared.join("missing");
    let line = |script: &Path| shell(&format!("{} ; exit 3", script.display()));
    // A line that would go on without it is the same matter: the shell looks a moment later.
    for run in [
        Command::File(missing.join("start")),
        line(&missing.join("start")),
    ] {
        let error = not_started(bench.run(strict(run.clone())).await);
        let expected = format!(
            "{0}/start is not run, because {0} is not there, and others can put a file of theirs there",
            missing.display()
        );
        assert_eq!(error, expected);
    }
    // Nobody has asked for the look; or it is asked for, and only root or the tester could put it there.
    for (script, security) in [
        (missing, ScriptSecurity::Off),
        (own.join("missing"), ScriptSecurity::Strict),
    ] {
        let run = judged(Command::File(script.clone()), security);
        let error = not_started(bench.run(run).await);
        let expected = format!("cannot run {}: No such file or directory", script.display());
        assert_eq!(error, expected);
        let line = judged(line(&script), security);
        assert_eq!(bench.run(line).await, Exit::Code(3));
    }
}

#[tokio::test]
async fn a_program_of_a_relative_path_is_judged_where_the_action_runs() {
    let mut bench = Bench::with_environment(vec![("PATH".into(), "bin:/usr/bin:/bin".into())]);
    fs::create_dir(bench.path("bin")).unwrap();
    bench.script("bin/keepstart-test", "#!/bin/sh\nexit 9\n");
    let mut job = strict(Command::Argv(vec!["keepstart-test".into()]));
    Arc::make_mut(&mut job.command).working_directory = Some(bench.path(""));
    assert_eq!(bench.run(job.clone()).await, Exit::Code(9));
    chmod(&bench.path("bin"), 0o757);
    let error = not_started(bench.run(job).await);
    let expected = format!("because {} can be written", bench.path("bin").display());
    assert!(error.contains(&expected), "{error}");
}
