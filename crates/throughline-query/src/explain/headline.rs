//! What happened in a run, in a sentence.

use throughline_model::names::{DEPENDENCY_PREFIX, errors};
use throughline_model::{ErrorInfo, RunSummary, Text};

use crate::duration::duration;
use crate::{Cause, CauseKind, Explanation, SpanSummary, Verdict};

/// What a headline says of something that is called as if it cleaned up.
pub(crate) const PERHAPS_CLEANED_UP: &str = ", perhaps in cleaning up after it";

/// The answer in a sentence.
pub(crate) fn headline(explanation: &Explanation) -> String {
    let answer = answer(explanation);
    match interruptions(&explanation.resumed_after_us) {
        Some(interruptions) if tells_resumptions(explanation.verdict) => format!("{answer}; {interruptions}"),
        _ => answer,
    }
}

/// Whether a headline says that the run was resumed. That of a run that has been interrupted again would confuse the one
/// interruption with the others.
pub(crate) fn tells_resumptions(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Empty | Verdict::Interrupted | Verdict::Unfinished)
}

/// How often a run was interrupted, and after how long it was resumed; `None` if it was not.
fn interruptions(resumed_after_us: &[u64]) -> Option<String> {
    Some(match *resumed_after_us {
        [] => return None,
        [only] => format!("interrupted once and resumed after {}", duration(only)),
        [first, second] => {
            format!("interrupted twice, resumed after {} and {}", duration(first), duration(second))
        }
        [first, second, third] => {
            let (first, second, third) = (duration(first), duration(second), duration(third));
            format!("interrupted 3 times, resumed after {first}, {second} and {third}")
        }
        [.., last] => {
            let times = resumed_after_us.len();
            format!("interrupted {times} times, the last time resumed after {}", duration(last))
        }
    })
}

fn answer(explanation: &Explanation) -> String {
    let Some(root) = explanation.run.as_ref() else { return "there are no events".to_owned() };
    let run = match (&root.workflow, explanation.path.first()) {
        (Some(workflow), _) => workflow.to_string(),
        (None, Some(top)) => top.span.name.to_string(),
        (None, None) => format!("the run of {}", root.service),
    };
    let at = explanation.cause.as_ref().map_or_else(String::new, place);
    let open = || {
        let like_the_run = explanation.open.iter().filter(|span| span.state == root.state);
        list(like_the_run.map(position), 3)
    };
    let at_work = |at: String| match at.is_empty() {
        // It was resumed, and no step has begun since.
        true => format!("{run} is running"),
        false => format!("{run} is running, now at {at}"),
    };
    match explanation.verdict {
        Verdict::Empty => "there are no events".to_owned(),
        Verdict::Succeeded if explanation.resumed > 0 => match root.ended {
            Some(ended) => {
                // The duration that was recorded may be that of the last life alone.
                let took = ended.since(root.started).as_micros();
                format!("{run} succeeded after {}", duration(u64::try_from(took).unwrap_or(u64::MAX)))
            }
            None => format!("{run} succeeded"),
        },
        Verdict::Succeeded => match later_attempt(root) {
            Some(attempt) => format!("{run} succeeded at attempt {attempt}"),
            None => format!("{run} succeeded on the first try"),
        },
        Verdict::Recovered => {
            let failed = explanation.other_failures.iter().map(|failure| failure.span.name.to_string());
            format!("{run} succeeded after {} failed and was retried", list(dedup(failed), 3))
        }
        Verdict::Tolerated => {
            let around = explanation.path.first().map_or(run, |top| top.span.name.to_string());
            format!("{around} succeeded, but {at}")
        }
        Verdict::Failed => match explanation.path.len() {
            1 => at,
            _ => format!("{run} failed: {at}"),
        },
        Verdict::Cancelled => cancelled(&run, root, explanation),
        Verdict::Interrupted if let Some(left) = left_open(explanation) => {
            let can_be_resumed = explanation
                .compensations
                .iter()
                .find(|saga| saga.saga.as_ref().is_some_and(|saga| saga.span_id == left.span_id))
                .map_or_else(|| root.can_be_resumed(), |saga| saga.can_be_resumed);
            let what = if can_be_resumed { "resume or undo it" } else { "undo it" };
            match explanation.path.len() {
                1 => format!("{run} was left open: {what}"),
                _ => format!("{run} was left open at {}: {what}", position(left)),
            }
        }
        Verdict::Interrupted => match explanation.path.len() {
            1 => format!("{run} was interrupted: its process died"),
            _ => format!("{run} was interrupted: {at}"),
        },
        Verdict::Running => at_work(open()),
        Verdict::Unfinished => format!("{run} has no recorded end; the last step that started is {}", open()),
    }
}

