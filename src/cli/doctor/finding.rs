//! What the doctor says: findings as data, for people and for programs. Pure.

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// The next failover, or the next boot, goes wrong.
    Hurts,
    /// It goes wrong when something else does, too.
    MayHurt,
    /// Good to know; nothing has to be done.
    Note,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How much it matters.
    pub(super) severity: Severity,
    /// What was found, and why it matters: a sentence without its full stop.
    pub(super) what: String,
    /// The file, with its line where that is known.
    pub(super) place: Option<String>,
    /// What to do, as a command that can be pasted into a root shell.
    pub(super) command: Option<String>,
}

/// What one check has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Checked {
    /// What was looked at: the whole of what is said where nothing was found.
    pub(super) looked_at: String,
    /// What was found.
    pub(super) findings: Vec<Finding>,
    /// What could not be looked at, and why not: a sentence each.
    pub(super) unseen: Vec<String>,
}

impl Checked {
    /// A check that has looked at this.
    pub(super) fn of(looked_at: impl Into<String>) -> Self {
        Self {
            looked_at: looked_at.into(),
            ..Self::default()
        }
    }

    /// A check that could not look at anything.
    pub(super) fn unseen(why: impl Into<String>) -> Self {
        let mut checked = Self::default();
        checked.cannot_see(why);
        checked
    }

    /// Adds what could not be looked at.
    pub(super) fn cannot_see(&mut self, why: impl Into<String>) {
        self.unseen.push(why.into());
    }

    /// Adds something that hurts.
    pub(super) fn hurts(&mut self, what: impl Into<String>) -> Remedy<'_> {
        self.add(Severity::Hurts, what.into())
    }

    /// Adds something that may hurt.
    pub(super) fn may_hurt(&mut self, what: impl Into<String>) -> Remedy<'_> {
        self.add(Severity::MayHurt, what.into())
    }

    /// Adds something that is good to know.
    pub(super) fn note(&mut self, what: impl Into<String>) -> Remedy<'_> {
        self.add(Severity::Note, what.into())
    }

    fn add(&mut self, severity: Severity, what: String) -> Remedy<'_> {
        let finding = Finding {
            severity,
            what,
            place: None,
            command: None,
        };
        Remedy(self.findings.push_mut(finding))
    }
}

/// What else is known of a finding.
pub(super) struct Remedy<'a>(&'a mut Finding);

impl Remedy<'_> {
    /// Where it was found.
    pub(super) fn at(self, place: &impl ToString) -> Self {
        self.0.place = Some(place.to_string());
        self
    }

    /// The command that mends it, or that shows more.
    pub(super) fn mend(self, command: impl Into<String>) {
        self.0.command = Some(command.into());
    }
}

/// A check by its name, with what it has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Named {
    /// A word that programs can look for.
    pub(super) name: &'static str,
    /// What it says.
    #[serde(flatten)]
    pub(super) said: Checked,
}

/// All that the doctor says; as JSON it is what `doctor --json` prints. Fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Diagnosis {
    /// The version of this document.
    pub(super) v: u32,
    /// The configuration.
    pub(super) config: String,
    /// The checks, all of them, in their order.
    pub(super) checks: Vec<Named>,
    /// How many of the findings hurt or may.
    pub(super) hurting: usize,
    /// How many are only good to know.
    pub(super) notes: usize,
    /// How many things could not be looked at.
    pub(super) unseen: usize,
}

impl Diagnosis {
    /// Counts what the checks have said.
    pub(super) fn of(config: String, checks: Vec<Named>) -> Self {
        let findings = || checks.iter().flat_map(|check| &check.said.findings);
        let notes = findings()
            .filter(|finding| finding.severity == Severity::Note)
            .count();
        Self {
            v: 1,
            config,
            hurting: findings().count() - notes,
            notes,
            unseen: checks.iter().map(|check| check.said.unseen.len()).sum(),
            checks,
        }
    }
}
