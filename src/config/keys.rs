//! Every key that a file may have, for what must know them all: the manual page and its test. Pure.

use super::{action, application, instance, logging};

/// The mappings of a file, each under the name that keepstart.yaml(5) has for it, with its keys.
pub fn known_keys() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut known = vec![
        ("the file", super::KEYS.to_vec()),
        ("application", application::KEYS.to_vec()),
        ("an instance", instance::KEYS.to_vec()),
        ("role", instance::ROLE_KEYS.to_vec()),
        ("role.vip", instance::VIP_KEYS.to_vec()),
        ("retry", instance::RETRY_KEYS.to_vec()),
        ("an action", action::KEYS.to_vec()),
    ];
    known.extend(logging::known_keys());
    known
}
