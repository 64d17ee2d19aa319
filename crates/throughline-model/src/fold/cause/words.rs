//! What texts say: whether two errors are the same, whether an error says why, whether a step cleans up.

use crate::ErrorInfo;

/// How well the error of a span agrees with that of another which may have brought it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Agreement {
    /// The one ends with the other, joined by a word such as `with` or `because`.
    Phrase,
    /// One of its messages is the other's, or ends with it behind punctuation: `loading: no such file`.
    Message,
    /// The innermost of its errors is the innermost of the other's.
    Innermost,
    /// The innermost error and the message are the same.
    Whole,
}

/// Whether the error of a span is that of another on its way up.
pub fn agreement(parent: &ErrorInfo, child: &ErrorInfo) -> Option<Agreement> {
    if parent.message == child.message && parent.chain == child.chain && !child.message.trim().is_empty() {
        return Some(Agreement::Whole);
    }
    let (outer, inner) = (Messages::of(parent), Messages::of(child));
    let (outer_core, inner_core) = (outer.innermost()?, inner.innermost()?);
    let same_core = joint(outer_core, inner_core).or_else(|| joint(inner_core, outer_core));
    if outer.0.len() > 1 && inner.0.len() > 1 && same_core.is_none() {
        // Both say what is behind them, and that is not the same.
        return None;
    }
    let message = inner.0.first()?;
    if same_core == Some(Joint::Equal) && outer.0.contains(message) {
        return Some(Agreement::Whole);
    }
    if matches!(same_core, Some(Joint::Equal | Joint::Punctuation)) {
        return Some(Agreement::Innermost);
    }
    let best = outer.0.iter().filter_map(|text| joint(text, message)).max().max(same_core)?;
    Some(if best == Joint::Word { Agreement::Phrase } else { Agreement::Message })
}

/// The messages of an error and of those behind it, the innermost last, in lower case.
struct Messages(Vec<String>);

impl Messages {
    fn of(error: &ErrorInfo) -> Self {
        let all = std::iter::once(&error.message).chain(&error.chain);
        let texts = all.map(|text| text.trim().trim_end_matches(['.', '!']).to_lowercase());
        Self(texts.filter(|text| !text.is_empty()).collect())
    }

    fn innermost(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }
}

/// How a text is joined to what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Joint {
    /// By a word that says that it is the reason.
    Word,
    /// By punctuation.
    Punctuation,
    /// Nothing stands before it, nor after it.
    Equal,
}

/// Words behind which the text of another error is quoted.
const QUOTING: [&str; 16] = [
    "with", "by", "because", "of", "to", "from", "got", "returned", "returns", "said", "says", "gave",
    "after", "reason", "cause", "error",
];

/// How a text ends with another, if it does. What stands in the middle of a sentence is a part of the sentence.
fn joint(whole: &str, part: &str) -> Option<Joint> {
    if whole == part {
        return Some(Joint::Equal);
    }
    whole.match_indices(part).filter_map(|(at, _)| joint_at(&whole[..at], &whole[at + part.len()..])).max()
}

fn joint_at(before: &str, after: &str) -> Option<Joint> {
    // What an error adds behind another stands behind punctuation too: `no such file (after 3 attempts)`.
    let ends =
        after.is_empty() || after.trim_start().starts_with(['(', '[', ';', ',', ')', ']', '"', '\'', '`']);
    let is_quoted =
        ['"', '\'', '`'].iter().any(|quote| before.ends_with(*quote) && after.starts_with(*quote));
    if is_quoted {
        return Some(Joint::Punctuation);
    }
    let spaced = before.trim_end();
    if !ends {
        return None;
    }
    if spaced.is_empty() || spaced.ends_with([':', ';', '(', '[', '—', '–', '=', '>', '|', ',']) {
        return Some(Joint::Punctuation);
    }
    let last_word = spaced.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    let is_apart = spaced.len() < before.len() || before.ends_with(|c: char| !c.is_alphanumeric());
    if is_apart && spaced.ends_with(" -") {
        return Some(Joint::Punctuation);
    }
    (is_apart && QUOTING.contains(&last_word)).then_some(Joint::Word)
}

