//! Whether an error says why.

use super::words::words;
use crate::ErrorInfo;

/// Words that end a clause which says that something failed, and not why.
const FAILED: [&str; 24] = [
    "fail",
    "failed",
    "fails",
    "failure",
    "errored",
    "aborted",
    "unsuccessful",
    "unavailable",
    "died",
    "crashed",
    "fehlgeschlagen",
    "gescheitert",
    "misslungen",
    "échoué",
    "échouée",
    "échec",
    "falló",
    "fallado",
    "fallito",
    "fallita",
    "falhou",
    "mislukt",
    "失败",
    "失敗しました",
];
/// Words with which a clause says what was not done, and not why.
const NOT_DONE: [&str; 22] = [
    "failed to",
    "unable to",
    "not able to",
    "could not",
    "couldn t",
    "cannot",
    "gave up",
    "giving up",
    "konnte nicht",
    "konnten nicht",
    "kann nicht",
    "nicht möglich",
    "impossible de",
    "n a pas pu",
    "n ont pas pu",
    "échec de",
    "no se pudo",
    "no se puede",
    "no pudo",
    "impossibile",
    "foi possível",
    "kon niet",
];
/// A clause of these words alone says nothing.
const SAYS_NOTHING: [&str; 57] = [
    "a",
    "an",
    "the",
    "some",
    "there",
    "was",
    "is",
    "has",
    "occurred",
    "happened",
    "something",
    "went",
    "wrong",
    "error",
    "errors",
    "problem",
    "exception",
    "fault",
    "issue",
    "reason",
    "unknown",
    "unexpected",
    "unhandled",
    "internal",
    "generic",
    "server",
    "service",
    "unavailable",
    "bad",
    "gateway",
    "http",
    "status",
    "ein",
    "eine",
    "es",
    "ist",
    "interner",
    "unbekannter",
    "unerwarteter",
    "fehler",
    "aufgetreten",
    "etwas",
    "ging",
    "schief",
    "une",
    "erreur",
    "interne",
    "inconnue",
    "est",
    "survenue",
    "un",
    "ha",
    "ocurrido",
    "interno",
    "desconocido",
    "algo",
    "mal",
];
/// A clause that begins with one of these asks for something, or says where more is to be found.
const ASIDE: [&str; 11] =
    ["please", "try", "retry", "see", "contact", "check", "id", "ref", "reference", "request", "trace"];
/// How many words a clause has at most that says nothing.
const SHORT: usize = 8;
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

/// All of them, for the page that has them.
#[cfg(test)]
pub(super) const LISTS: [&[&str]; 5] = [&FAILED, &NOT_DONE, &SAYS_NOTHING, &ASIDE, &COMPUTING];

/// Whether an error says why something failed, and not only that it did: `provisioning failed`, `internal error`. One of its
/// clauses does then, or what is behind it.
pub fn says_why(error: &ErrorInfo) -> bool {
    let texts = || std::iter::once(&error.message).chain(&error.chain);
    let clauses = || texts().flat_map(|text| text.split(|c: char| CLAUSES.contains(&c)));
    // A few words may stand anywhere; a text that has many is no list of clauses that say nothing.
    texts().any(|text| text.len() > LONGEST) || !clauses().all(says_nothing)
}

/// What sets clauses apart.
pub(super) const CLAUSES: [char; 12] = [':', ';', ',', '.', '!', '(', ')', '[', ']', '"', '\n', '—'];
/// Longer texts say something.
pub(super) const LONGEST: usize = 256;

/// Whether a clause says no more than that something failed.
pub(super) fn says_nothing(clause: &str) -> bool {
    let words = words(clause);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [first, rest @ ..] = words.as_slice() else { return !clause.contains(is_sign) };
    let is_number = |word: &&str| word.contains(|c: char| c.is_ascii_digit());
    let is_aside = ASIDE.contains(first) && (rest.len() > 1 || rest.iter().any(is_number));
    let is_one_word = rest.is_empty() && !tells_by_itself(clause.trim());
    if words.len() > SHORT || words.iter().any(|word| COMPUTING.contains(word)) {
        return false;
    }
    is_one_word
        || is_aside
        || words.last().is_some_and(|last| FAILED.iter().any(|failed| ends_with_word(last, failed)))
        || words.iter().all(|word| SAYS_NOTHING.contains(word) || is_number(word))
        || NOT_DONE.iter().any(|part| {
            let part: Vec<&str> = part.split(' ').collect();
            words.windows(part.len()).any(|window| window == part)
        })
}

/// Whether a word ends with another one, and is it if spaces would set them apart.
fn ends_with_word(word: &str, end: &str) -> bool {
    word == end || has_no_spaces(end) && word.ends_with(end)
}

/// Whether a text is in a script that has no spaces: that says a whole sentence in what looks like one word.
fn has_no_spaces(text: &str) -> bool {
    !text.contains(|c: char| c.is_lowercase() || c.is_uppercase())
}

/// Whether a word says something alone: what was done to somebody, as `forbidden` and `expired` do, the code of an error, as
/// `ECONNRESET`, or a sentence without spaces.
fn tells_by_itself(word: &str) -> bool {
    let is_code = || word.len() > 2 && !word.contains(|c: char| c.is_lowercase());
    let lower = word.to_lowercase();
    let is_participle = || lower.len() > 4 && (lower.ends_with("ed") || lower.ends_with("en"));
    has_no_spaces(word) || is_code() || is_participle()
}

/// Whether a character says something by itself: a sign of a script or of mathematics, not punctuation.
fn is_sign(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace()
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
            "oops",
            "Die Buchung ist fehlgeschlagen",
            "Die Buchung konnte nicht durchgeführt werden",
            "Es ist ein interner Fehler aufgetreten",
            "La commande a échoué",
            "No se pudo completar el pedido",
            "決済に失敗しました",
            "worker died",
            "ERROR",
            "order 7 could not be priced",
            "Something went wrong, please try again later.",
            "HTTP 500: Internal Server Error",
            "502 Bad Gateway",
            "we were not able to process your order",
            "order 7 failed (ref: 9f31c2)",
            "request failed: unknown",
            "gave up after 3 attempts",
            "checkout is temporarily unavailable",
            "job failed: see above for details",
            "Err(())",
            "",
        ] {
            assert!(!says_why(&error(vague, &[])), "{vague}");
        }
        for telling in [
            "schema version 3 is not supported",
            "card declined (insufficient funds)",
            "score below threshold",
            "failed to parse the manifest",
            "loading failed: no such file",
            "too many errors",
            "unknown country XX",
            "unexpected end of file",
            "customer 42 failed the credit check",
            "wrong password for user 42",
            "internal transfers are closed on Sunday",
            "quantity could exceed stock of 3",
            "seal of parcel 7 is broken",
            "failed to load config: no such file",
            "残高不足です",
            "Kontostand reicht nicht aus",
            "solde insuffisant",
            "Forbidden",
            "expired",
            "ECONNRESET",
        ] {
            assert!(says_why(&error(telling, &[])), "{telling}");
        }
        assert!(says_why(&error("loading failed", &["no such file"])));
        assert!(!says_why(&error("checkout failed", &["internal error"])));
    }
}
