//! What texts say: whether something took too long or was taken away, which step they name.

use std::borrow::Cow;

use super::vague::{LONGEST, clauses, says_nothing};
use crate::{ErrorInfo, Text};

/// A word in lower case, as which it most often stands in a text.
pub(super) type Word<'t> = Cow<'t, str>;

/// Words with which an error says that something took longer than it was allowed to.
const TIME_OUT: [&str; 8] =
    ["elapsed", "timeout", "timedout", "deadline", "timed out", "time out", "out of time", "took too long"];

/// Whether an error says that something took longer than it was allowed to.
pub fn is_time_out(error: &ErrorInfo) -> bool {
    let mut texts = [&error.kind, &error.message].into_iter().chain(&error.chain);
    texts.any(|text| has_any(&words(text), &TIME_OUT))
}

/// What work may be given only so much of.
const BUDGETED: [&str; 12] = [
    "attempts",
    "tries",
    "retries",
    "retry",
    "turns",
    "rounds",
    "steps",
    "iterations",
    "calls",
    "tokens",
    "budget",
    "time",
];
/// Words with which an error says that there is no more of something.
const USED_UP: [&str; 13] = [
    "max",
    "maximum",
    "limit",
    "exceeded",
    "exceeds",
    "exhausted",
    "reached",
    "used up",
    "spent",
    "out of",
    "ran out",
    "too many",
    "no more",
];

/// How many words say no more than that the work has ended: `the agent stopped`.
const FEW: usize = 3;
/// How many words there are at most between what was used up and the word that says so.
const APART: usize = 4;

/// Whether an error says that there was no more of what the work took: attempts, tokens, time. It says so of a number of them,
/// too, if it does not say why before that: `no answer after 12 turns`.
pub(super) fn speaks_of_a_budget(error: &ErrorInfo) -> bool {
    let mut texts = std::iter::once(&error.message).chain(&error.chain).filter(|text| text.len() <= LONGEST);
    let is_of_one = |text: &Text| {
        let words = words(text);
        is_used_up(&words) || clauses(text).any(|clause| is_counted(&self::words(clause)))
    };
    is_time_out(error) || texts.any(is_of_one)
}

/// Whether something that work may be given only so much of is said to be used up, by a word that is near.
fn is_used_up(words: &[Word<'_>]) -> bool {
    let places = |of: &'static [&str]| {
        let is_at = move |at: &usize| of.iter().any(|part| length_if_first(&words[*at..], part).is_some());
        (0..words.len()).filter(is_at)
    };
    places(&BUDGETED).any(|what| places(&USED_UP).any(|used| what.abs_diff(used) <= APART))
}

