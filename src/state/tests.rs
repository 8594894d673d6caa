//! Tests of `state`.

use std::time::SystemTime;

use super::*;
use crate::machine::job::Knowledge;

#[test]
fn the_machine_gets_all_configured_instances_and_all_that_anything_is_known_of() {
    let dir = tempfile::tempdir().unwrap();
    let boot = BootId::current().unwrap();
    let [web, db, new] = ["web", "db", "new"].map(|name| InstanceName::new(name).unwrap());
    let run_path = dir.path().join("run.json");
    let start = SystemStart {
        boot: boot.clone(),
        init_start_ticks: None,
    };
    let (log, ..) = RunLog::open(&run_path, &start);
    log.knowledge(web.clone(), Knowledge::Running).unwrap();
    log.knowledge(db.clone(), Knowledge::Stopped).unwrap();
    log.nic_seen(web.clone(), "eth0".into()).unwrap();
    let (_, run, _) = RunLog::open(&run_path, &start);

    let epoch_path = dir.path().join("epoch");
    let (mut epochs, _) = Epochs::open(&epoch_path, &boot, SystemTime::UNIX_EPOCH);
    epochs.reserve_many([(&web, 1000)]).unwrap();
    let (epochs, _) = Epochs::open(&epoch_path, &boot, SystemTime::UNIX_EPOCH);

    let restored = restore([&web, &new], &run, &epochs);
    assert_eq!(restored.len(), 3);
    assert_eq!(restored[&db].knowledge, Some(Knowledge::Stopped));
    let expected = Restored {
        knowledge: Some(Knowledge::Running),
        adopted: None,
        interrupted: false,
        nic_seen: Some("eth0".into()),
        epoch: 1000,
        epoch_reserved: 1000,
    };
    assert_eq!(restored[&web], expected);
    assert_eq!(restored[&new], Restored::default());
}
