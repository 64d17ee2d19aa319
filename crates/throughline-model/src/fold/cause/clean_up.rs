//! What the names of steps and the texts of errors say of cleaning up, and of telling somebody.

use super::words::{AREAS, Word, is_akin, words};
use crate::ErrorInfo;

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
/// Those of them that are as often the work itself: customers are notified of what went well, tickets are escalated.
const TELLING: [&str; 5] = ["notify", "notification", "warn", "inform", "escalate"];
/// Those of them that say that something is taken back, as nothing is that went well.
const TAKING_BACK: [&str; 5] = ["undo", "rollback", "revert", "compensate", "unwind"];
/// Words of errors about cleaning up.
const CLEANING: [&str; 8] =
    ["clean", "cleanup", "cleaning", "rollback", "undo", "undoing", "teardown", "unwinding"];

/// Whether an error says that something failed while it was cleaned up.
pub(super) fn is_said_by(error: &ErrorInfo) -> bool {
    let words = words(&error.message);
    let is_back = |pair: &[Word<'_>]| {
        matches!((&*pair[0], &*pair[1]), ("roll" | "rolling", "back") | ("tear" | "tearing", "down"))
    };
    words.iter().any(|word| CLEANING.contains(&&**word)) || words.windows(2).any(is_back)
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
/// Words in the names of steps that make or take something which has to be put right if what comes after it fails.
const MAKING: &[&str] = &[
    "create",
    "make",
    "mk",
    "mkdir",
    "new",
    "open",
    "start",
    "launch",
    "spawn",
    "boot",
    "begin",
    "acquire",
    "take",
    "hold",
    "lock",
    "lease",
    "claim",
    "reserve",
    "reservation",
    "book",
    "booking",
    "allocate",
    "mount",
    "attach",
    "connect",
    "join",
    "register",
    "subscribe",
    "install",
    "provision",
    "deploy",
    "enable",
    "activate",
    "add",
    "insert",
    "put",
    "upload",
    "charge",
    "debit",
    "post",
    "grant",
    "increment",
    "increase",
    "up",
];

/// Whether a step of this name puts something right, or tells somebody, after something has gone wrong; `work` is the name
/// of what it is a part of, `before` are those of the steps before it.
pub(super) fn is_aftermath(name: &str, work: &str, before: &mut dyn Iterator<Item = &str>) -> bool {
    is_named_so(name, work, before, |_| true)
}

/// Whether a step of this name cleans up, and hardly does anything else: what it undoes was made by a step before it.
pub(super) fn cleans_up(name: &str, work: &str, before: &mut dyn Iterator<Item = &str>) -> bool {
    let may_be_good_news = || words(name).iter().any(|word| TELLING.contains(&&**word));
    let makes = |words: &[Word<'_>]| words.iter().any(|word| MAKING.contains(&&**word));
    is_named_so(name, work, before, makes) && !may_be_good_news()
}

/// Whether a step of this name takes back what had been done.
pub(super) fn takes_back(name: &str, work: &str, _before: &mut dyn Iterator<Item = &str>) -> bool {
    let around = words(work);
    let own: Vec<Word<'_>> = words(name).into_iter().filter(|word| !around.contains(word)).collect();
    own.iter().any(|word| TAKING_BACK.contains(&&**word))
        || own.windows(2).any(|pair| pair[0] == "roll" && pair[1] == "back")
}

/// `may_be_undone` says of the words of an earlier step whether a step of this name may undo it.
fn is_named_so(
    name: &str,
    work: &str,
    before: &mut dyn Iterator<Item = &str>,
    may_be_undone: impl Fn(&[Word<'_>]) -> bool,
) -> bool {
    // What the work around it is called after is the work itself: of a refund, to refund.
    let around = words(work);
    let own: Vec<Word<'_>> = words(name).into_iter().filter(|word| !around.contains(word)).collect();
    let has = |of: &[&str]| own.iter().any(|word| of.contains(&&**word));
    let rolls_back = own.windows(2).any(|pair| {
        matches!((&*pair[0], &*pair[1]), ("roll" | "put", "back") | ("tear", "down") | ("dead", "letter"))
    });
    if has(AFTERMATH) || rolls_back {
        return true;
    }
    let is_thing = |word: &str| word.len() > 1 && !REMOVING.contains(&word) && !AREAS.contains(&word);
    let is_about_the_same = |name: &str| {
        let other = words(name);
        let makes = !other.iter().any(|word| REMOVING.contains(&&**word)) && may_be_undone(&other);
        makes
            && own
                .iter()
                .filter(|word| is_thing(word))
                .any(|thing| other.iter().any(|other| is_akin(thing, other)))
    };
    if has(REMOVING) {
        return has(SCRATCH) || before.take(NEAR).any(is_about_the_same);
    }
    // What is called after the opposite of an earlier step undoes it: to disconnect, what was connected.
    fn opposite(word: &str) -> Option<&str> {
        let rest = OPPOSITE.iter().find_map(|prefix| word.strip_prefix(prefix));
        rest.filter(|rest| rest.len() > 2)
    }
    let of_a_pair = |word: &str| PAIRS.iter().find(|(back, _)| word == *back).map(|(_, forth)| *forth);
    let opposites: Vec<&str> =
        own.iter().flat_map(|word| opposite(word).into_iter().chain(of_a_pair(word))).collect();
    let is_opposite = |name: &str| {
        let other = words(name);
        other.iter().any(|word| opposites.contains(&&**word)) && may_be_undone(&other)
    };
    !opposites.is_empty() && before.take(NEAR).any(is_opposite)
}

/// With what a word begins that means the opposite of the rest of it.
const OPPOSITE: [&str; 3] = ["dis", "un", "de"];
/// Other words that mean the opposite of each other: the first undoes what the second did.
const PAIRS: [(&str, &str); 3] = [("down", "up"), ("decrement", "increment"), ("decrease", "increase")];
/// How many steps before it are looked at for what a step undoes.
const NEAR: usize = 64;

/// All of them, for the page that has them.
#[cfg(test)]
pub(super) const LISTS: [&[&str]; 8] =
    [AFTERMATH, &TELLING, &TAKING_BACK, &CLEANING, &OPPOSITE, REMOVING, SCRATCH, MAKING];

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(is_aftermath(name, "order", &mut before.into_iter()), "{name}");
        }
        for name in [
            "stage:delete-account",
            "stage:load",
            "stage:deliver",
            "stage:disable-user",
            "stage:close",
            "stage:refund",
        ] {
            assert!(!is_aftermath(name, "order", &mut before.into_iter()), "{name}");
        }
        assert!(!is_aftermath("stage:cleanup", "cleanup-of-accounts", &mut before.into_iter()));
    }

    #[test]
    fn a_step_that_takes_something_back_says_that_something_had_failed() {
        for name in ["stage:rollback", "db:roll-back", "stage:revertOrder", "stage:undo"] {
            assert!(takes_back(name, "order", &mut std::iter::empty()), "{name}");
        }
        for name in ["stage:cleanup", "stage:notify", "fs:remove-tmp", "stage:roll-out"] {
            assert!(!takes_back(name, "order", &mut std::iter::empty()), "{name}");
        }
        assert!(!takes_back("stage:rollback", "rollback-of-releases", &mut std::iter::empty()));
    }

    #[test]
    fn a_step_undoes_for_certain_only_what_was_made_before_it() {
        let before =
            ["stage:create-bucket", "stage:load-books", "stage:write-notes", "stage:load", "db:connect"];
        for name in ["stage:cleanup", "stage:delete-bucket", "fs:remove-tmp", "db:disconnect"] {
            assert!(cleans_up(name, "order", &mut before.into_iter()), "{name}");
        }
        for name in
            ["stage:close-books", "stage:release-notes", "stage:unload", "stage:escalate", "stage:warn"]
        {
            assert!(is_aftermath(name, "order", &mut before.into_iter()), "{name}");
            assert!(!cleans_up(name, "order", &mut before.into_iter()), "{name}");
        }
    }
}
