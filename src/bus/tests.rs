//! Tests of the board.

use std::sync::Arc;

use super::*;
use crate::control::samples::{kernel, time, view};
use crate::machine::job::Role;

#[test]
fn an_update_from_before_the_whole_does_not_undo_it() {
    let old = view(1, "web");
    let mut new = InstanceView::clone(&old);
    new.role = Role::Backup;
    new.at = time(12_000);
    let mut board = Board::default();
    board.replace(Whole {
        at: time(12_000),
        kernel: kernel(),
        instances: vec![Arc::new(new.clone())],
        finished: false,
    });
    board.take(Update::Instance(old));
    assert_eq!(
        board.instance("web").map(|view| view.role),
        Some(Role::Backup)
    );
    new.role = Role::Master;
    new.at = time(13_000);
    board.take(Update::Instance(Arc::new(new)));
    assert_eq!(
        board.instance("web").map(|view| view.role),
        Some(Role::Master)
    );
}
