//! Tests of `action/units/desk`.

use std::time::Duration;

use super::super::super::testing::job;
use super::*;
use crate::machine::job::Action;
use crate::machine::settings::Command;

fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

fn start(number: u64) -> Job {
    job(number, Action::Start, Command::Units(vec![unit("a")]))
}

async fn is_quiet(desk: &Desk) -> bool {
    let next = tokio::time::timeout(Duration::from_millis(20), desk.next());
    next.await.is_err()
}

#[tokio::test]
async fn the_strongest_urge_is_delivered_once_and_only_for_jobs_that_are_open() {
    let desk = Desk::default();
    let cancelled = Outcome::Cancelled;
    let late = Outcome::TimedOut {
        timeout: Duration::from_secs(1),
    };
    let (first, other) = (start(1), start(2));
    let (id, other) = (first.id, other.id);
    assert!(desk.submit(first));
    assert!(!desk.signal(other, JobSignal::Term, &late));
    assert!(desk.signal(id, JobSignal::Kill, &cancelled));
    assert!(desk.signal(id, JobSignal::Term, &late));
    let orders = desk.orders().await;
    assert_eq!(orders.jobs.len(), 1);
    assert_eq!(orders.urges, BTreeMap::from([(id, Urge::Kill)]));
    assert!(desk.signal(id, JobSignal::Term, &cancelled));
    assert_eq!(
        desk.orders().await.urges,
        BTreeMap::from([(id, Urge::Unwanted)])
    );

    desk.ended(id, Exit::Code(0), super::super::now());
    assert!(!desk.signal(id, JobSignal::Kill, &late));
    let told = desk.next().await;
    assert!(matches!(told, ExecEvent::Ended { job, .. } if job == id));
    assert_eq!(desk.ends_told(), 1);
    assert!(is_quiet(&desk).await);
}

#[tokio::test]
async fn however_often_a_unit_changes_it_is_told_once() {
    let desk = Desk::default();
    for _ in 0..1_000 {
        desk.changed([unit("a")]);
    }
    desk.changed([unit("b")]);
    let both = ExecEvent::UnitsChanged([unit("a"), unit("b")].into());
    assert_eq!(desk.next().await, both);
    assert!(is_quiet(&desk).await);
}
