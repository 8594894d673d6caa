//! What has happened in the worlds, by kind, and how often each kind has to: a run in which a kind of trouble never
//! came, or a check was never reached, proves nothing about it and fails.

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;

/// The table of kinds: its name, how often it has to happen in a million flips (about a third of what it does),
/// and what it is.
macro_rules! kinds {
    ($($kind:ident $floor:literal $words:literal)*) => {
        /// One kind of thing that is counted.
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum Kind {
            $(#[doc = $words] $kind,)*
        }

        const KINDS: &[(u64, &str)] = &[$(($floor, $words),)*];
    };
}

kinds! {
    // What the kernel and the way to it do.
    NewsLate 10_000 "a notification is read 10 ms after the kernel told it, or later"
    NewsDoubled 10_000 "a notification comes twice"
    NewsForgotten 800 "a notification is lost without a word"
    NewsBatched 3_000 "an address comes and goes within one batch"
    Overrun 100 "notifications are lost with an overrun"
    OverrunHides 100 "an overrun hides a change of an instance's role"
    DumpFailed 5_000 "a dump is interrupted or fails"
    DumpOvertaken 500 "something is lost while a dump is under way"
    LinkDeleted 3_000 "a link is deleted"
    LinkMadeAgain 3_000 "a deleted link is made again"
    LinkDisguised 6_000 "a link is renamed or loses its altname"
    AddressTentative 20_000 "an address comes with its detection under way"
    AddressDoubled 1_000 "an address stands twice"
    SubscriptionBroken 900 "the subscription breaks"
    SubscriptionRefused 3_000 "a subscription is refused"
    // What scripts and services do.
    ScriptSlow 1_000 "a script lasts 300 ms or longer and ends by itself"
    ScriptHanging 2_000 "a script hangs until it is signalled"
    ScriptIgnoresTerm 1_000 "a script ignores SIGTERM and is killed"
    ScriptFailing 20_000 "a start or stop fails"
    ScriptNotStartable 2_000 "a script cannot be started"
    ScriptSlowToSpawn 2_000 "a script takes 25 ms or longer to be executed"
    ScriptLying 1_000 "a start or stop says that it is done and has done nothing"
    QuestionUnanswered 30_000 "an is-running gives no answer"
    SignalledUnspawned 1_000 "a job is signalled before its process exists"
    ServiceCrashed 300 "a service ends by itself"
    // What the operator does.
    ReloadAdds 600 "a reload adds an instance"
    ReloadChanges 800 "a reload changes an instance"
    ReloadRemoves 600 "a reload removes an instance"
    ReloadWhileEnding 60 "a reload comes while the daemon ends"
    AuditWanted 600 "an operator wants an audit"
    ShutdownFinished 100 "a shutdown comes to its end"
    ShutdownCutShort 100 "a shutdown is cut short with a job running"
    DaemonKilled 500 "the daemon is killed"
    DaemonBegins 800 "the daemon begins"
    JobAdopted 300 "a job of an earlier life is adopted"
    AdoptedEnds 200 "an adopted job ends"
    JobPresumed 60 "a job whose record is lost is found by its environment"
    JobLetGo 20 "a process that was only presumed to be a job is let go of"
    JobInterrupted 100 "the daemon's end interrupted a job that is gone when it begins again"
    RecordDamaged 200 "a record is damaged"
    NicGoneMeanwhile 60 "a nic that was seen is not there when the daemon begins again"
    // What the machine makes of it.
    ToMaster 40_000 "a role becomes MASTER"
    ToBackup 40_000 "a role becomes BACKUP"
    ToUnknown 900 "a role becomes UNKNOWN"
    Superseded 40_000 "a change of role is overtaken"
    Done 100_000 "a job is done"
    Failed 100_000 "a job fails"
    Killed 2_000 "a job is killed by a signal that the daemon did not send"
    TimedOut 5_000 "a job times out"
    Cancelled 2_000 "a job is cancelled"
    NotStarted 2_000 "a job could not be started"
    UnitFailed 100 "systemd's job of a unit fails"
    NotRunning 100 "units are asked and do not run"
    PartlyRunning 10 "units are asked and run in part"
    Unseen 60 "a job ends unseen"
    RetryScheduled 40_000 "a retry is scheduled"
    AuditRepaired 20 "an audit finds what no notification has told"
    EpochsExhausted 4_000 "an epoch is used that is not on disk"
    Alive 30_000 "a sign of life"
    JobTakenUp 4_000 "a job because an instance was taken up"
    JobRoleGained 30_000 "a job because the role was gained"
    JobRoleLost 20_000 "a job because the role was lost"
    JobFoundStopped 90 "a job because the service was found stopped on the MASTER"
    JobFoundRunning 1_000 "a job because the service was found running on the BACKUP"
    JobUnitChanged 30 "a job because a unit has changed"
    JobVerify 40_000 "a job to verify the one before"
    JobRetry 50_000 "a job because the attempt before failed"
    JobAudit 100_000 "a job because the audit was due"
    JobAuditWanted 300 "a job because an operator wanted an audit"
    JobUnknownTooLong 300 "a job because the role was UNKNOWN for too long"
    JobAfterAdopted 20 "a job because an adopted one ended unseen"
    JobDaemonEnds 1_000 "a job because the daemon ends"
    JobInstanceRemoved 300 "a job because the instance was removed"
    // What is looked at after a step, and was so.
    SawContent 5_000_000 "an instance is content"
    SawHeldByUnknown 200_000 "what runs is held because the role is UNKNOWN"
    SawGainHeld 20_000 "a gain is held back"
    SawLossHeld 100_000 "a loss is held back"
    SawJobRuns 900_000 "a job runs"
    SawJobPresumed 1_000 "a process runs that may be a job"
    SawJobOverdue 30_000 "a job runs that the role has turned against"
    SawJobEnding 50_000 "a job was told to end"
    SawWaitsForPlace 8_000 "a start waits for a place"
    SawWaitsForTheOnlyPlace 8_000 "a start waits for the only place that there is"
    SawRetryAt 800_000 "a retry is waited for"
    SawEnding 60_000 "nothing begins any more because the daemon ends"
    // Checks that are reached.
    CheckedLoss 40_000 "a loss is acted on at once"
    CheckedGain 1_000 "a gain that was held back is believed in time"
    CheckedVerified 30_000 "a successful action is verified"
    CheckedKnows 1_000_000 "what is known without is-running is the truth"
    CheckedHalfStarted 10_000 "a job begins after a start that was cut short"
    CheckedUnanswered 30_000 "a job begins after an is-running that gave no answer"
    CheckedBeside 5_000 "a start begins while a script of another instance hangs or is slow"
    CheckedRestMaster 600 "at rest, the service of a MASTER runs"
    CheckedRestBackup 1_000 "at rest, the service of a BACKUP does not run"
    CheckedRestExcused 100 "at rest, an instance whose is-running was taken away is not looked at"
    CheckedRestUnknown 10 "at rest, the role is UNKNOWN"
}

/// How often each kind has happened. Everything in a world counts in the same one.
#[derive(Debug, Clone)]
pub(crate) struct Tally(Rc<Counts>);

type Counts = [Cell<u64>; KINDS.len()];

impl Default for Tally {
    fn default() -> Self {
        Self(Rc::new(std::array::from_fn(|_| Cell::new(0))))
    }
}

impl Tally {
    /// It has happened.
    pub(crate) fn count(&self, kind: Kind) {
        let cell = &self.0[kind as usize];
        cell.set(cell.get() + 1);
    }

    /// How often it has.
    pub(crate) fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize].get()
    }

    pub(crate) fn total(&self) -> Total {
        Total(std::array::from_fn(|kind| self.0[kind].get()))
    }
}

