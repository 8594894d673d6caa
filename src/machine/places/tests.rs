//! Tests of the places: order, bounds, and that nobody waits for ever.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::Places;
use crate::machine::job::InstanceId;

fn places(limit: u32) -> Places {
    Places::new(NonZeroU32::new(limit).unwrap())
}

fn id(number: u32) -> InstanceId {
    InstanceId(number)
}

#[test]
fn first_come_first_served() {
    let mut places = places(1);
    assert!(places.take(id(3)));
    assert!(!places.take(id(2)));
    assert!(!places.take(id(1)));
    assert_eq!(
        (places.before(id(2)), places.before(id(1))),
        (Some(0), Some(1))
    );
    assert_eq!(places.next(), None);
    places.release(id(3));
    assert_eq!(places.next(), Some(id(2)));
    // A free place is not for whoever asks first.
    assert!(!places.take(id(1)));
    assert!(places.take(id(2)));
    assert_eq!(places.taken(), 1);
}

#[test]
fn asking_twice_changes_nothing() {
    let mut places = places(1);
    assert!(places.take(id(1)));
    assert!(places.take(id(1)));
    assert!(!places.take(id(2)));
    assert!(!places.take(id(3)));
    assert!(!places.take(id(2)));
    assert_eq!(places.before(id(3)), Some(1));
    assert_eq!(places.taken(), 1);
}

#[test]
fn whoever_withdraws_is_not_waited_for() {
    let mut places = places(1);
    assert!(places.take(id(1)));
    assert!(!places.take(id(2)));
    assert!(!places.take(id(3)));
    places.withdraw(id(2));
    places.withdraw(id(9));
    assert_eq!(places.before(id(2)), None);
    assert_eq!(places.before(id(3)), Some(0));
    places.release(id(1));
    assert!(places.take(id(3)));
}

#[test]
fn no_more_are_said_to_wait_before_than_wait() {
    let mut places = places(1);
    assert!(places.take(id(1)));
    for waits in 2..=5 {
        assert!(!places.take(id(waits)));
    }
    places.withdraw(id(3));
    places.withdraw(id(4));
    assert_eq!(places.before(id(5)), Some(1));
}

#[test]
fn another_limit_counts_from_the_next_on() {
    let mut places = places(2);
    assert!(places.take(id(1)) && places.take(id(2)));
    places.set_limit(NonZeroU32::MIN);
    places.release(id(1));
    assert!(!places.take(id(3)));
    places.set_limit(NonZeroU32::new(2).unwrap());
    assert_eq!(places.next(), Some(id(3)));
    assert!(places.take(id(3)));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Take(u32),
    Withdraw(u32),
    Release(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3_u8, 0..12_u32).prop_map(|(what, id)| match what {
        0 => Step::Take(id),
        1 => Step::Withdraw(id),
        _ => Step::Release(id),
    });
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn the_limit_holds_and_everyone_gets_a_place(limit in 1..5_u32, steps in steps()) {
        let mut places = places(limit);
        let mut waiting = Vec::new();
        let mut inside = BTreeSet::new();
        for step in steps {
            match step {
                Step::Take(number) => {
                    let first = waiting.is_empty() || waiting[0] == number;
                    let free = inside.len() < limit as usize;
                    let taken = inside.contains(&number) || first && free;
                    prop_assert_eq!(places.take(id(number)), taken);
                    if taken {
                        waiting.retain(|one| *one != number);
                        inside.insert(number);
                    } else if !waiting.contains(&number) {
                        waiting.push(number);
                    }
                }
                Step::Withdraw(number) => {
                    places.withdraw(id(number));
                    waiting.retain(|one| *one != number);
                }
                Step::Release(number) => {
                    places.release(id(number));
                    inside.remove(&number);
                }
            }
            prop_assert!(places.taken() <= limit as usize);
            prop_assert_eq!(places.taken(), inside.len());
            let next = waiting.first().filter(|_| inside.len() < limit as usize);
            prop_assert_eq!(places.next(), next.map(|number| id(*number)));
        }
        for number in inside {
            places.release(id(number));
        }
        for number in waiting {
            prop_assert_eq!(places.next(), Some(id(number)));
            prop_assert!(places.take(id(number)));
            places.release(id(number));
        }
        prop_assert_eq!(places.next(), None);
    }
}
