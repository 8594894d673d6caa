//! Every life of a world's daemon recorded twice, as `--record` and as the ring do it, and lived through again from
//! what was written: each step has to bring the same outputs.

use std::sync::Arc;

use keepstart::machine::Machine;
use keepstart::machine::Time;
use keepstart::machine::message::{Input, Output, RestoredMap};
use keepstart::machine::settings::{InstanceSettings, Settings};
use keepstart::record::{Digest, Entry, Origin, Redactor, Ring};
use keepstart::replay::{Player, Read, Reader, Verdict};

use crate::world::Verdict as Sound;

/// The recordings of one life.
#[derive(Debug)]
pub(crate) struct Tape {
    redactor: Redactor,
    file: Vec<u8>,
    ring: Ring,
    entry: Option<Entry>,
    /// What each step has brought.
    outputs: Vec<Vec<Output>>,
    /// How many steps have fallen out of the ring.
    pub(crate) fallen: usize,
}

impl Tape {
    /// A life begins.
    pub(crate) fn begin(
        settings: &Settings,
        restored: &RestoredMap,
        machine: &Machine,
        (life, at): (u32, Time),
    ) -> Self {
        let origin = Origin {
            boot_id: "a simulated boot".into(),
            life,
            unix_ns: 0,
        };
        let redactor = Redactor::default();
        let mut file = Vec::new();
        redactor.push_start(&mut file, origin.clone(), (settings, restored, at));
        Self {
            redactor,
            file,
            ring: Ring::new(origin, machine)
                .unwrap_or_else(|| unreachable!("a world has few instances")),
            entry: None,
            outputs: Vec::new(),
            fallen: 0,
        }
    }

    /// As [`keepstart::record::Recorded`] does it.
    pub(crate) fn before(&mut self, at: Time, input: Option<&Input>) {
        self.ring.before(at, input);
        self.entry = Some(Entry {
            at,
            input: input.cloned(),
            decided: None,
        });
    }

    /// All that came of it. What a machine says when it is made comes of no input.
    pub(crate) fn after(&mut self, outputs: &[Output]) {
        let Some(mut entry) = self.entry.take() else {
            return;
        };
        let mut digest = Digest::default();
        for output in outputs {
            digest.add(output);
        }
        self.ring.after(digest);
        self.ring.trim();
        entry.decided = Some(digest);
        self.redactor.push_entry(&mut self.file, entry);
        self.outputs.push(outputs.iter().map(redacted).collect());
    }

    /// The life is over.
    pub(crate) fn check(&mut self) -> Sound {
        let steps = live_again(&self.file, &self.outputs)?;
        if steps != self.outputs.len() {
            return Err(format!(
                "{steps} of {} steps were recorded",
                self.outputs.len()
            ));
        }
        let copied = self.ring.copy();
        let ring: Vec<u8> = copied.lines("the life is over".into()).flatten().collect();
        let (kept, _) = self.ring.size();
        self.fallen = self.outputs.len() - kept;
        let steps = live_again(&ring, &self.outputs[self.fallen..])?;
        if steps != kept {
            return Err(format!("{steps} of {kept} steps were in the ring"));
        }
        Ok(())
    }
}

/// Replays a recording; returns how many steps it had, each of which brought what it brought before.
fn live_again(recording: &[u8], expected: &[Vec<Output>]) -> Result<usize, String> {
    let mut reader = Reader::new(recording);
    let mut player = None;
    let mut steps = 0;
    while let Some(told) = reader.read().map_err(|error| error.to_string())? {
        match (told, &mut player) {
            (Read::Recording(header), _) => {
                player = Some(Player::begin(&header.origin, header.begin, &mut Vec::new()));
            }
            (Read::Step(entry), Some(player)) => {
                let was = format!("{entry:?}");
                let mut outputs = Vec::new();
                let verdict = player
                    .step(entry, |output| outputs.push(redacted(&output)))
                    .map_err(|error| error.to_string())?;
                if outputs != expected[steps] {
                    let before = &expected[steps];
                    return Err(format!("{was} brought {before:?}, and again: {outputs:?}"));
                }
                if verdict != Verdict::Same {
                    return Err(format!("the digest of {was} is another one: {verdict:?}"));
                }
                steps += 1;
            }
            (Read::End { .. } | Read::Unended, _) => {}
            (Read::Torn | Read::Step(_), _) => return Err("a whole recording is torn".into()),
        }
    }
    Ok(steps)
}

/// The values of the environment are not recorded, so they are not compared.
fn redacted(output: &Output) -> Output {
    let mut output = output.clone();
    if let Output::Start(job) = &mut output {
        job.settings = Arc::new(InstanceSettings {
            environment: Vec::new(),
            ..(*job.settings).clone()
        });
    }
    output
}
