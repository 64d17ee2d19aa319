//! Every command takes time in proportion to the size of a run, however its spans nest.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;

const SMALL: u64 = 1_000;
/// Eight times as much: work that grows with the square of it takes 64 times as long.
const LARGE: u64 = 8 * SMALL;
const MOST: u32 = 24;
/// What starting the command may take, which says nothing of its work.
const START: Duration = Duration::from_millis(20);

const COMMANDS: &[&[&str]] = &[
    &["list"],
    &["list", "--type", "stage:*"],
    &["show", "k"],
    &["show", "k", "--timeline"],
    &["why", "k"],
    &["compensations", "k"],
    &["decisions", "k"],
    &["diff", "k", "k"],
    &["running"],
    &["running", "--check"],
    &["stats"],
    &["export", "-o", "/dev/null"],
    &["export", "--format", "xes", "-o", "/dev/null"],
];

/// A store with one run of so many open spans, each of which can be undone.
fn open_spans(count: u64, parent_of: impl Fn(u64) -> u64) -> Sandbox {
    let mut events = String::new();
    for span in 1..=count {
        let (event_type, parent) = match span {
            1 => ("workflow:started", String::new()),
            _ => {
                ("stage:a", format!(r#""parent_span_id":"{:016x}","tags":["compensable"],"#, parent_of(span)))
            }
        };
        writeln!(
            events,
            r#"{{"trace_id":"{count:032x}","span_id":"{span:016x}",{parent}"event_type":"{event_type}","timestamp":"2026-01-01T00:00:00.{span:06}Z","status":"pending","service":"s","correlation_id":"k"}}"#
        )
        .unwrap();
    }
    let sandbox = Sandbox::empty();
    sandbox.write("run.jsonl", events);
    let said = sandbox.run(&["import", "run.jsonl"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    sandbox
}

fn time_of(sandbox: &Sandbox, command: &[&str]) -> Duration {
    let begun = Instant::now();
    let said = sandbox.run(command);
    assert!(said.code < 2, "{command:?}: {}", said.stderr);
    begun.elapsed()
}

fn assert_linear(parent_of: impl Fn(u64) -> u64 + Copy) {
    let (small, large) = (open_spans(SMALL, parent_of), open_spans(LARGE, parent_of));
    for command in COMMANDS {
        let (mut least, mut most) = (Duration::MAX, Duration::MAX);
        // Other work may disturb one measurement or another, but not make one quicker than it is.
        let is_linear = (0..3).any(|_| {
            least = least.min(time_of(&small, command));
            most = most.min(time_of(&large, command));
            most < MOST * least.max(START)
        });
        assert!(is_linear, "{command:?} took {least:?} for {SMALL} spans and {most:?} for {LARGE}");
    }
}

#[test]
fn a_chain_of_open_spans_takes_every_command_time_in_proportion_to_its_length() {
    assert_linear(|span| span - 1);
}

#[test]
fn a_wide_run_takes_every_command_time_in_proportion_to_its_width() {
    assert_linear(|_| 1);
}
