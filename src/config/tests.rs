//! Tests of `config`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Config, Daemon, FILE_SIZE_MAX, Loaded, LogLevel, Logging, Readers, TOLD_MAX, effective, load,
    load_with_scripts, parse,
};
use crate::machine::process::{EnvironmentFrom, ScriptSecurity};
use crate::machine::settings::{
    Arguments, Command, InstanceSettings, NicNeverSeen, Quorum, Release,
};
use crate::scheduling::Priority;

mod faults;
mod properties;

const PYTHON_SAMPLE: &str = include_str!("../../tests/config/python-sample.yaml");
const EVERYTHING: &str = include_str!("../../tests/config/everything.yaml");

fn parsed(text: &str) -> Loaded {
    parse(text, Path::new("/etc/keepstart/config.yaml")).unwrap()
}

fn instance<'c>(config: &'c Config, name: &str) -> &'c InstanceSettings {
    let mut instances = config.settings.instances.iter();
    instances.find(|i| i.name.as_str() == name).unwrap()
}

/// The least that an instance needs, indented to stand in `instances:`.
fn minimal(name: &str) -> String {
    format!("  {name}:\n    vip: 10.0.0.1\n    start: /bin/true\n    stop: /bin/true {name}\n")
}

#[test]
fn the_python_tools_file_is_taken_as_it_is() {
    let Loaded {
        config, warnings, ..
    } = parsed(PYTHON_SAMPLE);
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(config.application.daemon, Daemon::Detached);
    let workspace = Path::new("/opt/ssh-proxy-server");
    assert_eq!(config.application.workspace.as_deref(), Some(workspace));
    let pidfile = workspace.join("ssh-proxy-server.pid");
    assert_eq!(config.application.pidfile, Some(pidfile));
    let plan = config
        .logging
        .as_ref()
        .and_then(|logging| logging.plan.as_ref());
    let (level, handlers) = plan.unwrap().route("keepstart");
    assert_eq!(
        (level.name().as_ref(), handlers),
        ("DEBUG", vec!["console"])
    );
    assert_eq!(config.settings.poll_every, Duration::from_secs(2));
    assert_eq!(config.settings.audit_every, Duration::from_mins(2));
    let default = instance(&config, "default");
    assert_eq!(default.role.nic.as_deref(), Some("lo"));
    assert_eq!(
        default.role.addresses,
        ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(default.start.run, Command::File(workspace.join("start.sh")));
    assert_eq!(default.start.working_directory.as_deref(), Some(workspace));
    assert_eq!(default.start.timeout, Duration::from_secs(90));
    let is_running = default.is_running.as_ref().unwrap();
    assert_eq!(is_running.timeout, Duration::from_secs(10));
    assert_eq!(is_running.kill_after, Duration::from_secs(10));
    assert_eq!(default.report_every, Duration::from_hours(1));
    assert_eq!(default.debounce.window, Duration::from_millis(200));
    assert_eq!(default.debounce.hold_max, Duration::from_secs(2));
    assert_eq!(default.debounce.hold_on_loss, Duration::ZERO);
    assert_eq!(default.unknown_stop_after, None);
    assert_eq!(
        (default.on_exit, default.on_remove),
        (Release::Keep, Release::Keep)
    );
}

#[test]
fn every_key_is_honoured() {
    let config = parsed(EVERYTHING).config;
    let application = &config.application;
    let work = Path::new("/etc/keepstart/work");
    assert_eq!(application.daemon, Daemon::Detached);
    assert_eq!(application.workspace.as_deref(), Some(work));
    assert_eq!(application.pidfile, Some(work.join("run/keepstart.pid")));
    assert_eq!(
        application.runtime_dir,
        Some(PathBuf::from("/run/elsewhere"))
    );
    assert_eq!(application.state_dir, Some(work.join("state")));
    assert_eq!(application.stop_wait, Duration::from_secs(90));
    let steerers = application.control_group.as_ref().unwrap();
    assert_eq!(steerers.written, "adm");
    let readers = application.control_readers.as_ref().map(Readers::as_str);
    assert_eq!(readers, Some("users"));
    assert_eq!(application.log_level, Some(LogLevel::Debug));
    assert_eq!(config.settings.starts_at_once.get(), 4);
    assert_eq!(config.settings.poll_every, Duration::from_millis(500));
    assert_eq!(config.settings.audit_every, Duration::from_secs(5));

    let default = instance(&config, "default");
    assert_eq!(
        default.role.addresses,
        ["2001:db8::1".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(default.start.run, Command::File(work.join("start.sh")));
    assert_eq!(
        default.stop.run,
        Command::Shell("systemctl stop web".into())
    );

    let web = instance(&config, "web");
    assert_eq!(
        (web.role.addresses.len(), web.role.quorum),
        (2, Quorum::Any)
    );
    let argv = ["/etc/keepstart/work/bin/web", "--port", "8080", ""];
    assert_eq!(
        web.start.run,
        Command::Argv(argv.map(String::from).to_vec())
    );
    assert_eq!(web.stop.timeout, Duration::from_millis(250));
    assert_eq!(web.stop.kill_after, Duration::ZERO);
    let is_running = web.is_running.as_ref().unwrap();
    assert_eq!(is_running.run, Command::Shell("pidof web\n".into()));
    assert_eq!(web.debounce.window, Duration::from_millis(500));
    assert_eq!(web.debounce.hold_on_loss, Duration::from_millis(100));
    assert_eq!(web.debounce.hold_max, Duration::from_secs(5));
    assert_eq!(web.retry.first, Duration::from_millis(500));
    assert_eq!(web.retry.factor.get(), 3);
    assert_eq!(web.retry.longest, Duration::from_mins(2));
    assert_eq!(web.retry.reset_after, Duration::from_hours(1));
    assert_eq!(web.report_every, Duration::from_hours(24));
    assert_eq!(web.unknown_stop_after, Some(Duration::from_mins(90)));
    assert_eq!(web.role.nic_never_seen, NicNeverSeen::Backup);
    assert_eq!(web.start_cancel_after, Duration::ZERO);
    assert_eq!((web.on_exit, web.on_remove), (Release::Stop, Release::Stop));
    assert_eq!(web.arguments, Arguments::Keepalived);
    let (start, stop) = (&web.start, &web.stop);
    assert_eq!(
        start.working_directory.as_deref(),
        Some("/opt/web".as_ref())
    );
    assert_eq!(stop.working_directory, Some(work.join("elsewhere")));
    let (start, stop) = (&start.process, &stop.process);
    let warn = Some(ScriptSecurity::Warn);
    assert_eq!(
        (start.script_security, application.script_security),
        (warn, warn)
    );
    assert_eq!(
        (start.user.as_ref().unwrap().uid, start.umask, start.nice),
        (0, Some(0), Some(5))
    );
    assert_eq!(start.group.as_ref().unwrap().written, "daemon");
    assert_eq!(start.environment_from, EnvironmentFrom::Daemon);
    assert_eq!(stop.user.as_ref().unwrap().name, "daemon");
    assert_eq!(stop.group.as_ref().unwrap().gid, 4);
    assert_eq!((stop.umask, stop.nice), (Some(0o027), Some(-5)));
    let limits = stop.limits.iter();
    let limits: Vec<_> = limits
        .map(|(what, limit)| format!("{} {limit}", what.as_str()))
        .collect();
    assert_eq!(
        limits,
        [
            "core 0",
            "memlock 65536",
            "nofile 1024:infinity",
            "nproc 100"
        ]
    );
    assert_eq!(stop.environment["PORT"], "8081");
    assert_eq!(stop.environment_from, EnvironmentFrom::None);
    let greeting = ("GREETING".into(), "hällo \"you\"\n".into());
    assert_eq!(web.environment, [greeting, ("PORT".into(), "8080".into())]);
    let logging = Logging {
        file: Some("/etc/keepstart/logging.conf".into()),
        plan: None,
    };
    assert_eq!(config.logging, Some(logging));
}

#[test]
fn a_string_is_a_file_or_a_line_for_the_shell() {
    let table = [
        ("/opt/x.sh", Command::File("/opt/x.sh".into())),
        ("./x.sh", Command::File("/etc/keepstart/x.sh".into())),
        ("bin//x.sh", Command::File("/etc/keepstart/bin/x.sh".into())),
        ("../x.sh", Command::File("/etc/keepstart/../x.sh".into())),
        ("'true'", Command::Shell("true".into())),
        ("/opt/x.sh now", Command::Shell("/opt/x.sh now".into())),
        ("/opt/x.sh&", Command::Shell("/opt/x.sh&".into())),
        ("$HOME/x.sh", Command::Shell("$HOME/x.sh".into())),
        ("~/x.sh", Command::Shell("~/x.sh".into())),
        ("/opt/*.sh", Command::Shell("/opt/*.sh".into())),
        ("[x.sh]", Command::Argv(vec!["x.sh".into()])),
        (
            "{run: [/opt/x.sh]}",
            Command::Argv(vec!["/opt/x.sh".into()]),
        ),
    ];
    for (written, meant) in table {
        let text = format!("keepstart:\n  vip: 10.0.0.1\n  stop: x\n  start: {written}\n");
        let config = parsed(&text).config;
        assert_eq!(instance(&config, "default").start.run, meant, "{written}");
    }
}

#[test]
fn the_file_of_a_command_is_what_it_names_by_an_absolute_path() {
    let shell = |line: &str| Command::Shell(line.into());
    let argv = |word: &str| Command::Argv(vec![word.into(), "/x".into()]);
    let table = [
        (Command::File("/opt/x.sh".into()), Some("/opt/x.sh")),
        (argv("/opt/x.sh"), Some("/opt/x.sh")),
        (argv("true"), None),
        (shell("/opt/x.sh now; /opt/y.sh"), Some("/opt/x.sh")),
        (shell("  /opt/x.sh;/opt/y.sh"), Some("/opt/x.sh")),
        (shell("/opt/x.sh>/dev/null"), Some("/opt/x.sh")),
        (shell("systemctl start web"), None),
        (shell("A=b /opt/x.sh"), None),
        (shell("(/opt/x.sh)"), None),
        (shell("/opt/$X/x.sh"), None),
        (shell("\"/opt/x y.sh\""), None),
        (shell("/opt/x\\ y.sh"), None),
        (shell(""), None),
    ];
    for (command, file) in table {
        assert_eq!(command.file(), file.map(Path::new), "{command}");
    }
}

#[test]
fn sections_stand_alone_and_together() {
    let none = parsed("instances: {}").config;
    assert!(none.settings.instances.is_empty());
    assert_eq!(none.settings.poll_every, Duration::from_secs(2));
    assert_eq!(none.settings.audit_every, Duration::from_mins(2));
    assert_eq!(none.settings.starts_at_once.get(), 16);
    assert_eq!(none.application, super::Application::default());
    assert_eq!(parsed("instances:\n").config.settings, none.settings);
    let keepstart = "keepstart: {vip: 10.0.0.9, start: a, stop: b}\n";
    assert_eq!(parsed(keepstart).config.settings.instances.len(), 1);
    let both = format!("{keepstart}instances:\n{}{}", minimal("web"), minimal("db"));
    let config = parsed(&both).config;
    let names = config.settings.instances.iter().map(|i| i.name.to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["db", "default", "web"]);
}

#[test]
fn empty_values_are_absent_and_a_mark_at_the_start_is_ignored() {
    let text = "\u{feff}application: ~\nkeepstart:\n  nic:\n  vip: 10.0.0.1\n  start: a\n  stop: b\n  is-running: null\n  retry: ~\nlogging:\n";
    let config = parsed(text).config;
    assert_eq!(config.logging, None);
    let default = instance(&config, "default");
    assert_eq!((&default.role.nic, &default.is_running), (&None, &None));
}

#[test]
fn anchors_reach_across_the_document_and_faults_keep_their_places() {
    let text = "\
x-common: &common {nic: lo, is-running: 'true', retry: &retry {first: 3s}}
x-pause: &pause 3s
instances:
  one: {<<: *common, vip: 10.0.0.1, start: &start [/bin/true, a], stop: {run: *start, timeout: *pause}}
  two: {vip: 10.0.0.2, start: *start, stop: *start, retry: *retry, debounce: *pause}
";
    let config = parsed(text).config;
    let two = instance(&config, "two");
    assert_eq!(instance(&config, "one").stop.run, two.start.run);
    assert_eq!(instance(&config, "one").retry, two.retry);
    assert_eq!(two.debounce.window, Duration::from_secs(3));
    // A fault is where the faulty text stands, or else where it is used.
    let told = |text: &str| parse(text, Path::new("web.yaml")).unwrap_err().to_string();
    let word = told(&text.replace("&pause 3s", "&pause never"));
    assert!(word.starts_with("web.yaml:2:17: "), "{word}");
    let number = told(&text.replace("&pause 3s", "&pause -1"));
    assert!(number.starts_with("web.yaml:4:"), "{number}");
    let shared = told(&text.replace("first: 3s", "fist: 3s"));
    assert!(shared.starts_with("web.yaml:1:64: unknown key"), "{shared}");
}

#[test]
fn merged_keys_give_way_to_own_and_earlier_ones() {
    let text = "x-a: &a {sleep: 3, start: a}\nx-b: &b {<<: *a, sleep: 4, stop: b}\ninstances:\n  one: {<<: *b, vip: 10.0.0.1}\n  two: {<<: [*a, *b], vip: 10.0.0.2, start: own}\n";
    let config = parsed(text).config;
    let pace = |name: &str| config.paces.get(name).unwrap().sleep;
    assert_eq!(
        (pace("one"), pace("two")),
        (Duration::from_secs(4), Duration::from_secs(3))
    );
    assert_eq!(
        instance(&config, "one").start.run,
        Command::Shell("a".into())
    );
    assert_eq!(
        instance(&config, "two").start.run,
        Command::Shell("own".into())
    );
}

#[test]
fn odd_things_are_warned_of_and_taken() {
    let text = "instances:\n  a: &a\n    role: {vip: {nic: eth0, addresses: [10.0.0.1, '::1', 10.0.0.1]}}\n    start: x\n    stop: y\n    debounce: 5s\n    maximum-hold: 1s\n  b: *a\n";
    let warnings = parsed(text).warnings;
    let expected = "\
/etc/keepstart/config.yaml:3:58: addresses: 10.0.0.1 stands here twice
/etc/keepstart/config.yaml:3:58: addresses: 10.0.0.1 stands here twice
/etc/keepstart/config.yaml:7:5: maximum-hold (1s) is shorter than debounce (5s), so it decides first
/etc/keepstart/config.yaml:7:5: maximum-hold (1s) is shorter than debounce (5s), so it decides first
/etc/keepstart/config.yaml:8:3: instance b has the same vip, nic and start as instance a";
    assert_eq!(warnings.to_string(), expected);
}

#[test]
fn scripts_that_cannot_run_are_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    fs::write(directory.path().join("plain.txt"), "x").unwrap();
    let text = "keepstart:\n  vip: 10.0.0.1\n  start: ./missing.sh\n  stop: [./plain.txt, x]\n  is-running: {run: /tmp/}\n";
    fs::write(&file, text).unwrap();
    let unseen = load(&file).unwrap();
    assert!(unseen.warnings.is_empty(), "{}", unseen.warnings);
    let warnings = load_with_scripts(&file).unwrap().warnings.to_string();
    let here = directory.path().display();
    let expected = format!(
        "{here}/config.yaml:3:10: start: {here}/missing.sh does not exist (yet)
{here}/config.yaml:4:9: stop: {here}/plain.txt is not executable (chmod +x)
{here}/config.yaml:5:21: is-running: /tmp is a directory, expected a script"
    );
    assert_eq!(warnings, expected);
    assert_eq!(unseen.scripts.look().to_string(), expected);
}

#[test]
fn a_name_without_a_path_that_is_a_file_in_the_workspace_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().display();
    for name in ["start.sh", "stop.sh", "check.sh"] {
        fs::write(directory.path().join(name), "x").unwrap();
    }
    let text = "keepstart:\n  vip: 10.0.0.1\n  start: start.sh\n  stop: stop.sh --fast\n  is-running: [check.sh, a]\n";
    let file = directory.path().join("config.yaml");
    fs::write(&file, text).unwrap();
    let warnings = load_with_scripts(&file).unwrap().warnings.to_string();
    let told = |name: &str, meant: &str| {
        format!(
            "{name} is looked up in PATH and not in {here}, where a file of that name is: write {meant} if that is meant"
        )
    };
    let expected = format!(
        "{here}/config.yaml:3:10: start: {}\n{here}/config.yaml:4:9: stop: {}\n{here}/config.yaml:5:15: is-running: {}",
        told("start.sh", "./start.sh"),
        told("stop.sh", &format!("{here}/stop.sh")),
        told("check.sh", "./check.sh")
    );
    assert_eq!(warnings, expected);
    fs::remove_file(directory.path().join("start.sh")).unwrap();
    let fewer = load_with_scripts(&file).unwrap().warnings;
    assert_eq!(fewer.list.len(), 2, "what is only in PATH is right");
}

#[test]
fn what_the_daemon_would_not_start_without_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().display();
    let file = directory.path().join("config.yaml");
    let warned = |application: &str| {
        let instance = "keepstart: {vip: 10.0.0.1, start: a, stop: b}\n";
        fs::write(&file, format!("application: {{{application}}}\n{instance}")).unwrap();
        let plain = load(&file).unwrap();
        assert!(plain.warnings.is_empty(), "{}", plain.warnings);
        load_with_scripts(&file).unwrap().warnings.to_string()
    };
    assert_eq!(
        warned("workspace: work, pidfile: run.pid"),
        format!(
            "{here}/config.yaml:1:26: workspace: {here}/work does not exist, and the daemon does not start without it"
        )
    );
    assert_eq!(
        warned("workspace: config.yaml"),
        format!(
            "{here}/config.yaml:1:26: workspace: {here}/config.yaml is not a directory, and the daemon does not start \
             without it"
        )
    );
    assert_eq!(
        warned("pidfile: nowhere/run.pid"),
        format!(
            "{here}/config.yaml:1:24: pidfile: the directory {here}/nowhere does not exist, and the daemon does not \
             start without it"
        )
    );
    let closed = warned("pidfile: config.yaml/run.pid");
    let words = format!("cannot write into {here}/config.yaml, nor could a daemon of his");
    assert!(closed.contains(&words), "{closed}");
    assert_eq!(
        warned("workspace: ., pidfile: run.pid, control-group: 0"),
        ""
    );
}

