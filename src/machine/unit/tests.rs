//! Tests of `machine/unit`.

use super::{BadUnitName, UnitName};

#[test]
fn a_name_without_a_kind_is_that_of_a_service() {
    for (written, whole) in [
        ("nginx", "nginx.service"),
        ("nginx.service", "nginx.service"),
        ("postgresql@15-main", "postgresql@15-main.service"),
        ("a@b@c.timer", "a@b@c.timer"),
        ("php8.2-fpm", "php8.2-fpm.service"),
        (r"srv-my\x2ddata.mount", r"srv-my\x2ddata.mount"),
        ("web.target", "web.target"),
        ("system-web.slice", "system-web.slice"),
    ] {
        assert_eq!(UnitName::new(written).unwrap().as_str(), whole);
    }
}

#[test]
fn what_systemd_would_not_take_is_refused() {
    let longest = "a".repeat(255 - ".service".len());
    assert!(UnitName::new(&longest).is_ok());
    let longer = format!("{longest}a");
    for (written, error) in [
        ("", BadUnitName::Characters),
        (".service", BadUnitName::Characters),
        ("@b.service", BadUnitName::Characters),
        ("/usr/sbin/nginx", BadUnitName::Characters),
        ("ngin x", BadUnitName::Characters),
        ("ünit", BadUnitName::Characters),
        (&longer, BadUnitName::Characters),
        ("ng*", BadUnitName::Pattern),
        ("web[12].service", BadUnitName::Pattern),
        ("postgresql@", BadUnitName::Template),
        ("postgresql@.service", BadUnitName::Template),
        ("dev-sda1.device", BadUnitName::Kind),
        ("session-1.scope", BadUnitName::Kind),
    ] {
        assert_eq!(UnitName::new(written), Err(error), "{written}");
    }
}
