//! Configuration files: every text is either taken or refused with the place of each fault in it; what is taken
//! reads back from its effective form.
#![no_main]

use std::path::Path;

use keepstart::config::{self, effective};
use libfuzzer_sys::fuzz_target;

const FILE: &str = "/etc/keepstart/config.yaml";

fuzz_target!(|text: &str| {
    let loaded = match config::parse(text, Path::new(FILE)) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let told = faults.to_string();
            assert!(told.starts_with(FILE), "a fault without its file: {told}");
            return;
        }
    };
    let _ = loaded.warnings.to_string();
    let shown = effective(&loaded.config);
    match config::parse(&shown, Path::new(FILE)) {
        Ok(again) => assert_eq!(again.config.settings, loaded.config.settings, "{shown}"),
        Err(faults) => panic!("the effective form is refused: {faults}\n{shown}"),
    }
});
