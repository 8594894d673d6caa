//! The sentence that `systemctl status` shows. Pure.

use std::fmt;
use std::ops::{AddAssign, SubAssign};
use std::time::Duration;

use crate::machine::Time;
use crate::machine::job::{Action, Knowledge, Role};
use crate::machine::reason::{InARow, Next};
use crate::machine::view::{InstanceView, KernelView};

/// The length of the list of instances, in bytes; the others are counted. systemd takes more, but a person
/// reads one line.
const LIST_BYTES_MAX: usize = 200;

/// What a person should know, in one line of at most some 350 bytes: `web MASTER running 3m; db BACKUP
/// stopped`. What needs attention comes first, and is never left out for what does not.
///
/// `poll_every` is how often addresses are dumped while the kernel's notifications are lost. Looks at each
/// instance once and formats only as many as can be shown.
pub fn status_line<'a>(
    instances: impl IntoIterator<Item = &'a InstanceView>,
    kernel: &KernelView,
    poll_every: Duration,
    now: Time,
) -> String {
    let mut left_out = Roles::default();
    let [mut urgent, mut calm] = [const { Clauses::new() }; 2];
    for instance in instances {
        left_out.of(instance.role).add_assign(1);
        let clauses = if needs_attention(instance) {
            &mut urgent
        } else {
            &mut calm
        };
        clauses.add(instance, now);
    }
    let mut list = String::new();
    for (role, clause) in urgent.clauses.into_iter().chain(calm.clauses) {
        if list.is_empty() {
            list = clause;
        } else if list.len() + "; ".len() + clause.len() <= LIST_BYTES_MAX {
            list.push_str("; ");
            list.push_str(&clause);
        } else {
            break;
        }
        left_out.of(role).sub_assign(1);
    }
    if list.is_empty() {
        list.push_str("no instance configured");
    }
    format!("{}{list}{left_out}", kernel_clause(kernel, poll_every))
}

/// The first of some instances, as many as could be shown.
struct Clauses {
    clauses: Vec<(Role, String)>,
    bytes: usize,
}

impl Clauses {
    const fn new() -> Self {
        Self {
            clauses: Vec::new(),
            bytes: 0,
        }
    }

    fn add(&mut self, instance: &InstanceView, now: Time) {
        if self.bytes <= LIST_BYTES_MAX {
            let clause = clause(instance, now);
            self.bytes += clause.len();
            self.clauses.push((instance.role, clause));
        }
    }
}

/// How many instances have which role.
#[derive(Debug, Default)]
struct Roles {
    unknown: usize,
    backup: usize,
    master: usize,
}

impl Roles {
    fn of(&mut self, role: Role) -> &mut usize {
        match role {
            Role::Unknown => &mut self.unknown,
            Role::Backup => &mut self.backup,
            Role::Master => &mut self.master,
        }
    }
}

impl fmt::Display for Roles {
    /// The end of the line: nothing where all are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.master + self.backup + self.unknown;
        if all == 0 {
            return Ok(());
        }
        let roles = [
            (self.master, Role::Master),
            (self.backup, Role::Backup),
            (self.unknown, Role::Unknown),
        ];
        let present = roles.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = present
            .map(|(count, role)| format!("{} {role}", grouped(*count)))
            .collect();
        write!(f, " … and {} more: {}", grouped(all), counts.join(", "))
    }
}

fn kernel_clause(kernel: &KernelView, poll_every: Duration) -> String {
    if !kernel.subscribed {
        format!("kernel notifications lost, polling every {poll_every:?}; ")
    } else if !kernel.synchronized {
        "the kernel's addresses are being read; ".to_owned()
    } else {
        String::new()
    }
}

/// Whether a person has something to look after.
fn needs_attention(instance: &InstanceView) -> bool {
    instance.role == Role::Unknown || matches!(instance.next, Next::RetryAt { .. })
}

/// `web MASTER running 3m`: the name, the role, the service, and for how long both have been so.
fn clause(instance: &InstanceView, now: Time) -> String {
    let InstanceView { name, role, .. } = instance;
    let since = instance.role_since.max(instance.knowledge_since);
    let age = short(now.since(since));
    let knowledge = instance.knowledge;
    if let Next::RetryAt {
        at,
        action,
        failures,
        ..
    } = &instance.next
    {
        let again = short(at.since(now));
        let row = InARow(*failures);
        return format!("{name} {role} {knowledge}, {action} again in {again}{row}");
    }
    let action = instance
        .job
        .as_ref()
        .map(|job| (job.action, now.since(job.started)));
    match (action, role, knowledge) {
        (Some((Action::Start, span)), ..) => format!("{name} {role} starting {}", short(span)),
        (Some((Action::Stop, span)), ..) => format!("{name} {role} stopping {}", short(span)),
        (Some((Action::IsRunning, _)) | None, Role::Unknown, _) => {
            format!("{name} {role} {knowledge} {age} ({})", instance.cause)
        }
        // Where nothing is and nothing shall be, nobody asks since when.
        (Some((Action::IsRunning, _)) | None, Role::Backup, Knowledge::Stopped) => {
            format!("{name} {role} {knowledge}")
        }
        (Some((Action::IsRunning, _)) | None, Role::Backup | Role::Master, _) => {
            format!("{name} {role} {knowledge} {age}")
        }
    }
}

/// A span in its largest unit, rounded down: `45s`, `3m`, `2h`, `5d`.
fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        86_400.. => format!("{}d", seconds / 86_400),
    }
}

/// A number with commas between its thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