#[test]
fn the_effective_configuration_loads_to_the_same() {
    for text in [EVERYTHING, PYTHON_SAMPLE, "instances: {}"] {
        let config = parsed(text).config;
        let written = effective(&config);
        assert_eq!(parsed(&written).config, config, "{written}");
    }
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    const STREAM: &str =
        ": is a pipe or a device, expected a file: the daemon reads it again at each reload";
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("latin1"), b"keepstart:\n  start: /opt/\xe4\n").unwrap();
    let large = fs::File::create(path("large")).unwrap();
    large.set_len(100 * 1024 * 1024).unwrap();
    assert!(path("large").metadata().unwrap().len() > FILE_SIZE_MAX);
    rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), rustix::fs::Mode::RUSR).unwrap();
    let table = [
        (path("missing"), ": there is no such file"),
        (
            directory.path().to_path_buf(),
            ": is a directory, expected a file",
        ),
        (
            path("large"),
            ": is larger than 16 MiB, expected a configuration file",
        ),
        (path("latin1"), ":2:15: not UTF-8, expected text in UTF-8"),
        ("/dev/zero".into(), STREAM),
        (path("fifo"), STREAM),
    ];
    for (path, expected) in table {
        let error = load(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{}{expected}", path.display()));
    }
}

#[test]
fn ten_thousand_instances_load_and_ten_thousand_faults_are_counted() {
    let mut text = String::from("instances:\n");
    for number in 0..10_000 {
        text.push_str(&minimal(&format!("web-{number}")));
        text.push_str("    nic: eth0\n    sleep: 5\n    environment: {A: b, C: d}\n    is-running: /opt/web/is-running.sh\n");
    }
    assert_eq!(parsed(&text).config.settings.instances.len(), 10_000);

    let faulty = text.replace("    nic:", "    nci:");
    let error = parse(&faulty, Path::new("c.yaml")).unwrap_err().faults;
    assert_eq!(
        (error.list.len(), error.more),
        (TOLD_MAX, 10_000 - TOLD_MAX)
    );
    let mut expected = String::new();
    for number in 0..TOLD_MAX {
        let line = 6 + 8 * number;
        let fault = format!("unknown key \"nci\" in instances.web-{number}; did you mean \"nic\"?");
        writeln!(expected, "c.yaml:{line}:5: {fault}").unwrap();
    }
    assert_eq!(error.to_string(), format!("{expected}and 9900 more"));
}

#[test]
fn the_priority_of_threads() {
    let text = "application: {realtime-priority: 10}\ninstances: {}";
    let loaded = parse(text, Path::new("/x/config.yaml")).unwrap();
    let application = &loaded.config.application;
    assert_eq!(application.realtime_priority, Priority::new(10));
    assert!(effective(&loaded.config).contains("realtime-priority: 10\n"));
}
