//! A private network namespace for each test, and a private /run: real links and addresses, no traces on the
//! machine. Used by integration tests only.
//!
//! The body runs on a thread of its own that has left the machine's namespace, with everything it starts:
//! sockets and child processes belong to the namespace of the thread that makes them. The namespace and all
//! in it vanish with the thread, whether the test passes or panics.
//!
//! Leaving takes `CAP_SYS_ADMIN`. Without it the test runs once more inside `unshare -Ur` (util-linux), a user
//! namespace in which it has it. Where that is forbidden too the test fails: it never passes by skipping.

#![expect(clippy::expect_used, reason = "a test that cannot go on panics")]

use std::process::Command;
use std::{env, panic, thread};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

/// Set in the process that runs inside `unshare`, so that it does not begin yet another one.
const INSIDE: &str = "KEEPSTART_TEST_IN_USERNS";

/// Runs `body` in a new network namespace whose loopback is up. `test` is the path of the calling test as
/// the test binary lists it, needed to run it again without root.
pub(crate) fn run(test: &'static str, body: impl FnOnce() + Send) {
    let entered = thread::scope(|scope| {
        let joined = scope
            .spawn(
                || match unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
                    Ok(()) => {
                        ip("link set lo up");
                        own_run();
                        body();
                        true
                    }
                    Err(Errno::EPERM) if env::var_os(INSIDE).is_none() => false,
                    Err(error) => panic!("cannot make a network namespace: {error}"),
                },
            )
            .join();
        joined.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    });
    if !entered {
        run_again_in_user_namespace(test);
    }
}

/// A `/run` of the test's own: a daemon writes there whose it is, whatever its file says.
fn own_run() {
    for arguments in ["--make-rprivate /", "-t tmpfs -o mode=755 tmpfs /run"] {
        let mounted = Command::new("mount")
            .args(arguments.split_whitespace())
            .status();
        assert!(
            mounted.expect("run mount of util-linux").success(),
            "mount {arguments}"
        );
    }
}

fn run_again_in_user_namespace(test: &str) {
    // With further users where the system has some to give (subuid(5)), for the tests that need a second one.
    let with_users = ["--user", "--map-root-user", "--map-auto"];
    let has_users = Command::new("unshare")
        .args(with_users)
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success());
    let users = if has_users {
        &with_users[..]
    } else {
        &with_users[..2]
    };
    let output = Command::new("unshare")
        .args(users)
        .arg(env::current_exe().expect("the test binary has a path"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("run unshare of util-linux");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("test result: ok. 1 passed"),
        "{test} failed in a user namespace (run the tests as root where these are forbidden):\n{said}{}",
        String::from_utf8_lossy(&output.stderr),
    );
}

/// Runs `ip` with these arguments in the namespace of the calling thread.
#[track_caller]
pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("run ip of iproute2");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr),
    );
}
