//! Tests of `app/service/reload`.

use super::*;
use crate::scheduling::Priority;

#[test]
fn the_priority_of_threads_takes_a_restart() {
    let none = Application::default();
    let low = Application {
        realtime_priority: Priority::new(10),
        ..Application::default()
    };
    assert_eq!(fixed_changes(&none, &low), ["realtime-priority"]);
    assert!(fixed_changes(&low, &low).is_empty());
}

#[test]
fn a_reader_that_hangs_remains_the_only_one() {
    let reader = FileReader::default();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let hanging = reader.begin(move || {
        // The sender's end is what is waited for.
        let _ = released.recv();
        Ok(())
    });
    let refused = reader.begin(|| -> Result<(), String> { panic!("a second reader") });
    let said = refused.blocking_recv().unwrap().unwrap_err();
    assert!(said.contains("still being read"), "{said}");
    // Nobody waits for it any longer; it ends all the same, and the next may read.
    drop(hanging);
    drop(release);
    while reader.is_under_way.load(Ordering::Acquire) {
        thread::yield_now();
    }
    let next = reader.begin(|| Ok(7));
    assert_eq!(next.blocking_recv().unwrap(), Ok(7));
}

#[test]
fn what_a_removed_instance_leaves_running_is_said() {
    let names = |names: &[&str]| {
        let names = names.iter().map(|name| InstanceName::new(name).unwrap());
        names.collect::<Vec<_>>()
    };
    let changes = Changes {
        removed: names(&["db", "web"]),
        left: names(&["web"]),
        unchanged: 3,
        ..Changes::default()
    };
    let said = "db, web removed; web may run on (on-remove: keep); 3 unchanged";
    assert_eq!(in_words(&changes), said);
}
