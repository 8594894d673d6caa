//! The simulation as a fuzz target (`fuzz/`): its first choices are the fuzzer's, and every invariant is looked at
//! as ever.

use crate::choice::Choices;
use crate::setup::Hardship;
use crate::world::{Record, Verdict, World};

/// Flips of one world: few, so that most choices are the fuzzer's.
const FLIPS: u64 = 40;

fn live(bytes: &[u8]) -> Verdict {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let hardship = Hardship::of((*first).into());
    let mut world = World::new(Choices::bytes(rest), hardship, Record::Nothing);
    world.live(FLIPS)?;
    world.come_to_rest()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(fault) = live(bytes) {
        panic!("{fault}");
    }
});
