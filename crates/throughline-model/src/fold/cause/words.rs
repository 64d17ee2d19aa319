//! What texts say: whether an error says why, whether a step cleans up.

use crate::ErrorInfo;

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
    // A script without spaces says a whole sentence in what looks like one word.
    let is_one_word = words.len() == 1 && message.contains(|c: char| c.is_lowercase() || c.is_uppercase());
    words.len() <= 8 && has(&FAILING) && !has(&COMPUTING) || is_one_word
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
    "compensate",
    "tidy",
    "unwind",
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
/// Those of them that are as often the work itself: customers are notified of what went well.
const TELLING: [&str; 4] = ["notify", "notification", "warn", "inform"];
/// Words of errors about cleaning up.
const CLEANING: [&str; 8] =
    ["clean", "cleanup", "cleaning", "rollback", "undo", "undoing", "teardown", "unwinding"];

/// Whether an error says that something failed while it was cleaned up.
pub(super) fn speaks_of_cleaning_up(error: &ErrorInfo) -> bool {
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
    "restore",
    "release",
    "unlock",
    "abort",
    "discard",
    "dispose",
    "recover",
    "refund",
    "void",
];
/// Things that are there to be removed.
const SCRATCH: &[&str] = &["tmp", "temp", "temporary", "scratch", "workdir"];
/// First words of names that say nothing of what a step is about.
const AREAS: &[&str] = &["stage", "step", "task", "tool", "job", "activity", "dependency", "saga"];

/// Whether a step of this name puts something right, or tells somebody, after something has gone wrong; `work` is the name
/// of what it is a part of, `before` are those of the steps before it.
pub(super) fn is_aftermath<'n>(name: &str, work: &str, before: impl Iterator<Item = &'n str>) -> bool {
    // What the work around it is called after is the work itself: of a refund, to refund.
    let around = words(work);
    let own: Vec<String> = words(name).into_iter().filter(|word| !around.contains(word)).collect();
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
        makes && own.iter().filter(is_thing).any(|thing| other.iter().any(|other| is_akin(thing, other)))
    };
    has(REMOVING) && (has(SCRATCH) || before.take(64).any(is_about_the_same))
}

/// Whether a step of this name may tell somebody of what went well, too.
pub(super) fn may_be_good_news(name: &str) -> bool {
    words(name).iter().any(|word| TELLING.contains(&word.as_str()))
}

/// Whether two words are the same, or begin as `reserve` and `reservation` do.
fn is_akin(one: &str, other: &str) -> bool {
    const STEM: usize = 6;
    one == other || one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count() >= STEM
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
            "残高不足です",
        ] {
            assert!(!is_vague(&error(telling, &[])), "{telling}");
        }
        assert!(!is_vague(&error("loading failed", &["no such file"])));
    }

    #[test]
    fn the_documentation_has_the_words_that_decide() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/explain.md");
        let page = std::fs::read_to_string(page).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        for list in [&FAILING[..], &COMPUTING, AFTERMATH, &TELLING, &CLEANING, REMOVING, SCRATCH] {
            let list = list.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
            assert!(page.contains(&list), "{list}");
        }
    }

    #[test]
    fn steps_that_clean_up_are_known_by_their_names() {
        let before = ["stage:create-bucket", "stage:load", "vm:start", "stage:reserve-seats"];
        for name in [
            "stage:cleanup",
            "stage:cleanUpFiles",
            "fs:roll-back",
            "stage:delete-bucket",
            "fs:remove-tmp",
            "stage:rm-bucket",
            "vm:stop",
            "stage:release-reservation",
        ] {
            assert!(is_aftermath(name, "order", before.into_iter()), "{name}");
        }
        for name in
            ["stage:delete-account", "stage:load", "stage:cleanse-data", "stage:close", "stage:refund"]
        {
            assert!(!is_aftermath(name, "order", before.into_iter()), "{name}");
        }
        assert!(!is_aftermath("stage:cleanup", "cleanup-of-accounts", before.into_iter()));
    }
}
