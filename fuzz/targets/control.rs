//! The control socket: every line is a request or is refused with a reason; a request reads back from its line.
#![no_main]

use keepstart::control::protocol::{Request, parse_answer, push_refusal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    match Request::parse(line) {
        Ok(request) => assert_eq!(Request::parse(&request.to_line()), Ok(request)),
        Err(refusal) => {
            let mut answer = Vec::new();
            push_refusal(&mut answer, &refusal);
            let line = answer.strip_suffix(b"\n").expect("an answer is a line");
            assert!(!line.contains(&b'\n'));
            assert!(
                parse_answer(line).is_ok(),
                "a client cannot read the refusal"
            );
        }
    }
    // The other direction: what a client may hear.
    let _ = parse_answer(line);
});