/// Words that say that something failed, and not why.
const FAILING: [&str; 17] = [
    "fail",
    "failed",
    "fails",
    "failure",
    "error",
    "errored",
    "unable",
    "unsuccessful",
    "aborted",
    "wrong",
    "problem",
    "unexpected",
    "internal",
    "unknown",
    "could",
    "couldn",
    "broken",
];
/// What fails for a reason of its own, and not because of what was called.
const COMPUTING: [&str; 10] = [
    "parse",
    "decode",
    "deserialize",
    "deserialise",
    "convert",
    "divide",
    "validate",
    "compute",
    "validation",
    "parsing",
];

/// Whether an error says no more than that something failed: `provisioning failed`, `internal error`.
pub(super) fn is_vague(error: &ErrorInfo) -> bool {
    let message = error.message.trim().trim_end_matches(['.', '!']);
    if message.is_empty() {
        return true;
    }
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '\'' | '_' | '#');
    if !error.chain.is_empty() || !message.chars().all(is_plain) {
        return false;
    }
    let words = words(message);
    let has = |of: &[&str]| words.iter().any(|word| of.contains(&word.as_str()));
    words.len() <= 8 && has(&FAILING) && !has(&COMPUTING) || words.len() == 1
}

/// Whether an error says that something took longer than it was allowed to.
pub fn is_time_out(error: &ErrorInfo) -> bool {
    let texts = [&error.kind, &error.message].into_iter().chain(&error.chain);
    texts
        .into_iter()
        .flat_map(|text| words(text))
        .any(|word| ["elapsed", "timeout", "timedout", "deadline"].contains(&word.as_str()))
        || error.message.contains("timed out")
        || error.kind.contains("TimedOut")
}

/// Words in the names of steps that put something right, or tell somebody, once something has gone wrong.
const AFTERMATH: &[&str] = &[
    "clean",
    "cleanup",
    "cleaning",
    "undo",
    "rollback",
    "revert",
    "teardown",
    "restore",
    "release",
    "unlock",
    "abort",
    "compensate",
    "discard",
    "dispose",
    "tidy",
    "unwind",
    "recover",
    "refund",
    "void",
    "notify",
    "notification",
    "alert",
    "warn",
    "inform",
    "escalate",
    "incident",
    "oncall",
    "pager",
];
/// Whether an error says that something failed while it was cleaned up.
pub(super) fn speaks_of_cleaning_up(error: &ErrorInfo) -> bool {
    const CLEANING: [&str; 8] =
        ["clean", "cleanup", "cleaning", "rollback", "undo", "undoing", "teardown", "unwinding"];
    let words = words(&error.message);
    let is_back = |pair: &[String]| {
        matches!(
            (pair[0].as_str(), pair[1].as_str()),
            ("roll" | "rolling", "back") | ("tear" | "tearing", "down")
        )
    };
    words.iter().any(|word| CLEANING.contains(&word.as_str())) || words.windows(2).any(is_back)
}

/// Words in the names of steps that undo another if that other is about the same thing.
const REMOVING: &[&str] = &[
    "remove",
    "delete",
    "drop",
    "close",
    "stop",
    "detach",
    "unmount",
    "destroy",
    "cancel",
    "free",
    "kill",
    "purge",
    "terminate",
    "reset",
    "rm",
    "rmdir",
    "unlink",
    "wipe",
    "deprovision",
    "deregister",
    "unregister",
    "uninstall",
    "unsubscribe",
];
/// Things that are there to be removed.
const SCRATCH: &[&str] = &["tmp", "temp", "temporary", "scratch", "workdir"];
/// First words of names that say nothing of what a step is about.
const AREAS: &[&str] = &["stage", "step", "task", "tool", "job", "activity", "dependency", "saga"];

/// Whether a step of this name puts something right, or tells somebody, after something has gone wrong; `before` are
/// the names of the steps before it.
pub(super) fn is_aftermath<'n>(name: &str, before: impl Iterator<Item = &'n str>) -> bool {
    let own = words(name);
    let has = |of: &[&str]| own.iter().any(|word| of.contains(&word.as_str()));
    let rolls_back = own.windows(2).any(|pair| {
        matches!((pair[0].as_str(), pair[1].as_str()), ("roll" | "put", "back") | ("tear", "down"))
    });
    if has(AFTERMATH) || rolls_back {
        return true;
    }
    let is_thing = |word: &&String| {
        word.len() > 1 && !REMOVING.contains(&word.as_str()) && !AREAS.contains(&word.as_str())
    };
    let is_about_the_same = |name: &str| {
        let other = words(name);
        let makes = !other.iter().any(|word| REMOVING.contains(&word.as_str()));
        makes && own.iter().filter(is_thing).any(|thing| other.contains(thing))
    };
    has(REMOVING) && (has(SCRATCH) || before.take(64).any(is_about_the_same))
}

