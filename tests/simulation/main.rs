//! The machine in a simulated world: flapping addresses, lost notifications, hanging scripts, reloads, killed
//! daemons; every invariant is looked at after every step.
//!
//! `KEEPSTART_SIM_FLIPS` sets how many flips are lived through (default one million), `KEEPSTART_SIM_SEED`
//! runs one world alone. Every kind of trouble, and every check, has to come often enough in them. A world that goes wrong is lived through again with its last lines kept and shown.
//!
//! With `cfg(fuzzing)` it is a fuzz target instead (`fuzz/README.md`).

#![cfg_attr(fuzzing, no_main)]
#![cfg_attr(
    fuzzing,
    allow(dead_code, unused_imports, reason = "the tests are left out")
)]

mod agenda;
mod begin;
mod check;
mod choice;
mod count;
mod debounce;
mod disk;
mod explained;
#[cfg(fuzzing)]
mod fuzz;
mod happen;
mod kernel;
mod operator;
mod promise;
mod quiet;
mod scripts;
mod setup;
mod tally;
mod tape;
mod told;
mod world;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use choice::Choices;
use setup::Hardship;
use tally::{Kind, Total};
use world::{Record, Verdict, World};

/// Flips in the normal run.
const FLIPS: u64 = 1_000_000;
/// Fewer flips prove nothing: too few worlds for every kind of trouble.
const FLIPS_MIN: u64 = 100_000;
/// Flips of one world, in two halves with a rest after each.
const FLIPS_OF_A_WORLD: u64 = 4_000;

/// How many worlds are recorded and lived through again.
const RECORDED_WORLDS: u64 = 12;

/// Seeds of worlds that went wrong before a fault was mended, and the fault. A seed means another world once
/// the simulation makes its choices otherwise: take the mending out again to find the new one.
const REGRESSIONS: &[(u64, &str)] = &[
    (0, "a start began while the loss of the role was held back"),
    (
        0,
        "a renamed link that only a dump showed did not concern who waited for the new name",
    ),
    (0, "an instance that came back used its epochs again"),
    (0, "a start that was cancelled was not followed by a stop"),
    (
        1,
        "an is-running that could not be executed was asked without any wait",
    ),
    (1, "the deadline of an adopted job was in the past"),
    (5, "the role of an old rule was believed after a reload"),
    (
        8,
        "a unit changed during a start while a loss was held back, and nobody asked",
    ),
    (9, "an interrupted start has to leave the service in doubt"),
    (
        16,
        "a job of an instance that the file had lost was not waited for when it came back",
    ),
    (
        37,
        "a stop was cancelled at the end of the daemon although the role wanted it again",
    ),
    (61, "a service that nobody looked after was believed to run"),
    (
        146,
        "an adopted is-running was waited for at a loss whose epoch had come again",
    ),
    (
        177,
        "the end of a link that was not in the table left its addresses",
    ),
];

/// What is left of a world that has been lived through.
struct Lived {
    verdict: Verdict,
    trace: String,
    hash: u64,
    flips: u64,
    total: Total,
}

/// Lives through one world.
fn live(seed: u64, flips: u64, record: Record) -> Lived {
    let mut world = World::new(Choices::Seed(seed), Hardship::of(seed), record);
    let all = |world: &mut World| -> Verdict {
        for _ in 0..2 {
            world.live(flips / 2)?;
            world.come_to_rest()?;
            world.thaw();
        }
        if world.tally.of(Kind::ToMaster) == 0 {
            return Err("nobody in this world was ever MASTER".into());
        }
        Ok(())
    };
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| all(&mut world)));
    let verdict = lived.unwrap_or_else(|_| Err("the machine panicked".into()));
    let (trace, hash) = world.account();
    Lived {
        verdict,
        trace,
        hash,
        flips: world.flips,
        total: world.tally.total(),
    }
}

/// A world has to go well; if it does not, it is lived through again to be shown.
fn go_well(seed: u64) -> Lived {
    let lived = live(seed, FLIPS_OF_A_WORLD, Record::Nothing);
    if lived.verdict.is_ok() {
        return lived;
    }
    let Lived { verdict, trace, .. } = live(seed, FLIPS_OF_A_WORLD, Record::Trace);
    let fault = verdict
        .err()
        .unwrap_or_else(|| "it went well the second time".into());
    panic!("KEEPSTART_SIM_SEED={seed}\n{trace}\nfault: {fault}\nKEEPSTART_SIM_SEED={seed}");
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

#[test]
fn invariants_hold_in_every_world() {
    if let Some(seed) = setting("KEEPSTART_SIM_SEED") {
        go_well(seed);
        return;
    }
    let flips = setting("KEEPSTART_SIM_FLIPS").unwrap_or(FLIPS);
    assert!(
        flips >= FLIPS_MIN,
        "KEEPSTART_SIM_FLIPS={flips} is too few to meet every kind of trouble: give {FLIPS_MIN} or more (they take \
         seconds), or live through one world with KEEPSTART_SIM_SEED"
    );
    let worlds = flips.div_ceil(FLIPS_OF_A_WORLD);
    let all = Mutex::new((0, Total::default()));
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let seed @ 0.. = next.fetch_add(1, Ordering::Relaxed)
                    && seed < worlds
                {
                    let lived = go_well(seed);
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.0 += lived.flips;
                    all.1.add(&lived.total);
                }
            });
        }
    });
    let (lived, total) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(
        lived >= flips,
        "{lived} flips of {flips} were lived through"
    );
    if let Err(fault) = total.judge(lived) {
        panic!("{fault}");
    }
    let looked_at = total.of(Kind::CheckedRestMaster) + total.of(Kind::CheckedRestBackup);
    let passed_over = total.of(Kind::CheckedRestExcused);
    assert!(
        passed_over * 5 < looked_at,
        "{passed_over} services at rest were passed over, {looked_at} looked at"
    );
}

#[test]
fn worlds_that_went_wrong_once_go_well() {
    let seeds: BTreeSet<_> = REGRESSIONS.iter().map(|(seed, _)| *seed).collect();
    for seed in seeds {
        assert_eq!(Hardship::of(seed), Hardship::Usual, "seed {seed}");
        go_well(seed);
    }
}

/// Whatever was lived through can be lived through again from its recording, step for step.
#[test]
fn recorded_lives_come_out_the_same_again() {
    let (mut lives, mut fallen) = (0, 0);
    for seed in 0..RECORDED_WORLDS {
        let mut world = World::new(Choices::Seed(seed), Hardship::of(seed), Record::Tape);
        let checked = world.live(FLIPS_OF_A_WORLD / 2).and_then(|()| {
            world.end_life();
            world.tapes_checked()
        });
        let (now_lives, now_fallen) =
            checked.unwrap_or_else(|fault| panic!("world {seed}: {fault}"));
        lives += now_lives;
        fallen += now_fallen;
    }
    // Otherwise nothing was shown: of restarts, and of the machine at the ring's tail.
    assert!(lives > 2 * RECORDED_WORLDS, "{lives} lives");
    assert!(fallen > 1000, "{fallen} steps fell out of the ring");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let mut hashes = BTreeSet::new();
    for seed in [1, 2, 3] {
        let [first, second] = [(); 2].map(|()| live(seed, 400, Record::Trace));
        assert_eq!(first.verdict, Ok(()), "seed {seed}");
        assert_eq!(first.hash, second.hash, "seed {seed}");
        hashes.insert(first.hash);
    }
    assert_eq!(hashes.len(), 3, "other seeds give other worlds");
}
