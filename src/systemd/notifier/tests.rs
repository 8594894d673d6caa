//! Tests of `systemd/notifier`.

use std::path::Path;

use super::*;

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

/// systemd's end of the socket, and ours.
fn pair() -> (tempfile::TempDir, UnixDatagram, Notifier) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let notifier = Notifier::new(Some(path.as_os_str()), None).unwrap();
    (dir, systemd, notifier)
}

/// The next message, if there is one.
fn received(systemd: &UnixDatagram) -> Option<String> {
    let mut bytes = [0; 4096];
    match systemd.recv(&mut bytes) {
        Ok(length) => Some(str::from_utf8(&bytes[..length]).unwrap().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn each_message_has_exactly_these_bytes() {
    let (_dir, systemd, mut notifier) = pair();
    notifier.ready().unwrap();
    assert_eq!(received(&systemd).unwrap(), "READY=1\n");
    notifier.stopping().unwrap();
    assert_eq!(received(&systemd).unwrap(), "STOPPING=1\n");
    notifier.watchdog().unwrap();
    assert_eq!(received(&systemd).unwrap(), "WATCHDOG=1\n");
    notifier
        .extend_timeout(Duration::from_millis(1500))
        .unwrap();
    assert_eq!(received(&systemd).unwrap(), "EXTEND_TIMEOUT_USEC=1500000\n");
    notifier.extend_timeout(Duration::MAX).unwrap();
    assert_eq!(
        received(&systemd).unwrap(),
        "EXTEND_TIMEOUT_USEC=4294967295\n"
    );
    assert_eq!(received(&systemd), None);
}

#[test]
fn a_reload_is_one_message_with_the_kernels_monotonic_time() {
    let monotonic_micros = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    };
    let (_dir, systemd, mut notifier) = pair();
    let before = monotonic_micros();
    notifier.reloading().unwrap();
    let message = received(&systemd).unwrap();
    let micros = message
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap();
    let micros: i64 = micros.strip_suffix('\n').unwrap().parse().unwrap();
    assert!((before..=monotonic_micros()).contains(&micros));
    assert_eq!(received(&systemd), None);
}

#[test]
fn a_status_is_sent_when_it_has_changed_and_not_too_often() {
    let (_dir, systemd, mut notifier) = pair();
    let mut status = |millis, text: &str| notifier.status(at(millis), || text.to_owned()).unwrap();
    assert_eq!(status(0, "one"), None);
    assert_eq!(received(&systemd).unwrap(), "STATUS=one\n");
    assert_eq!(status(50, "two"), Some(at(100)));
    assert_eq!(received(&systemd), None);
    assert_eq!(status(100, "three\nREADY=1"), None);
    assert_eq!(received(&systemd).unwrap(), "STATUS=three READY=1\n");
    assert_eq!(status(300, "three\nREADY=1"), None);
    assert_eq!(received(&systemd), None);
}

#[test]
fn a_sentence_that_cannot_be_sent_is_not_even_made() {
    let (_dir, _systemd, mut notifier) = pair();
    notifier.status(at(0), String::new).unwrap();
    notifier.status(at(1), || panic!("too early")).unwrap();
    Notifier::default()
        .status(at(0), || panic!("to nobody"))
        .unwrap();
}

#[test]
fn a_systemd_that_reads_nothing_does_not_hold_the_daemon_up() {
    let (_dir, systemd, mut notifier) = pair();
    let error = (0..100_000)
        .find_map(|_| notifier.watchdog().err())
        .unwrap();
    let NotifyError::Send {
        what: "WATCHDOG",
        source,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(source.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(notifier.refused(), 1);
    notifier.status(at(0), || "lost".to_owned()).unwrap_err();

    // What was lost is sent again, though it has not changed.
    while received(&systemd).is_some() {}
    notifier.status(at(100), || "lost".to_owned()).unwrap();
    assert_eq!(received(&systemd).unwrap(), "STATUS=lost\n");
}

#[test]
fn abstract_addresses_are_known() {
    let name = format!("keepstart-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let systemd = UnixDatagram::bind_addr(&address).unwrap();
    systemd.set_nonblocking(true).unwrap();
    let mut notifier = Notifier::new(Some(OsStr::new(&format!("@{name}"))), None).unwrap();
    notifier.ready().unwrap();
    assert_eq!(received(&systemd).unwrap(), "READY=1\n");
}

#[test]
fn without_systemd_everything_is_fine() {
    for address in [None, Some(OsStr::new(""))] {
        let mut notifier = Notifier::new(address, Some(Duration::from_secs(1))).unwrap();
        notifier.ready().unwrap();
        notifier.reloading().unwrap();
        notifier.stopping().unwrap();
        assert_eq!(notifier.watchdog_interval(), None);
    }
}

#[test]
fn the_watchdog_is_systemds() {
    let (dir, _systemd, _) = pair();
    let path = dir.path().join("notify");
    let new = |span| Notifier::new(Some(path.as_os_str()), Some(span)).unwrap();
    let interval = |span| new(span).watchdog_interval();
    assert_eq!(
        interval(Duration::from_secs(3)),
        Some(Duration::from_secs(3))
    );
    assert_eq!(interval(Duration::ZERO), None);
}

#[test]
fn an_address_that_leads_nowhere_is_named() {
    for address in ["/nonexistent/notify", "vsock:2:1"] {
        let error = Notifier::new(Some(Path::new(address).as_os_str()), None).unwrap_err();
        assert!(error.to_string().contains(address), "{error}");
    }
}
