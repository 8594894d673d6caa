//! What lintian and rpmlint say of the packages: nothing but the overrides, each of which has its reason beside it.

use std::process::Command;

use crate::packages::{Kind, Packages};
use crate::packaging;

#[test]
fn lintian_finds_nothing() {
    let output = Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning"])
        .arg(Packages::get().path(Kind::Deb, "1"))
        .output()
        .expect("run lintian");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    assert_eq!(said, "", "{complained}");
}

#[test]
fn rpmlint_finds_nothing() {
    let output = Command::new("rpmlint")
        .arg("--config")
        .arg(packaging("rpm/rpmlint.toml"))
        .arg(Packages::get().path(Kind::Rpm, "1"))
        .output()
        .expect("run rpmlint");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success()
            && said.contains("1 packages")
            && said.contains(" 0 errors, 0 warnings"),
        "{said}"
    );
}
