//! What is going to happen outside the machine, in the order of time.

use std::collections::{BTreeMap, BTreeSet};

use keepstart::machine::Time;
use keepstart::machine::job::{Exit, InstanceId, JobId};
use keepstart::machine::kernel::AddressKey;
use keepstart::machine::settings::InstanceName;
use keepstart::machine::unit::UnitName;

/// One thing that will happen. What concerns a daemon names its life, and is nothing once that is over.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A VIP comes or goes.
    Flip(usize),
    /// Something happens to links, or to addresses beside the VIPs.
    Churn,
    /// Duplicate address detection is over.
    Usable(AddressKey),
    /// A link that was deleted or renamed is as before.
    LinkBack(&'static str),
    /// The daemon reads its notification socket.
    Deliver { life: u32 },
    /// The answer to `Subscribe`.
    SubscribeAnswer { life: u32 },
    /// The notification socket fails.
    SubscriptionBreaks,
    /// The moment that a dump shows.
    Snapshot { life: u32 },
    /// The answer to `Dump`.
    DumpAnswer { life: u32 },
    /// The disk has noted epochs.
    EpochsNoted {
        life: u32,
        instance: InstanceId,
        name: InstanceName,
        through: u64,
    },
    /// A script's process exists.
    Spawned(JobId),
    /// A script has its effect; the version tells plans that a signal has overtaken.
    Effect(JobId),
    /// A script ends.
    Ends {
        job: JobId,
        version: u32,
        exit: Option<Exit>,
    },
    /// The daemon hears that units have changed, or may have.
    Hint { units: BTreeSet<UnitName> },
    /// A service ends by itself.
    Crash,
    /// The operator does something.
    Operator,
    /// The daemon begins a new life.
    DaemonBegins,
    /// The daemon has waited long enough for its end.
    StopWaitOver { life: u32 },
}

impl Happening {
    /// Whether it is part of what makes a world restless.
    pub(crate) fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::Flip(_) | Self::Churn | Self::Crash | Self::SubscriptionBreaks | Self::Operator
        )
    }
}

/// Happenings by time, and by order among those of the same time.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    entries: BTreeMap<(Time, u64), Happening>,
    count: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at: Time, happening: Happening) {
        self.entries.insert((at, self.count), happening);
        self.count += 1;
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<Happening> {
        self.entries.pop_first().map(|(_, happening)| happening)
    }
}
