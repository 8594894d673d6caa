//! Tests of `app/scripts`.

use std::sync::mpsc::{Sender, channel};

use super::*;

fn nothing_odd() -> Faults {
    Faults {
        list: Vec::new(),
        more: 0,
    }
}

/// Begins a look that hangs until the returned sender is dropped.
fn hang(scripts: &ScriptLook) -> Sender<()> {
    let (release, released) = channel::<()>();
    let (begun, has_begun) = channel();
    scripts.begin(move || {
        begun.send(()).unwrap();
        // The sender's end is what is waited for.
        let _ = released.recv();
        nothing_odd()
    });
    has_begun.recv().unwrap();
    release
}

#[test]
fn a_look_that_hangs_is_waited_for_by_nobody_and_remains_the_only_one() {
    let scripts = ScriptLook::default();
    let release = hang(&scripts);
    scripts.begin(|| panic!("a second look"));
    drop(release);
    while scripts.is_under_way.load(Ordering::Acquire) {
        thread::yield_now();
    }
    drop(hang(&scripts));
}
