//! Whether an error says why.

use std::borrow::Cow;

use super::words::{length_if_first, words};
use crate::ErrorInfo;

/// Words that end a clause which says that something failed, and not why.
const FAILED: [&str; 27] = [
    "fail",
    "failed",
    "fails",
    "failure",
    "errored",
    "aborted",
    "stopped",
    "unsuccessful",
    "unavailable",
    "unreachable",
    "incomplete",
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
const NOT_DONE: [&str; 39] = [
    "failed to",
    "unable to",
    "not able to",
    "could not",
    "couldn t",
    "cannot",
    "can not",
    "can t",
    "did not complete",
    "did not finish",
    "didn t complete",
    "didn t finish",
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
    "not created",
    "not provisioned",
    "not deployed",
    "not processed",
    "not generated",
    "not rendered",
    "not imported",
    "not exported",
    "not uploaded",
    "not published",
    "not migrated",
];
/// A clause of these words alone says nothing.
const SAYS_NOTHING: [&str; 81] = [
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
    "client",
    "upstream",
    "transport",
    "connection",
    "request",
    "response",
    "for",
    "url",
    "from",
    "with",
    "code",
    "message",
    "details",
    "metadata",
    "map",
    "headers",
    "process",
    "command",
    "exit",
    "exited",
    "non",
    "zero",
    "returned",
    "responded",
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
/// With one of these, `with`, and nothing that says more, a clause says how something ended: `the job ended with code 3`.
const ENDED: [&str; 7] = ["ended", "exited", "finished", "completed", "terminated", "returned", "responded"];
/// Nouns at whose end a clause of few words says that something failed: `database error`.
const NAMES_IT: [&str; 3] = ["error", "exception", "fault"];
/// How many words such a clause has at most.
const FEW: usize = 3;
/// With one of these after `error`, or a word that ends with `ing`, a clause says what was being done: `error sending request`.
const MEANWHILE: [&str; 8] = ["while", "when", "during", "on", "in", "from", "returned", "occurred"];
/// How many words a clause has at most that says nothing.
const SHORT: usize = 12;
/// What fails for a reason of its own, and not because of what was called.
const COMPUTING: [&str; 25] = [
    "parse",
    "decode",
    "deserialize",
    "deserialise",
    "convert",
    "divide",
    "validate",
    "compute",
    "find",
    "validation",
    "parsing",
    "decoding",
    "deserializing",
    "converting",
    "syntax",
    "type",
    "format",
    "rounding",
    "logic",
    "authentication",
    "authorization",
    "permission",
    "because",
    "since",
    "due",
];

/// All of them, for the page that has them.
#[cfg(test)]
pub(super) const LISTS: [&[&str]; 8] =
    [&FAILED, &NOT_DONE, &SAYS_NOTHING, &ASIDE, &COMPUTING, &NAMES_IT, &MEANWHILE, &ENDED];

/// Whether an error says why something failed, and not only that it did: `provisioning failed`, `internal error`. One of its
/// clauses does then, or what is behind it.
pub fn says_why(error: &ErrorInfo) -> bool {
    let mut texts = std::iter::once(&error.message).chain(&error.chain);
    // A few words may stand anywhere; a text that has many is no list of clauses that say nothing.
    texts.any(|text| text.len() > LONGEST || !clauses(&without_addresses(text)).all(says_nothing))
}

/// Whether an error has nothing but words that are said of whatever failed: `internal error`, `exit status 1`, `failed`.
pub(super) fn may_be_said_of_anything(error: &ErrorInfo) -> bool {
    let mut texts = std::iter::once(&error.message).chain(&error.chain);
    texts.all(|text| {
        let words = if text.len() > LONGEST { return false } else { words(text) };
        words.iter().all(|word| is_empty(&&**word) || FAILED.contains(&&**word))
    })
}

/// The clauses of a text. A sign directly before a letter or a digit is a part of a word: `1.4.2`, `10:32`, `;drop`.
pub(super) fn clauses(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let ends = |(at, c): &(usize, char)| {
            let is_within_a_word = || text[at + c.len_utf8()..].starts_with(char::is_alphanumeric);
            CLAUSES.contains(c) && !(WITHIN_WORDS.contains(c) && is_within_a_word())
        };
        let Some((at, c)) = text.char_indices().find(ends) else { return rest.take() };
        rest = Some(&text[at + c.len_utf8()..]);
        Some(&text[..at])
    })
}

/// A text without the addresses in it, which say where something failed.
fn without_addresses(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '\'' | '`' | '<' | '>');
    let parts = text.split_inclusive(is_end).map(|part| match part.contains("://") {
        true => part.trim_start_matches(|c| !is_end(c)),
        false => part,
    });
    Cow::Owned(parts.collect())
}

/// What sets clauses apart.
pub(super) const CLAUSES: [char; 12] = [':', ';', ',', '.', '!', '(', ')', '[', ']', '"', '\n', '—'];
/// Those of them that may be in a word.
const WITHIN_WORDS: [char; 4] = [':', ';', ',', '.'];
/// Longer texts say something.
pub(super) const LONGEST: usize = 256;