/// Who cancelled a run, after how long, and while it was in what.
fn cancelled(run: &str, root: &RunSummary, explanation: &Explanation) -> String {
    let cause = explanation.cause.as_ref().map(|cause| &cause.span);
    let top = explanation.path.first().map(|top| &top.span);
    let error = [top, cause].into_iter().flatten().find_map(|span| span.error.as_ref());
    let after = root.duration_us.map_or_else(String::new, |took| format!(" after {}", duration(took)));
    let place = cause.filter(|_| explanation.path.len() > 1).map_or_else(String::new, |span| {
        match span.name.starts_with(DEPENDENCY_PREFIX) {
            true => format!(" while it waited for {}", position(span)),
            false => format!(" in {}", position(span)),
        }
    });
    match error {
        None => format!("{run} was cancelled{after}{place}"),
        Some(error) => {
            let who = match error.kind.as_str() {
                errors::CLIENT_GONE => "the client hung up",
                errors::DEADLINE => "its time ran out",
                errors::SIBLING_FAILED => "another part of it failed",
                errors::SHUTDOWN => "the process was shut down",
                errors::ABORTED => "its task was aborted",
                _ => return format!("{run} was cancelled{after}{place}: {}", one_line(error)),
            };
            format!("{run} was cancelled: {who}{after}{place}")
        }
    }
}

/// The span that was left open on purpose, if that is why the run has not ended.
fn left_open(explanation: &Explanation) -> Option<&SpanSummary> {
    explanation.cause.as_ref().filter(|cause| cause.kind == CauseKind::LeftOpen).map(|cause| &cause.span)
}

/// Which attempt a run is, if it is not the first of those under its key.
pub(crate) fn later_attempt(run: &RunSummary) -> Option<u32> {
    run.root.as_ref()?.attempt.filter(|attempt| *attempt > 1)
}

/// What happened at the cause.
pub(crate) fn place(cause: &Cause) -> String {
    if !cause.as_likely.is_empty() {
        return several(cause);
    }
    if let Some(last) = &cause.perhaps_cleaned_up {
        return format!("{}, and then {}{PERHAPS_CLEANED_UP}", failed(cause), position(last));
    }
    failed(cause)
}

/// How the cause failed or ended.
fn failed(cause: &Cause) -> String {
    let at = position(&cause.span);
    match (cause.kind, &cause.span.error) {
        (CauseKind::Error, Some(error)) => match &cause.waiting_for {
            Some(waiting) => {
                format!("{at} failed with {} while it waited for {}", one_line(error), position(waiting))
            }
            None => format!("{at} failed with {}", one_line(error)),
        },
        (CauseKind::Error, None) => format!("{at} failed, no error was recorded"),
        (CauseKind::Panic, error) => {
            let message = error.as_ref().map_or("", |error| error.message.as_str());
            format!("{at} panicked: {message}")
        }
        (CauseKind::Cancelled, _) => format!("{at} was dropped first"),
        (CauseKind::LeftOpen, _) => format!("{at} was left open"),
        (CauseKind::Interrupted, _) => format!("the process died in {at}"),
    }
}

/// What happened where several things failed beside each other, none of which is known to be the one that counts.
fn several(cause: &Cause) -> String {
    let first = position(&cause.span);
    let others = list(cause.as_likely.iter().map(position), 2);
    let error =
        cause.span.error.as_ref().map_or_else(String::new, |error| format!(" with {}", one_line(error)));
    format!("{first} and {others} failed beside each other, {first} first{error}")
}

/// A span with its place in the run: `stage:score (step 4 of 10, attempt 2)`.
pub(crate) fn position(span: &SpanSummary) -> String {
    let mut details = Vec::new();
    match (span.step_index, span.step_total) {
        (Some(index), Some(total)) => details.push(format!("step {index} of {total}")),
        (Some(index), None) => details.push(format!("step {index}")),
        (None, _) => {}
    }
    if let Some(attempt) = span.attempt.filter(|attempt| *attempt > 1) {
        details.push(format!("attempt {attempt}"));
    }
    if details.is_empty() { span.name.to_string() } else { format!("{} ({})", span.name, details.join(", ")) }
}

/// The first few, and how many more.
pub(crate) fn list(items: impl Iterator<Item = String>, first: usize) -> String {
    let mut items = items;
    let mut text = items.by_ref().take(first).collect::<Vec<_>>().join(", ");
    match items.count() {
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

fn dedup(items: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut seen = std::collections::HashSet::new();
    items.filter(move |item| seen.insert(item.clone()))
}

/// An error in a line: its type and what it says.
pub(crate) fn one_line(error: &ErrorInfo) -> String {
    match (error.kind.as_str(), error.message.as_str()) {
        (kind, "") => kind.to_owned(),
        ("", message) => message.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    }
}

/// An error in a line with those behind it, as `{:#}` prints it: of many the first and the innermost.
pub(crate) fn with_sources(error: &ErrorInfo) -> String {
    const MOST: usize = 4;
    let mut text = one_line(error);
    let (first, last) = match error.chain.len() {
        ..=MOST => (&error.chain[..], &[][..]),
        many => (&error.chain[..1], &error.chain[many - 1..]),
    };
    let mut add = |source: &Text| {
        // Many an error prints the one behind it by itself.
        if !text.ends_with(source.as_str()) {
            text.push_str(": ");
            text.push_str(source);
        }
    };
    first.iter().for_each(&mut add);
    if !last.is_empty() {
        add(&Text::from("…"));
    }
    last.iter().for_each(&mut add);
    text
}
