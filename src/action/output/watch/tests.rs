//! Tests of `action/output/watch`.

use std::fs;

use super::super::super::now;
use super::*;

#[test]
fn what_cannot_be_had_is_told_once_and_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("output");
    let began = now();
    let mut watch = Watch::new(&directory, began);
    let trouble = watch.trouble().unwrap().to_string();
    assert!(
        trouble.contains("fs.inotify.max_user_instances"),
        "{trouble}"
    );
    assert!(watch.as_fd().is_none() && watch.read().news.is_empty());
    assert!(!watch.try_again(began), "it is not time");

    let again_at = watch.again_at().unwrap();
    assert_eq!(again_at, began + AGAIN_AFTER);
    assert!(watch.try_again(again_at));
    assert!(watch.trouble().is_none(), "it has been told");

    fs::create_dir(&directory).unwrap();
    assert!(watch.try_again(again_at + AGAIN_AFTER));
    assert!(watch.as_fd().is_some() && watch.again_at().is_none());
    fs::write(directory.join("file"), "text").unwrap();
    let heard = watch.read();
    assert_eq!(heard.news.get("file"), Some(&News::Closed));
}