/// The words of a name or a text, in lower case: `stage:cleanUp-tmp` has `stage`, `clean`, `up` and `tmp`.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_lower = false;
    for c in text.chars() {
        let is_boundary = !c.is_alphanumeric() || (c.is_uppercase() && was_lower);
        if is_boundary && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        was_lower = c.is_lowercase();
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str, chain: &[&str]) -> ErrorInfo {
        ErrorInfo {
            kind: "E".into(),
            message: message.to_owned().into(),
            chain: chain.iter().map(|text| (*text).to_owned().into()).collect(),
        }
    }

    #[test]
    fn errors_agree_at_the_tail_and_not_in_the_middle_of_a_sentence() {
        use Agreement::{Innermost, Message, Phrase, Whole};
        type Case =
            (&'static str, &'static [&'static str], &'static str, &'static [&'static str], Option<Agreement>);
        let cases: [Case; 19] = [
            ("connection refused", &[], "connection refused", &[], Some(Whole)),
            ("loading: connection refused", &[], "connection refused", &[], Some(Innermost)),
            ("loading", &["connection refused"], "Connection refused.", &[], Some(Whole)),
            ("request failed with connection refused", &[], "connection refused", &[], Some(Phrase)),
            ("loading: no such file (after 3 attempts)", &[], "no such file", &[], Some(Innermost)),
            ("schema v3 is not found in the registry", &[], "not found", &[], None),
            ("schema v3 is not found", &[], "not found", &[], None),
            ("the account was notfound", &[], "found", &[], None),
            ("5.0 MB are too large", &[], "0 MB are too large", &[], None),
            // The innermost error counts most.
            ("loading", &["no such file", "disk"], "loading", &["no such file", "quota"], None),
            ("loading", &["no such file", "disk"], "reading", &["disk"], Some(Innermost)),
            // Without sources the message is all there is.
            ("loading", &[], "loading", &["no such file"], Some(Message)),
            ("step 2: three chargebacks", &["no answer"], "three chargebacks", &[], Some(Message)),
            // What a step unwraps is the innermost error of the other.
            ("no answer", &[], "scoring", &["no answer"], Some(Innermost)),
            ("no answer", &[], "scoring: no answer", &[], Some(Innermost)),
            ("", &[], "", &[], None),
            ("refused", &[], "", &[], None),
            ("it said \"out of stock\"", &[], "out of stock", &[], Some(Innermost)),
            ("upstream failed", &[], "connection reset", &[], None),
        ];
        for (outer, outer_chain, inner, inner_chain, expected) in cases {
            let found = agreement(&error(outer, outer_chain), &error(inner, inner_chain));
            assert_eq!(found, expected, "{outer} {outer_chain:?} / {inner} {inner_chain:?}");
        }
    }

    #[test]
    fn an_error_is_vague_if_it_only_says_that_something_failed() {
        for vague in [
            "provisioning failed",
            "Internal error",
            "something went wrong",
            "failed to load config",
            "refused",
            "order 7 could not be priced",
            "",
        ] {
            assert!(is_vague(&error(vague, &[])), "{vague}");
        }
        for telling in [
            "schema version 3 is not supported",
            "card declined (insufficient funds)",
            "score below threshold",
            "failed to parse the manifest",
            "loading failed: no such file",
            "too many errors",
        ] {
            assert!(!is_vague(&error(telling, &[])), "{telling}");
        }
        assert!(!is_vague(&error("loading failed", &["no such file"])));
    }

    #[test]
    fn steps_that_clean_up_are_known_by_their_names() {
        let before = ["stage:create-bucket", "stage:load", "vm:start"];
        for name in [
            "stage:cleanup",
            "stage:cleanUpFiles",
            "fs:roll-back",
            "stage:delete-bucket",
            "fs:remove-tmp",
            "stage:rm-bucket",
            "vm:stop",
        ] {
            assert!(is_aftermath(name, before.into_iter()), "{name}");
        }
        for name in ["stage:delete-account", "stage:load", "stage:cleanse-data", "stage:close"] {
            assert!(!is_aftermath(name, before.into_iter()), "{name}");
        }
    }
}
