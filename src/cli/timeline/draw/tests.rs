//! What is drawn of made data, character for character.

use jiff::tz::TimeZone;

use super::*;
use crate::control::protocol::VERSION;
use crate::machine::job::{Action, JobSignal, Knowledge, Outcome, Role};
use crate::machine::reason::Reason;
use crate::timeline::document::TimelineDocument;
use crate::timeline::testing::{Story, ZERO_UNIX_MS, us};

fn canvas(width: usize, glyphs: Glyphs) -> Canvas {
    Canvas {
        out: Out::plain(),
        width,
        glyphs,
        zone: TimeZone::UTC,
    }
}

fn drawn(story: &Story, now: u64, width: usize, glyphs: Glyphs) -> String {
    let (head, entries) =
        TimelineDocument::of(&story.timeline, None, Some(10), us(now), ZERO_UNIX_MS);
    let answer = TimelineAnswer {
        v: VERSION,
        timeline: head,
        entries,
    };
    timeline(&answer, &canvas(width, glyphs))
}

#[test]
fn bars_are_to_scale_and_the_shortest_is_seen() {
    let mut story = Story::default();
    story.gain(12_345_000);
    let text = drawn(&story, 20_000_000, 80, Glyphs::Plain);
    let expected = "\
web/1  2026-11-03 14:03:12.345  UNKNOWN -> MASTER: there is no interface eth9
  MASTER took 0.9 ms to the start's first instruction, 1.2 s in all
  debounce      0.0 ms  |
  spawn         0.9 ms  |
  start          1.2 s  ###################################
  is-running   11.6 ms                                    |  is-running said yes

: debounce, . wait, + spawn, # start/stop, x told to end, = is-running, | too
short for the scale, each entry with a scale of its own
the timeline begins with the daemon's start at 2026-11-03 14:03:00.000; the
journal has all: journalctl KEEPSTART_INSTANCE=NAME
";
    assert_eq!(text, expected);
}

#[test]
fn it_is_drawn_in_blocks_where_they_can_be_seen() {
    let mut story = Story::default();
    story.transition(Role::Master, 0, 200_000);
    let start = [200_000, 300_000, 400_000];
    let failed = Outcome::Failed { code: 3 };
    story.runs(Action::Start, Reason::RoleGained, start, failed.clone());
    story.retry(1_400_000, Some(failed));
    let text = drawn(&story, 800_000, 100, Glyphs::Blocks);
    let lines: Vec<_> = text.lines().take(6).collect();
    assert_eq!(
        lines,
        [
            "web/1  2026-11-03 14:03:00.000  UNKNOWN → MASTER: there is no interface eth9",
            "  MASTER is under way for 800 ms; the next attempt is in 600 ms",
            "  debounce      200 ms  ░░░░░░░░░░░",
            "  spawn         100 ms             ▒▒▒▒▒",
            "  start         100 ms                  ██████                       start failed with exit status 3",
            "  wait          400 ms                        ·····················  waited for the next attempt ...",
        ]
    );
}

#[test]
fn a_job_that_was_told_to_end_shows_when() {
    let mut story = Story::default();
    story.transition(Role::Master, 0, 0);
    story.ordered(Action::Start, Reason::RoleGained, 0);
    story.spawned(Action::Start, 500);
    let timeout = Duration::from_secs(30);
    let because = Outcome::TimedOut { timeout };
    story.signalled(JobSignal::Term, because.clone(), 30_000_000);
    story.ended(Action::Start, because, 40_000_000);
    story.settled(Knowledge::Running, 40_000_000);
    let text = drawn(&story, 50_000_000, 60, Glyphs::Plain);
    let rows: Vec<_> = text.lines().skip(4).take(2).collect();
    assert_eq!(
        rows,
        [
            "  start         30.0 s  #########     start timed out after 30s",
            "  end           10.0 s           xxx  start was told to end (timed out after 30s)",
        ]
    );
}

#[test]
fn nothing_and_gaps_are_said() {
    let mut story = Story::default();
    let text = drawn(&story, 1_000, 80, Glyphs::Plain);
    assert!(
        text.starts_with("nothing has happened since 2026-11-03 14:03:00.000\n"),
        "{text}"
    );
    story.timeline.lose(us(1_500_000), ZERO_UNIX_MS);
    let text = drawn(&story, 2_000_000, 80, Glyphs::Plain);
    let first = "a gap: more happened at once than could be taken in, last at 2026-11-03\n14:03:01.500 (1 so far)";
    assert!(text.starts_with(first), "{text}");
}

#[test]
fn no_line_of_stages_is_wider_than_the_terminal_where_there_is_room() {
    let mut story = Story::default();
    story.gain(0);
    for width in [70, 80, 100, 200] {
        let text = drawn(&story, 2_000_000, width, Glyphs::Blocks);
        for line in text.lines().skip(2).take(4) {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}