/// Whether a clause says no more than that something failed.
pub(super) fn says_nothing(clause: &str) -> bool {
    let words = words(clause);
    let words: Vec<&str> = words.iter().map(|word| &**word).collect();
    let [first, rest @ ..] = words.as_slice() else { return !clause.contains(is_sign) };
    let is_aside = ASIDE.contains(first) && (rest.len() > 1 || rest.iter().any(is_number));
    let is_one_word = rest.is_empty() && !tells_by_itself(clause.trim());
    if words.len() > SHORT || words.iter().any(|word| COMPUTING.contains(word)) {
        return false;
    }
    is_one_word
        || is_aside
        || words.last().is_some_and(|last| FAILED.iter().any(|failed| ends_with_word(last, failed)))
        || words.len() <= FEW && words.last().is_some_and(|last| NAMES_IT.contains(last))
        || says_when(&words)
        || words.iter().all(is_empty)
        || says_how_it_ended(&words)
        || was_not_done(&words)
}

fn is_number(word: &&str) -> bool {
    word.contains(|c: char| c.is_ascii_digit())
}

/// Whether a word says nothing among others that say nothing.
fn is_empty(word: &&str) -> bool {
    SAYS_NOTHING.contains(word) || is_number(word)
}

/// Whether a clause says how something ended, and no more: `job 7 ended with code 3`.
fn says_how_it_ended(words: &[&str]) -> bool {
    let Some(with) = words.iter().position(|word| *word == "with") else { return false };
    let (ended, how) = (with.checked_sub(1).map(|before| words[before]), &words[with + 1..]);
    ended.is_some_and(|ended| ENDED.contains(&ended)) && !how.is_empty() && how.iter().all(is_empty)
}

/// Whether a clause says during what there was an error: `error sending request for url`.
fn says_when(words: &[&str]) -> bool {
    let words = if let ["a" | "an" | "the", rest @ ..] = words { rest } else { words };
    let ["error", next, ..] = words else { return false };
    next.len() > 4 && next.ends_with("ing") || MEANWHILE.contains(next)
}

/// Whether a clause says that something was not done: `it could not be read`. What cannot be so, as in `the price cannot be
/// negative`, or was not found, is a reason.
fn was_not_done(words: &[&str]) -> bool {
    NOT_DONE.iter().any(|part| {
        let mut after = (0..words.len()).filter_map(|at| Some(at + length_if_first(&words[at..], part)?));
        after.any(|after| match words[after..] {
            ["be", what] => is_participle(what) || part.starts_with("could") && what != "found",
            ["be", what, ..] => is_participle(what),
            _ => true,
        })
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
    has_no_spaces(word) || is_code() || is_participle(&word.to_lowercase())
}

fn is_participle(word: &str) -> bool {
    word.len() > 4 && (word.ends_with("ed") || word.ends_with("en"))
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
    fn what_is_said_of_whatever_failed_has_no_word_of_its_own() {
        for text in ["internal error", "exit status 1", "failed", "2", "an unknown error has occurred", ""] {
            assert!(may_be_said_of_anything(&error(text, &[])), "{text}");
        }
        for text in ["duplicate", "provisioning failed", "could not load the catalogue", "not found"] {
            assert!(!may_be_said_of_anything(&error(text, &[])), "{text}");
            assert!(!may_be_said_of_anything(&error("failed", &[text])), "{text}");
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
            "tenant t-9 was not provisioned",
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
            // What libraries say of an error whose source was lost.
            "error sending request for url (https://crm.example/v1/contacts?page=2)",
            "HTTP status server error (500 Internal Server Error) for url (https://crm.example/v1)",
            "error trying to connect",
            "client error (Connect)",
            "connection error",
            "transport error",
            "service error",
            "dispatch failure",
            "unhandled error",
            "error communicating with database",
            "error returned from database",
            "status: Internal, message: \"internal error\", details: [], metadata: MetadataMap { headers: {} }",
            "code: 'The service is currently unavailable', message: \"\"",
            "process exited with code 1",
            "exit status: 101",
            "database error",
            "failed to charge",
            "could not reach the carrier",
            "error while importing rows",
            "an error occurred during the import",
            "importing failed",
            "can't process order 7",
            "the order can not be processed",
            "the broker is unreachable",
            "upstream responded with status 503",
            "the migration did not complete",
            "could not load the configuration of the shop for tenant 42",
            "release 1.4.2 was not published",
            "document 12 could not be read",
            "projection stopped",
            "job started at 10:32:07.123 failed",
            "job 7 ended with code 3",
            "ffmpeg exited with an error",
            "failed to render annual report.v2.pdf",
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
            "error decoding response body",
            "HTTP status client error (404 Not Found) for url (https://crm.example/v1)",
            "connection closed before message completed",
            "broken pipe",
            "entity not found",
            "unexpected end of file",
            "missing field `price` at line 1 column 40",
            "invalid type: null, expected a string at line 3 column 7",
            "EOF while parsing a value at line 1 column 0",
            "pool timed out while waiting for an open connection",
            "deadline has elapsed",
            "channel closed",
            "no rows returned by a query that expected to return at least one row",
            "error returned from database: duplicate key value violates unique constraint \"uq\"",
            "unhandled error (AccessDenied)",
            "ApiError: pods \"web-0\" not found: NotFound",
            "An error was signalled by the server - Moved: 3999 127.0.0.1:6381",
            "code: 'Some requested entity was not found', message: \"offer 7\"",
            "syntax error at or near \"FROM\"",
            "validation error",
            "the price cannot be negative",
            "could not find user 42",
            "user 42 could not be found",
            "failed to ship because the address is empty",
            "the auction ended with a bid of 3",
            "card declined with code 51",
        ] {
            assert!(says_why(&error(telling, &[])), "{telling}");
        }
        assert!(says_why(&error("loading failed", &["no such file"])));
        assert!(!says_why(&error("checkout failed", &["internal error"])));
    }
}
