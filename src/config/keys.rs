//! Every key that a file may have, for what must know them all: the manual page and its test. Pure.

use super::{action, application, instance};

/// The mappings of a file, each under the name that keepstart.yaml(5) has for it, with its keys.
pub fn known_keys() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("the file", &super::KEYS),
        ("application", &application::KEYS),
        ("an instance", &instance::KEYS),
        ("role", &instance::ROLE_KEYS),
        ("role.vip", &instance::VIP_KEYS),
        ("retry", &instance::RETRY_KEYS),
        ("an action", &action::KEYS),
    ]
}
