//! Tests of `state/boot`.

use super::*;

#[test]
fn the_running_kernel_has_one_and_it_stays() {
    let first = BootId::current().unwrap();
    assert_eq!(first, BootId::current().unwrap());
    assert_eq!(first.as_str().len(), 36);
}

#[test]
fn only_the_shape_of_a_boot_id_is_taken() {
    assert!(BootId::parse("0123abcd-0123-0123-0123-0123456789ab").is_ok());
    for text in [
        "",
        "output",
        "0123ABCD-0123-0123-0123-0123456789ab",
        "0123abcd00123-0123-0123-0123456789ab",
        "0123abcd-0123-0123-0123-0123456789abc",
        "0123abcd-0123-0123-0123-0123456789a/",
    ] {
        assert_eq!(BootId::parse(text), Err(BadBootId), "{text}");
    }
}
