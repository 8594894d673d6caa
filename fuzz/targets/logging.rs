//! logging.conf files: every text gives a plan, or the place of what is wrong with it.
#![no_main]

use std::path::Path;

use keepstart::config::logging::parse_conf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (plan, warnings) = parse_conf(text, Path::new("/etc/logging.conf"), Path::new("/srv"));
    let told = warnings.to_string();
    assert!(
        plan.is_some() || !told.is_empty(),
        "nothing is said of a file that is of no use"
    );
});
