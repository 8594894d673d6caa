//! Views for the tests of the control socket and of what is shown of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::machine::Time;
use crate::machine::job::{Action, InstanceId, JobId, Knowledge, LastJob, Outcome, Role};
use crate::machine::kernel::ShortName;
use crate::machine::reason::{Cause, Next, Reason};
use crate::machine::settings::{InstanceName, InstanceSettings};
use crate::machine::view::{InstanceView, KernelView};

pub(crate) fn time(ms: u64) -> Time {
    Time::from_start(Duration::from_millis(ms))
}

pub(crate) fn name(text: &str) -> InstanceName {
    InstanceName::new(text).expect("a good name")
}

/// The definition of an instance, with all defaults.
pub(crate) fn settings(text: &str) -> Arc<InstanceSettings> {
    let file = format!("instances: {{{text}: {{nic: lo, vip: 192.0.2.10, start: a, stop: b}}}}");
    let loaded = config::parse(&file, Path::new("/config.yaml")).expect("a good configuration");
    loaded.config.settings.instances[0].clone()
}

/// A MASTER whose start is done: role since 10 s, the job from 10 s to 10.05 s.
pub(crate) fn view(id: u32, text: &str) -> Arc<InstanceView> {
    Arc::new(InstanceView {
        id: InstanceId(id),
        name: name(text),
        settings: settings(text),
        at: time(11_000),
        role: Role::Master,
        role_since: time(10_000),
        cause: Cause::VipPresent {
            address: "192.0.2.10".parse().expect("an address"),
            link: ShortName::new("lo").expect("a name"),
        },
        cause_since: time(10_000),
        epoch: 7,
        transitions: 1,
        superseded: 0,
        knowledge: Knowledge::Running,
        knowledge_since: time(10_050),
        job: None,
        last_action: Some(Arc::new(LastJob {
            job: JobId {
                life: 0x4f3a_9c1e,
                number: 17,
            },
            action: Action::Start,
            reason: Reason::RoleGained,
            outcome: Outcome::Done,
            started: time(10_000),
            spawned: Some(time(10_001)),
            ended: time(10_050),
        })),
        last_check: None,
        next: Next::Content {
            role: Role::Master,
            knowledge: Knowledge::Running,
        },
        leaving: false,
    })
}

pub(crate) fn kernel() -> KernelView {
    KernelView {
        subscribed: true,
        error: None,
        synchronized: true,
        dumped_at: Some(time(5)),
        overruns: 0,
        dumps: 1,
        dumps_failed: 0,
        audits_repaired: 0,
        events: 3,
    }
}
