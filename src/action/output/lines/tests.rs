//! Tests of `action/output/lines`.

use proptest::prelude::*;

use super::*;

fn rendered(line: &[u8]) -> String {
    let mut text = String::new();
    let cut = Cut {
        line,
        taken: line.len(),
        rest: Rest::NewLine,
    };
    render(&cut, &mut text);
    text
}

#[test]
fn lines_end_where_they_should() {
    let first = cut(b"one\r\ntwo", ChunkEnd::Open).unwrap();
    assert_eq!((first.line, first.taken), (&b"one"[..], 5));
    assert_eq!(cut(b"two", ChunkEnd::Open), None);
    assert_eq!(cut(b"two", ChunkEnd::Final).unwrap().line, b"two");
    assert_eq!(cut(b"", ChunkEnd::Final), None);
    assert_eq!(cut(b"\n", ChunkEnd::Open).unwrap().taken, 1);
}

#[test]
fn a_long_line_comes_in_marked_pieces_of_whole_characters() {
    // Three bytes a character, so that the limit falls into one.
    let long = "€".repeat(LINE_MAX);
    let piece = cut(long.as_bytes(), ChunkEnd::Open).unwrap();
    assert_eq!(
        (piece.taken, piece.rest),
        (LINE_MAX - LINE_MAX % 3, Rest::SameLine)
    );
    let mut text = String::new();
    render(&piece, &mut text);
    assert!(text.ends_with("€ [...]") && !text.contains('\u{fffd}'));
}

#[test]
fn control_characters_are_shown_and_not_obeyed() {
    assert_eq!(rendered(b"a\tb"), "a\tb");
    assert_eq!(rendered(b"\x1b[31mred\x07"), "\\u{1b}[31mred\\u{7}");
    assert_eq!(
        rendered("\u{202e}abc\u{2028}".as_bytes()),
        "\\u{202e}abc\\u{2028}"
    );
    assert_eq!(rendered(b"caf\xe9"), "caf\u{fffd}");
}

#[test]
fn a_flood_is_told_in_part_and_what_is_missing_is_said() {
    #[expect(clippy::disallowed_methods, reason = "a point in time to count from")]
    let begun = Instant::now();
    let mut budget = Budget::new(begun);
    let burst = usize::try_from(BURST_LINES).unwrap();
    assert_eq!(told_of_5000(&mut budget, begun), burst);
    budget.skip(1 << 20, begun);
    assert_eq!(said(&mut budget, begun), Vec::<String>::new());
    let later = begun + Duration::from_secs(1);
    // Until it is said what is missing, nothing more is told: the order stays.
    assert_eq!(told_of_5000(&mut budget, later), 0);
    assert_eq!(budget.say_at(), Some(later));
    let expected = [
        "[keepstart: 9595 lines and 1048576 bytes more left out]",
        "line 4995",
        "line 4996",
        "line 4997",
        "line 4998",
        "line 4999",
    ];
    assert_eq!(said(&mut budget, later), expected);
    assert_eq!(budget.say_at(), None);
    assert_eq!(told_of_5000(&mut budget, later), 200);
    budget.say_last(&mut |_| {});
    let much_later = begun + Duration::from_secs(1_000_000);
    assert_eq!(told_of_5000(&mut budget, much_later), burst);
}

#[test]
fn lines_left_out_at_once_count_like_single_ones() {
    #[expect(clippy::disallowed_methods, reason = "a point in time to count from")]
    let begun = Instant::now();
    let mut budget = Budget::new(begun);
    budget.skip(1, begun);
    assert!(budget.is_silent());
    let long = "x".repeat(LINE_MAX + 1);
    let lines = format!("1\n2\r\n\n{long}\n5\n6\n");
    assert_eq!(
        whole_lines(format!("{lines}7").as_bytes()),
        Some(lines.len())
    );
    assert_eq!(budget.leave_out(lines.as_bytes(), begun), 6);
    assert_eq!(budget.leave_out(b"8\n", begun), 1);
    let piece = format!("{} [...]", "x".repeat(LINE_MAX));
    let mut said = Vec::new();
    budget.say_last(&mut |line| said.push(line.to_owned()));
    let sentence = "[keepstart: 2 lines and 1 bytes more left out]";
    assert_eq!(said, [sentence, "", &piece, "5", "6", "8"]);
    assert_eq!(whole_lines(b"no end"), None);
}

fn told_of_5000(budget: &mut Budget, now: Instant) -> usize {
    let mut text = String::new();
    let is_told = |number: &u32| {
        let line = format!("line {number}\n");
        let line = cut(line.as_bytes(), ChunkEnd::Open).unwrap();
        budget.take_line(&line, &mut text, &mut usize::MAX.clone(), now) == Fate::Told
    };
    (0..5000).filter(is_told).count()
}

fn said(budget: &mut Budget, now: Instant) -> Vec<String> {
    let mut said = Vec::new();
    budget.say(now, &mut |line| said.push(line.to_owned()));
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_byte_is_lost_and_no_piece_is_too_long(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..20_000)
    ) {
        let mut rest = &bytes[..];
        let mut lines = Vec::new();
        while let Some(first) = cut(rest, ChunkEnd::Final) {
            prop_assert!(first.taken > 0 && first.line.len() <= LINE_MAX);
            lines.extend_from_slice(first.line);
            rest = &rest[first.taken..];
        }
        prop_assert!(rest.is_empty());
        let is_text = |byte: &&u8| !matches!(**byte, b'\n' | b'\r');
        prop_assert!(lines.iter().filter(is_text).eq(bytes.iter().filter(is_text)));
    }
}