/// What has been counted in all worlds.
#[derive(Debug, Clone)]
pub(crate) struct Total([u64; KINDS.len()]);

impl Default for Total {
    fn default() -> Self {
        Self([0; KINDS.len()])
    }
}

impl Total {
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }

    /// How often it has.
    pub(crate) fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Whether everything has happened often enough for so many flips; if not, what has not, and the whole table.
    pub(crate) fn judge(&self, flips: u64) -> Result<(), String> {
        let (mut table, mut rare) = (String::new(), Vec::new());
        for ((floor, words), count) in KINDS.iter().zip(self.0) {
            let floor = floor * flips / 1_000_000;
            let mark = if count < floor { '!' } else { ' ' };
            let _ = writeln!(table, "{mark}{count:>10}  (at least {floor:>8})  {words}");
            if count < floor {
                rare.push(*words);
            }
        }
        if rare.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{table}too rare in {flips} flips, so the run proves nothing about it: {}",
            rare.join("; ")
        ))
    }
}

#[test]
fn what_never_happened_is_named() {
    let tally = Tally::default();
    tally.count(Kind::Overrun);
    let total = tally.total();
    assert_eq!(tally.of(Kind::Overrun), 1);
    let said = total.judge(1_000_000).unwrap_err();
    assert!(said.contains("a link is deleted"), "{said}");
    assert!(KINDS.iter().all(|(floor, _)| *floor > 0), "{KINDS:?}");
}