/// Whether a clause ends with the number of times that something was done, and says little before that, or what there was not.
fn is_counted(words: &[Word<'_>]) -> bool {
    let is_number = |word: &Word<'_>| word.starts_with(|c: char| c.is_ascii_digit());
    let is_number_of_it =
        |row: &[Word<'_>]| row[0] == "after" && is_number(&row[1]) && BUDGETED.contains(&&*row[2]);
    let Some(at) = words.windows(3).position(is_number_of_it) else { return false };
    let before = &words[..at];
    before.len() <= FEW
        || before.first().is_some_and(|first| matches!(&**first, "no" | "not" | "nothing" | "without"))
        || says_nothing(&before.join(" "))
}

/// Whether one of these is among the words of a text, or several words in a row if it is more than one.
fn has_any(words: &[Word<'_>], of: &[&str]) -> bool {
    of.iter().any(|part| (0..words.len()).any(|at| length_if_first(&words[at..], part).is_some()))
}

/// Of how many words a part of a sentence is, if words begin with it.
pub(super) fn length_if_first<W: AsRef<str>>(words: &[W], part: &str) -> Option<usize> {
    // Most do not begin with its first word, which is seen before it is taken apart.
    words.first().filter(|first| part.starts_with(first.as_ref()))?;
    let (mut words, parts) = (words.iter(), part.split(' '));
    let is_first = parts.clone().all(|part| words.next().is_some_and(|word| word.as_ref() == part));
    is_first.then(|| parts.count())
}

/// Words with which an error says that somebody ended something.
const CANCELLED: [&str; 6] = ["cancelled", "canceled", "aborted", "interrupted", "terminated", "shutdown"];
/// Words with which an error says that something is not there any more.
const GONE: [&str; 7] = ["closed", "dropped", "disconnected", "poisoned", "poison", "hung up", "broken pipe"];
/// What work uses within a process, and can be taken from it there. What is gone with a connection may be the doing of those at
/// its other end, unless that is said.
const USED: [&str; 19] = [
    "operation",
    "task",
    "context",
    "channel",
    "receiver",
    "sender",
    "receiving",
    "sending",
    "oneshot",
    "semaphore",
    "lock",
    "mutex",
    "pool",
    "queue",
    "worker",
    "thread",
    "actor",
    "shutdown",
    "pipe",
];
/// What a connection ends with whose other end is gone, which may be in this process and have panicked.
const CUT: [&str; 6] = [
    "connection reset",
    "connection closed",
    "connection aborted",
    "unexpected end of file",
    "unexpected eof",
    "early eof",
];

/// With one of these a clause says why somebody stopped the work, or until when.
const REASON: [&str; 4] = ["for", "until", "because", "due"];

/// How an error says that the work was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Somebody cancelled it: `the operation was cancelled`.
    Cancelled,
    /// Something that it used was gone: `channel closed`, `poisoned lock`.
    Gone,
    /// The other end of a connection was gone: `connection reset by peer`.
    Cut,
}

/// Whether an error says that the work was stopped, which most often somebody else did.
pub(super) fn stopped(error: &ErrorInfo) -> Option<Stopped> {
    // A type says it with nothing else in its name: `RecvError::Closed`, `PoisonError`.
    let variant = words(error.kind.rsplit("::").next().unwrap_or_default());
    let is_alone = variant.len() == 1 || variant.len() == 2 && variant[1] == "error";
    let by_kind = was_stopped(&variant).filter(|_| is_alone);
    by_kind.or_else(|| {
        let texts = std::iter::once(&error.message).chain(&error.chain).filter(|text| text.len() <= LONGEST);
        let parts: Vec<&str> = texts.flat_map(|text| clauses(text)).collect();
        // What comes after it says why: `channel closed: 406 PRECONDITION_FAILED`.
        let last = parts.iter().rev().find_map(|part| match stopped_by(&words(part)) {
            Some(how) => Some(Some(how)),
            None => (!is_beside_the_point(part)).then_some(None),
        });
        last.flatten()
    })
}

/// Whether a clause behind another one adds nothing to it.
fn is_beside_the_point(clause: &str) -> bool {
    let words = words(clause);
    length_if_first(&words, "os error").is_some() || is_about_what_is_used(&words) || says_nothing(clause)
}

fn is_about_what_is_used(words: &[Word<'_>]) -> bool {
    words.len() == 1 || words.iter().any(|word| USED.contains(&&**word))
}

/// How a clause says that the work was stopped, and not why: `queue closed for maintenance` has a reason.
fn stopped_by(words: &[Word<'_>]) -> Option<Stopped> {
    let how = Some(words).filter(|words| is_about_what_is_used(words)).and_then(was_stopped);
    let how = how.or_else(|| has_any(words, &CUT).then_some(Stopped::Cut))?;
    let has_reason = words.iter().any(|word| REASON.contains(&&**word));
    (!has_reason).then_some(how)
}

fn was_stopped(words: &[Word<'_>]) -> Option<Stopped> {
    let gone = has_any(words, &GONE).then_some(Stopped::Gone);
    gone.or_else(|| has_any(words, &CANCELLED).then_some(Stopped::Cancelled))
}

/// First words of names that say nothing of what a step is about.
pub(super) const AREAS: &[&str] = &["stage", "step", "task", "tool", "job", "activity", "dependency", "saga"];

/// Whether the words of a text have all those of the name of a step among them, in a row and in whatever form: `rolled back` names `stage:roll-back`.
pub(super) fn names_step(text: &[Word<'_>], name: &str) -> bool {
    let mut said = words(name);
    // What comes after the area says enough by itself if that has several words.
    let has_area = name.split_once(':').is_some_and(|(area, _)| words(area).len() == 1);
    let is_said = |area: &Word<'_>| AREAS.contains(&&**area) || has_area && said.len() > 2;
    if said.first().is_some_and(is_said) {
        said.remove(0);
    }
    let is_form_of = |(word, part): (&Word<'_>, &Word<'_>)| {
        is_akin(word, part) || part.len() >= FORM && word.starts_with(&**part)
    };
    let length = said.len();
    length > 0 && text.windows(length).any(|row| row.iter().zip(&said).all(is_form_of))
}

/// How long a word has to be of which a longer one is a form: `moved` is one of `move`.
const FORM: usize = 4;

/// Whether two words are the same, or begin as `reserve` and `reservation` do.
pub(super) fn is_akin(one: &str, other: &str) -> bool {
    const STEM: usize = 6;
    one == other || one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count() >= STEM
}

/// The words of a name or a text, in lower case: `stage:cleanUp-tmp` has `stage`, `clean`, `up` and `tmp`.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut begin = None;
    let mut was_lower = false;
    for (at, c) in text.char_indices() {
        let is_part = c.is_alphanumeric();
        if !is_part || c.is_uppercase() && was_lower {
            words.extend(begin.take().map(|begin| lower_case(&text[begin..at])));
        }
        if is_part {
            begin.get_or_insert(at);
        }
        was_lower = c.is_lowercase();
    }
    words.extend(begin.map(|begin| lower_case(&text[begin..])));
    words
}

/// A text in lower case.
pub(super) fn lower_case(text: &str) -> Cow<'_, str> {
    // All bytes are looked at, which many can be at once.
    let is_plain =
        text.bytes().fold(true, |plain, byte| plain & !(byte.is_ascii_uppercase() | !byte.is_ascii()));
    if is_plain || !text.contains(|c: char| !c.is_ascii_lowercase() && !c.to_lowercase().eq([c])) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::{clean_up, vague};
    use super::*;

    fn error(message: &str, chain: &[&str]) -> ErrorInfo {
        ErrorInfo {
            kind: "E".into(),
            message: message.to_owned().into(),
            chain: chain.iter().map(|text| (*text).to_owned().into()).collect(),
        }
    }

    #[test]
    fn the_words_of_a_text_are_in_lower_case_and_copied_only_where_they_were_not() {
        let found = words("stage:cleanUp-tmp, ÉCHEC été 7");
        assert_eq!(found, ["stage", "clean", "up", "tmp", "échec", "été", "7"]);
        let copied: Vec<bool> = found.iter().map(|word| matches!(word, Cow::Owned(_))).collect();
        assert_eq!(copied, [false, false, true, false, true, false, false]);
        assert_eq!(length_if_first(&found, "stage clean"), Some(2));
        for other in ["stage cleanup", "stages", "st", "", "stage clean up tmp échec été 7 8"] {
            assert_eq!(length_if_first(&found, other), None, "{other}");
        }
    }

    #[test]
    fn an_error_says_that_it_was_stopped_if_what_it_used_was_taken_from_it() {
        use Stopped::{Cancelled, Cut, Gone};
        let of_kind = |kind: &'static str| ErrorInfo { kind: kind.into(), ..error("", &[]) };
        for (text, how) in [
            ("operation was cancelled", Cancelled),
            ("channel closed", Gone),
            ("receiving on a closed channel", Gone),
            ("the receiver was dropped", Gone),
            ("poisoned lock: another task failed inside", Gone),
            ("task 17 was cancelled", Cancelled),
            ("context canceled", Cancelled),
            ("connection reset by the shutdown of worker-2", Cancelled),
            ("Broken pipe (os error 32)", Gone),
            ("Connection reset by peer (os error 104)", Cut),
            ("connection closed before the answer was complete", Cut),
            ("Cancelled", Cancelled),
        ] {
            assert_eq!(stopped(&error(text, &[])), Some(how), "{text}");
            assert_eq!(stopped(&error("importing", &[text])), Some(how), "{text}");
        }
        for (kind, how) in [
            ("RecvError::Closed", Gone),
            ("PoisonError", Gone),
            ("CancelledError", Cancelled),
            ("Aborted", Cancelled),
        ] {
            assert_eq!(stopped(&of_kind(kind)), Some(how), "{kind}");
        }
        for other in [
            "the account is closed",
            "the order was cancelled by the customer",
            "connection refused",
            "the hub is closed on Sunday",
            "card declined",
            // It says why itself.
            "channel closed: 406 PRECONDITION_FAILED - unknown delivery tag 80",
            "worker terminated: out of memory (limit 512 MiB)",
            "task closed: ticket T-9 is locked by ann",
            "queue closed for maintenance until 06:00",
            "",
        ] {
            assert_eq!(stopped(&error(other, &[])), None, "{other}");
        }
        for kind in ["ShopError::OrderCancelled", "AccountClosed", "error"] {
            assert_eq!(stopped(&of_kind(kind)), None, "{kind}");
        }
    }

    #[test]
    fn an_error_is_about_a_budget_if_it_says_that_there_was_no_more_of_it() {
        for text in [
            "max retries exceeded",
            "the budget of 8000 tokens is used up",
            "no answer after 12 turns",
            "gave up after 3 attempts",
            "the agent stopped after 20 steps",
            "deadline has elapsed",
        ] {
            assert!(speaks_of_a_budget(&error(text, &[])), "{text}");
        }
        for text in [
            "credit limit exceeded by 40 EUR after 3 calls",
            "storage quota exceeded: 10 GB of 10 GB",
            "the last call was at 3",
            "",
        ] {
            assert!(!speaks_of_a_budget(&error(text, &[])), "{text}");
        }
    }

    #[test]
    fn the_documentation_has_the_words_that_decide() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/explain.md");
        let page = std::fs::read_to_string(page).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        for list in vague::LISTS.iter().copied().chain(clean_up::LISTS).chain([
            &CANCELLED[..],
            &GONE,
            &USED,
            &CUT,
            &REASON,
            &TIME_OUT,
            &BUDGETED,
            &USED_UP,
        ]) {
            let list = list.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
            assert!(page.contains(&list), "{list}");
        }
    }

    #[test]
    fn a_step_is_named_by_all_words_of_its_name_in_whatever_form() {
        for (text, name) in [
            ("stage:reserve failed", "stage:reserve"),
            ("reserving failed", "stage:reserve"),
            ("the release was rolled back", "stage:roll-back"),
            ("moved to dead letter queue", "queue:dead-letter"),
            ("message 9 was moved to dead letters", "queue:dead-letter"),
            ("order 7 could not be priced", "stage:price"),
        ] {
            assert!(names_step(&words(text), name), "{text} / {name}");
        }
        for (text, name) in [
            ("import failed", "stage:import-customers"),
            ("the back was rolled", "stage:roll-back"),
            ("could not proceed", "stage:pro"),
            ("order failed", "stage"),
            ("order 7 failed", "item:7"),
            ("", "stage:charge"),
        ] {
            assert!(!names_step(&words(text), name), "{text} / {name}");
        }
    }
}
