//! What texts say: whether something took too long or was taken away, whether a step cleans up.

use super::vague::{CLAUSES, LONGEST};
use crate::ErrorInfo;

/// Words with which an error says that something took longer than it was allowed to.
const TIME_OUT: [&str; 8] =
    ["elapsed", "timeout", "timedout", "deadline", "timed out", "time out", "out of time", "took too long"];

/// Whether an error says that something took longer than it was allowed to.
pub fn is_time_out(error: &ErrorInfo) -> bool {
    let mut texts = [&error.kind, &error.message].into_iter().chain(&error.chain);
    texts.any(|text| has_any(&words(text), &TIME_OUT))
}

/// What work may be given only so much of.
const BUDGETED: [&str; 13] = [
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
    "quota",
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

/// Whether an error says that there was no more of what the work took: attempts, tokens, time. It says so of a number of them,
/// too: `no answer after 12 turns`.
pub(super) fn speaks_of_a_budget(error: &ErrorInfo) -> bool {
    let texts = std::iter::once(&error.message).chain(&error.chain).filter(|text| text.len() <= LONGEST);
    let is_of_one = |text: &crate::Text| {
        let words = words(text);
        let is_number = |word: &String| word.starts_with(|c: char| c.is_ascii_digit());
        let is_counted = || {
            words
                .windows(3)
                .any(|row| row[0] == "after" && is_number(&row[1]) && BUDGETED.contains(&row[2].as_str()))
        };
        has_any(&words, &BUDGETED) && has_any(&words, &USED_UP) || is_counted()
    };
    is_time_out(error) || texts.into_iter().any(is_of_one)
}

/// Whether one of these is among the words of a text, or several words in a row if it is more than one.
fn has_any(words: &[String], of: &[&str]) -> bool {
    of.iter().any(|part| {
        let length = part.split(' ').count();
        words.windows(length).any(|row| row.iter().zip(part.split(' ')).all(|(word, part)| word == part))
    })
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
    let says = |words: &[String]| {
        let gone = has_any(words, &GONE).then_some(Stopped::Gone);
        gone.or_else(|| has_any(words, &CANCELLED).then_some(Stopped::Cancelled))
    };
    // A type says it with nothing else in its name: `RecvError::Closed`, `PoisonError`.
    let variant = words(error.kind.rsplit("::").next().unwrap_or_default());
    let is_alone = variant.len() == 1 || variant.len() == 2 && variant[1] == "error";
    let by_kind = says(&variant).filter(|_| is_alone);
    by_kind.or_else(|| {
        let texts = std::iter::once(&error.message).chain(&error.chain).filter(|text| text.len() <= LONGEST);
        let clauses = texts.flat_map(|text| text.split(|c: char| CLAUSES.contains(&c)).map(words));
        let is_about_it =
            |words: &Vec<String>| words.len() == 1 || words.iter().any(|word| USED.contains(&word.as_str()));
        let cut = || clauses.clone().any(|words| has_any(&words, &CUT)).then_some(Stopped::Cut);
        clauses.clone().filter(is_about_it).find_map(|words| says(&words)).or_else(cut)
    })
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
    "dlq",
    "quarantine",
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
    "reverse",
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
        matches!(
            (pair[0].as_str(), pair[1].as_str()),
            ("roll" | "put", "back") | ("tear", "down") | ("dead", "letter")
        )
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
    if has(REMOVING) {
        return has(SCRATCH) || before.take(NEAR).any(is_about_the_same);
    }
    // What is called after the opposite of an earlier step undoes it: to disconnect, what was connected.
    let opposite = |word: &String| {
        let rest = OPPOSITE.iter().find_map(|prefix| word.strip_prefix(prefix));
        rest.filter(|rest| rest.len() > 2).map(str::to_owned)
    };
    let of_a_pair = |word: &String| {
        let pair = PAIRS.iter().find(|(back, _)| word == back);
        pair.map(|(_, forth)| (*forth).to_owned())
    };
    let opposites: Vec<String> =
        own.iter().flat_map(|word| opposite(word).into_iter().chain(of_a_pair(word))).collect();
    !opposites.is_empty()
        && before.take(NEAR).any(|name| words(name).iter().any(|word| opposites.contains(word)))
}

/// With what a word begins that means the opposite of the rest of it.
const OPPOSITE: [&str; 3] = ["dis", "un", "de"];
/// Other words that mean the opposite of each other: the first undoes what the second did.
const PAIRS: [(&str, &str); 3] = [("down", "up"), ("decrement", "increment"), ("decrease", "increase")];
/// How many steps before it are looked at for what a step undoes.
const NEAR: usize = 64;

/// Whether a step of this name may tell somebody of what went well, too.
pub(super) fn may_be_good_news(name: &str) -> bool {
    words(name).iter().any(|word| TELLING.contains(&word.as_str()))
}

/// Whether the words of a text have all those of the name of a step among them, in a row and in whatever form: `rolled back` names `stage:roll-back`.
pub(super) fn names_step(text: &[String], name: &str) -> bool {
    let mut said = words(name);
    if said.first().is_some_and(|area| AREAS.contains(&area.as_str())) {
        said.remove(0);
    }
    let is_form_of = |(word, part): (&String, &String)| {
        is_akin(word, part) || part.len() >= FORM && word.starts_with(part.as_str())
    };
    let length = said.len();
    length > 0 && text.windows(length).any(|row| row.iter().zip(&said).all(is_form_of))
}

/// How long a word has to be of which a longer one is a form: `moved` is one of `move`.
const FORM: usize = 4;

/// Whether two words are the same, or begin as `reserve` and `reservation` do.
fn is_akin(one: &str, other: &str) -> bool {
    const STEM: usize = 6;
    one == other || one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count() >= STEM
}

/// The words of a name or a text, in lower case: `stage:cleanUp-tmp` has `stage`, `clean`, `up` and `tmp`.
pub(super) fn words(text: &str) -> Vec<String> {
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
    use super::super::vague;
    use super::*;

    fn error(message: &str, chain: &[&str]) -> ErrorInfo {
        ErrorInfo {
            kind: "E".into(),
            message: message.to_owned().into(),
            chain: chain.iter().map(|text| (*text).to_owned().into()).collect(),
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
            "",
        ] {
            assert_eq!(stopped(&error(other, &[])), None, "{other}");
        }
        for kind in ["ShopError::OrderCancelled", "AccountClosed", "error"] {
            assert_eq!(stopped(&of_kind(kind)), None, "{kind}");
        }
    }

    #[test]
    fn the_documentation_has_the_words_that_decide() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/explain.md");
        let page = std::fs::read_to_string(page).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        for list in vague::LISTS
            .iter()
            .copied()
            .chain([
                AFTERMATH, &TELLING, &CLEANING, &CANCELLED, &GONE, &USED, &CUT, &OPPOSITE, REMOVING, SCRATCH,
            ])
            .chain([&TIME_OUT[..], &BUDGETED, &USED_UP])
        {
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
            ("order 7 could not be priced", "stage:price"),
        ] {
            let name = name.strip_prefix("queue:").unwrap_or(name);
            assert!(names_step(&words(text), name), "{text} / {name}");
        }
        for (text, name) in [
            ("import failed", "stage:import-customers"),
            ("the back was rolled", "stage:roll-back"),
            ("could not proceed", "stage:pro"),
            ("order failed", "stage"),
            ("", "stage:charge"),
        ] {
            assert!(!names_step(&words(text), name), "{text} / {name}");
        }
    }

    #[test]
    fn steps_that_clean_up_are_known_by_their_names() {
        let before = ["stage:create-bucket", "stage:load", "vm:start", "stage:reserve-seats", "db:connect"];
        for name in [
            "stage:cleanup",
            "stage:cleanUpFiles",
            "fs:roll-back",
            "stage:delete-bucket",
            "fs:remove-tmp",
            "stage:rm-bucket",
            "vm:stop",
            "stage:release-reservation",
            "db:disconnect",
        ] {
            assert!(is_aftermath(name, "order", before.into_iter()), "{name}");
        }
        for name in [
            "stage:delete-account",
            "stage:load",
            "stage:deliver",
            "stage:disable-user",
            "stage:close",
            "stage:refund",
        ] {
            assert!(!is_aftermath(name, "order", before.into_iter()), "{name}");
        }
        assert!(!is_aftermath("stage:cleanup", "cleanup-of-accounts", before.into_iter()));
    }
}
