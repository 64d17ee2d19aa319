//! Whether an error is another one on its way up.

use crate::panics::without_place;
use throughline_model::{ErrorInfo, names::errors};

/// How much of an error is found again in one that a caller ended with; more is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Agreement {
    /// What started it: the text of its innermost source.
    Innermost,
    /// Its text, within one of the caller's texts.
    Text,
    /// All its texts: the caller returned it as it was, or gave it a context.
    Whole,
}

/// Texts longer than this are compared as a whole.
const SEARCHED: usize = 16 * 1024;

/// A clause that only a space sets apart from what is before it agrees if it is at least so long: "was not found" is not
/// about the "not found" of another one.
const LONG_ENOUGH: usize = 12;

/// How much of `below` is in `above`, if `above` says so at all.
pub(super) fn agreement(above: &ErrorInfo, below: &ErrorInfo) -> Option<Agreement> {
    let (above, below): (Vec<&str>, Vec<&str>) = (texts(above).collect(), texts(below).collect());
    if below.iter().all(|text| text.is_empty()) {
        return None;
    }
    if above.ends_with(&below) {
        return Some(Agreement::Whole);
    }
    let is_said = |clause: &str| above.iter().any(|text| says(text, clause));
    // As `{:#}` prints a chain.
    if below.first().is_some_and(|message| is_said(message)) || is_said(&below.join(": ")) {
        return Some(Agreement::Text);
    }
    let started_alike =
        above.last().zip(below.last()).is_some_and(|(above, below)| above == below || says(above, below));
    started_alike.then_some(Agreement::Innermost)
}

/// The message and its sources, outermost first.
fn texts(error: &ErrorInfo) -> impl Iterator<Item = &str> {
    let message = match error.kind == errors::PANIC {
        true => without_place(&error.message),
        false => error.message.as_str(),
    };
    std::iter::once(message).chain(error.chain.iter().map(|text| text.as_str())).map(bare)
}

fn bare(text: &str) -> &str {
    text.trim().trim_end_matches('.')
}

/// Whether a text has another one in it as a clause: set apart on both sides by punctuation, or at its end.
fn says(text: &str, clause: &str) -> bool {
    if clause.is_empty() || text.len() > SEARCHED {
        return text == clause;
    }
    text.match_indices(clause).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + clause.len()..]);
        let is_last = !after.contains(char::is_alphanumeric);
        if is_last && before.ends_with(char::is_whitespace) && clause.len() >= LONG_ENOUGH {
            return true;
        }
        begins_a_clause(before) && (is_last && !after.starts_with(['_', '-']) || ends_a_clause(after))
    })
}

fn begins_a_clause(before: &str) -> bool {
    let text = before.trim_end();
    let is_spaced = text.len() < before.len();
    match text.chars().next_back() {
        None | Some('(' | '[' | '{' | '"' | '\'' | '`' | '“' | '‘' | '«') => true,
        Some(':' | ';' | ',' | '-' | '–' | '—' | '.' | '>' | '|') => is_spaced,
        Some(_) => before.ends_with('\n'),
    }
}

fn ends_a_clause(after: &str) -> bool {
    let mut next = after.chars();
    match (next.next(), next.next()) {
        (Some(')' | ']' | '}' | '"' | '\'' | '`' | '”' | '’' | '»' | ';' | '\n'), _) => true,
        (Some(',' | '.'), next) => next.is_none_or(char::is_whitespace),
        (Some(' '), Some('(' | '[' | '–' | '—' | '-')) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(texts: &[&str]) -> ErrorInfo {
        let mut texts = texts.iter().map(|text| (*text).to_owned().into());
        ErrorInfo { kind: "error".into(), message: texts.next().unwrap(), chain: texts.collect() }
    }

    fn agrees(above: &[&str], below: &[&str]) -> Option<Agreement> {
        agreement(&error(above), &error(below))
    }

    #[test]
    fn an_error_that_was_returned_or_given_a_context_is_the_same_as_a_whole() {
        let below = ["the bureau did not answer", "connection reset"];
        assert_eq!(agrees(&below, &below), Some(Agreement::Whole));
        assert_eq!(agrees(&["scoring", below[0], below[1]], &below), Some(Agreement::Whole));
        assert_eq!(agrees(&["disk full"], &["disk full"]), Some(Agreement::Whole));
        assert_eq!(agrees(&["Disk full."], &["Disk full"]), Some(Agreement::Whole));
    }

    #[test]
    fn an_error_that_became_a_part_of_a_text_is_found_in_it() {
        let below = ["the bureau did not answer", "connection reset"];
        for above in [
            "scoring failed: the bureau did not answer",
            "scoring failed: the bureau did not answer: connection reset",
            "scoring failed (the bureau did not answer)",
            "scoring failed: the bureau did not answer; giving up",
            "the bureau did not answer (attempt 3 of 3)",
            "scoring failed because the bureau did not answer.",
            "Scoring(\"the bureau did not answer\")",
            "scoring failed — the bureau did not answer",
            "2 errors:\nthe bureau did not answer\nno cash",
        ] {
            assert_eq!(agrees(&[above], &below), Some(Agreement::Text), "{above}");
        }
        assert_eq!(agrees(&["outer: boom"], &["boom"]), Some(Agreement::Text));
        assert_eq!(agrees(&["task 7 panicked with message \"boom\""], &["boom"]), Some(Agreement::Text));
    }

    #[test]
    fn an_error_of_which_only_the_innermost_source_was_kept_is_found_by_that() {
        let below = ["the bureau did not answer", "connection reset"];
        assert_eq!(agrees(&["scoring failed", "connection reset"], &below), Some(Agreement::Innermost));
        assert_eq!(agrees(&["scoring failed: connection reset"], &below), Some(Agreement::Innermost));
    }

    #[test]
    fn an_error_that_only_shares_words_is_another_one() {
        for (above, below) in [
            ("schema v3 is not found in the registry", "not found"),
            ("schema v3 was not found", "not found"),
            ("schema version 3 is not supported", "404 not found"),
            ("unauthorised", "authorised"),
            ("the card was declined-by-bank", "declined"),
            ("not found: schema v3", "not found"),
            ("row_not_found", "found"),
            ("boom_box", "boom"),
            ("provisioning failed", "directory not empty"),
            ("card declined", ""),
            ("", "card declined"),
        ] {
            assert_eq!(agrees(&[above], &[below]), None, "{above} / {below}");
        }
        assert_eq!(agrees(&["a failed", "disk full"], &["a failed", "no memory"]), Some(Agreement::Text));
        assert_eq!(agrees(&["b", "disk full"], &["a", "no memory"]), None);
    }
}
