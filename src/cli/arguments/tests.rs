//! The command line as it is typed.

use super::*;

fn parsed(line: &str) -> Arguments {
    parse(line.split(' ').map(OsString::from)).expect("a good command line")
}

fn refused(line: &str) -> clap::Error {
    parse(line.split(' ').map(OsString::from)).expect_err("not a command line")
}

#[test]
fn the_parser_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn the_configuration_stands_before_or_after_the_command() {
    for line in [
        "keepstart -c a.yaml start",
        "keepstart start -c a.yaml",
        "keepstart --config a.yaml start",
        "keepstart start --config=a.yaml",
        "/usr/bin/keepserver -c a.yaml start",
    ] {
        let arguments = parsed(line);
        assert_eq!(
            arguments.config.as_deref(),
            Some(Path::new("a.yaml")),
            "{line}"
        );
        assert!(matches!(arguments.command, Command::Start { record: None }));
    }
    assert_eq!(parsed("keepstart status").config, None);
}

#[test]
fn status_takes_its_options_and_an_instance() {
    let arguments = parsed("keepstart status --json --watch web");
    let Command::Status(status) = arguments.command else {
        panic!("not status")
    };
    assert!(status.json && status.watch);
    assert_eq!(
        status.instance.map(|name| name.to_string()).as_deref(),
        Some("web")
    );
    assert_eq!(refused("keepstart status ../x").exit_code(), 2);
}

#[test]
fn the_help_has_the_name_that_was_typed() {
    let help = |line| refused(line).render().to_string();
    assert!(help("/usr/local/bin/keepserver --help").contains("Usage: keepserver"));
    assert!(help("keepstart --help").contains("Usage: keepstart"));
    assert!(help("./anything --help").contains("Usage: keepstart"));
    assert!(help("keepstart stop --help").contains("Usage: keepstart stop"));
}

#[test]
fn what_is_wrong_exits_2_and_what_was_asked_for_0() {
    for line in [
        "keepstart",
        "keepstart bogus",
        "keepstart status a b",
        "keepstart -c start",
    ] {
        let error = refused(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.use_stderr(), "{line}");
    }
    for line in [
        "keepstart --help",
        "keepstart --version",
        "keepstart run --help",
    ] {
        let error = refused(line);
        assert_eq!(error.exit_code(), 0, "{line}");
        assert!(!error.use_stderr(), "{line}");
    }
}

#[test]
fn every_command_has_a_help_to_work_from() {
    for command in Arguments::command().get_subcommands() {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(about.len() > 10, "{}: {about:?}", command.get_name());
    }
}
