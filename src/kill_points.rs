//! Where tests have the daemon killed: each step of what it writes down, and of each process that it makes. Passed by
//! every thread that does such a thing. A release build has none of it, and no other build does anything here unless
//! its environment says so.
//!
//! `KEEPSTART_TEST_KILL="WHAT STEP N"` kills the process, by SIGKILL, when it passes that point for the Nth time.
//! `tests/daemon/killed.rs` does that at each of them.

#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU32, Ordering};

/// All points: what is done, and how far it has come.
pub const ALL: &[(&str, &str)] = &[
    // A daemon begins.
    ("lock", "made"),
    ("lock", "written"),
    ("entry", "made"),
    ("entry", "written"),
    ("entry", "renamed"),
    ("run.json", "made"),
    ("run.json", "written"),
    ("run.json", "renamed"),
    ("epoch", "made"),
    ("epoch", "written"),
    ("epoch", "renamed"),
    ("epoch", "synced"),
    ("earlier-job", "looked-for"),
    ("earlier-job", "known"),
    // A job: the spawner threads.
    ("spare", "made"),
    ("intent", "before"),
    ("intent", "torn"),
    ("intent", "after"),
    ("process", "made"),
    ("stage", "made"),
    ("stage", "told"),
    ("stage", "begun"),
    ("spawned", "before"),
    ("spawned", "torn"),
    ("spawned", "after"),
    ("not-spawned", "before"),
    ("not-spawned", "torn"),
    ("not-spawned", "after"),
    ("output", "unnamed"),
    ("output", "named"),
    // Its end: the reactor and the disk thread.
    ("process", "reaped"),
    ("ended", "before"),
    ("ended", "torn"),
    ("ended", "after"),
    ("knowledge", "before"),
    ("knowledge", "torn"),
    ("knowledge", "after"),
    ("output", "read"),
    ("output", "unread"),
    // An instance that has seen its interface, and one that a reload takes away.
    ("nic-seen", "before"),
    ("nic-seen", "torn"),
    ("nic-seen", "after"),
    ("forget", "before"),
    ("forget", "torn"),
    ("forget", "after"),
    // The daemon ends.
    ("sockets", "removed"),
    ("pidfile", "removed"),
    ("entry", "removed"),
];

/// Passes a point.
#[inline]
pub fn pass(what: &str, step: &str) {
    pass_torn(what, step, || {});
}

/// The same where the daemon dies in the middle of something: `half` is done before it does, and only then.
#[inline]
pub fn pass_torn(what: &str, step: &str, half: impl FnOnce()) {
    #[cfg(debug_assertions)]
    if is_last(what, step) {
        half();
        die();
    }
    #[cfg(not(debug_assertions))]
    let _ = (what, step, half);
}

/// Where to die.
#[cfg(debug_assertions)]
struct Plan {
    what: String,
    step: String,
    /// How often it is still passed until then.
    left: AtomicU32,
}

#[cfg(debug_assertions)]
fn is_last(what: &str, step: &str) -> bool {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    debug_assert!(
        ALL.contains(&(what, step)),
        "{what} {step} is not in the list of points, so no test kills there"
    );
    let plan = PLAN.get_or_init(|| {
        let text = std::env::var("KEEPSTART_TEST_KILL").ok()?;
        let mut words = text.split(' ');
        Some(Plan {
            what: words.next()?.to_owned(),
            step: words.next()?.to_owned(),
            left: AtomicU32::new(words.next()?.parse().ok()?),
        })
    });
    plan.as_ref().is_some_and(|plan| {
        plan.what == what && plan.step == step && plan.left.fetch_sub(1, Ordering::SeqCst) == 1
    })
}

#[cfg(debug_assertions)]
fn die() {
    // A process may always kill itself, and no thread of it goes on.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}
