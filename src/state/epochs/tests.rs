//! Tests of `state/epochs`.

use std::fs;

use super::*;

const NOW_SECONDS: u64 = 1_800_000_000;

fn boot(n: u8) -> BootId {
    BootId::parse(&format!("{n:08x}-2222-3333-4444-555555555555")).unwrap()
}

fn name(text: &str) -> InstanceName {
    InstanceName::new(text).unwrap()
}

fn open(path: &Path, boot_number: u8) -> (Epochs, Option<Finding>) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECONDS);
    Epochs::open(path, &boot(boot_number), now)
}

/// Opens a file that must be in order.
fn open_whole(path: &Path, boot_number: u8) -> Epochs {
    let (epochs, finding) = open(path, boot_number);
    assert!(finding.is_none(), "{finding:?}");
    epochs
}

#[test]
fn counters_begin_at_zero_and_survive_restarts_of_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("epoch");
    let mut epochs = open_whole(&path, 1);
    assert_eq!(epochs.last_used(&name("web")), 0);
    epochs
        .reserve_many([(&name("web"), BLOCK), (&name("db"), 3 * BLOCK)])
        .unwrap();
    epochs.reserve_many([(&name("web"), 2 * BLOCK)]).unwrap();

    let epochs = open_whole(&path, 1);
    assert_eq!(epochs.last_used(&name("web")), 2 * BLOCK);
    assert_eq!(epochs.last_used(&name("db")), 3 * BLOCK);
}

#[test]
fn counters_only_grow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("epoch");
    let mut epochs = open_whole(&path, 1);
    epochs.reserve_many([(&name("web"), 5000)]).unwrap();
    epochs.reserve_many([(&name("web"), 1000)]).unwrap();
    assert_eq!(open_whole(&path, 1).last_used(&name("web")), 5000);
}

#[test]
fn a_reboot_skips_a_block_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("epoch");
    let mut epochs = open_whole(&path, 1);
    epochs.reserve_many([(&name("web"), 1000)]).unwrap();

    let mut epochs = open_whole(&path, 2);
    assert_eq!(epochs.last_used(&name("web")), 1000 + BLOCK);
    // An instance whose first reservation never reached the disk may have used numbers too.
    assert_eq!(epochs.last_used(&name("new")), BLOCK);
    epochs.reserve_many([(&name("web"), 3000)]).unwrap();
    let epochs = open_whole(&path, 2);
    assert_eq!(epochs.last_used(&name("web")), 3000);
    assert_eq!(epochs.last_used(&name("new")), BLOCK);
}

#[test]
fn a_name_that_comes_back_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("epoch");
    let mut epochs = open_whole(&path, 1);
    epochs.reserve_many([(&name("web"), 1000)]).unwrap();
    let mut epochs = open_whole(&path, 1);
    epochs.reserve_many([(&name("db"), 1000)]).unwrap();
    assert_eq!(open_whole(&path, 1).last_used(&name("web")), 1000);
}

#[test]
fn a_file_that_cannot_be_used_is_set_aside_and_no_number_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("epoch");
    let mut epochs = open_whole(&path, 1);
    epochs.reserve_many([(&name("web"), 1000)]).unwrap();
    let whole = fs::read(&path).unwrap();
    let newer = String::from_utf8(whole.clone())
        .unwrap()
        .replace("\"version\":1", "\"version\":2");
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    for damaged in cut.chain([newer.into_bytes()]) {
        fs::write(&path, damaged).unwrap();
        let (mut epochs, finding) = open(&path, 1);
        assert!(
            matches!(finding, Some(Finding::SetAside { .. })),
            "{finding:?}"
        );
        let base = NOW_SECONDS << 20;
        assert_eq!(epochs.last_used(&name("web")), base);
        epochs.reserve_many([(&name("web"), base + BLOCK)]).unwrap();
        let epochs = open_whole(&path, 1);
        assert_eq!(epochs.last_used(&name("web")), base + BLOCK);
        assert_eq!(epochs.last_used(&name("db")), base);
    }
}

#[test]
fn a_reservation_that_cannot_be_written_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("epoch");
    let mut epochs = open_whole(&path, 1);
    epochs.reserve_many([(&name("web"), 1000)]).unwrap();
    let obstacle = dir.path().join("epoch.new");
    fs::create_dir(&obstacle).unwrap();
    let error = epochs.reserve_many([(&name("web"), 2000)]).unwrap_err();
    assert!(
        error.to_string().starts_with("cannot reserve epochs in /"),
        "{error}"
    );
    assert_eq!(epochs.last_used(&name("web")), 1000);
    fs::remove_dir(&obstacle).unwrap();
    epochs.reserve_many([(&name("web"), 2000)]).unwrap();
    assert_eq!(open_whole(&path, 1).last_used(&name("web")), 2000);
}
