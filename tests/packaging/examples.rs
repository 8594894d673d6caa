//! The shipped files are good ones.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::{BINARY, netns, packaging, read};

fn validate(file: &Path) -> Output {
    Command::new(BINARY)
        .arg("-c")
        .arg(file)
        .arg("validate")
        .output()
        .expect("the binary runs")
}

#[test]
fn each_example_is_valid() {
    let mut seen = 0;
    for entry in fs::read_dir(packaging("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let output = validate(&path);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", path.display());
        // The scripts of an example are its reader's.
        for line in said.lines() {
            assert!(
                line.contains("warning: ") && line.contains("does not exist"),
                "{line}"
            );
        }
        seen += 1;
    }
    assert!(seen >= 4, "{seen} examples");
}

#[test]
fn the_shipped_file_is_valid_and_so_is_the_instance_in_its_comments() {
    let output = validate(&packaging("config.yaml"));
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("good, 0 instances"),
        "{output:?}"
    );

    // With the instance, and the keys of the application, brought to life.
    let shipped = read("config.yaml").replace("instances: {}\n", "");
    let alive = shipped.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') || key.starts_with("  ") => key,
        Some(_) | None => line,
    });
    let alive: Vec<_> = alive.collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    fs::write(&file, alive.join("\n")).unwrap();
    let output = validate(&file);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("good, 1 instance"),
        "{output:?}"
    );
}

#[test]
fn keepalived_takes_its_example() {
    netns::run("examples::keepalived_takes_its_example", || {
        // It looks for the interface.
        netns::ip("link add eth0 type veth peer name other");
        let output = Command::new("keepalived")
            .args(["--log-console", "--config-test", "--use-file"])
            .arg(packaging("examples/keepalived.conf"))
            .output()
            .expect("run keepalived");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
}
