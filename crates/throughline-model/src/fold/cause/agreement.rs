//! Whether an error is another one on its way up.

use std::borrow::Cow;

use super::vague::{CLAUSES, clauses, says_nothing};
use super::words::lower_case;
use crate::ErrorInfo;

/// How well the error of a span agrees with that of another which may have brought it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Agreement {
    /// One of its messages ends with the other's, as a part of the sentence: `failed with no such file`.
    Phrase,
    /// One of its messages is the other's, or has it as a clause: `loading: no such file`.
    Message,
    /// The innermost of its errors is the innermost of the other's.
    Innermost,
    /// The innermost error and the message are the same.
    Whole,
}

/// Texts longer than this are compared as a whole.
const SEARCHED: usize = 16 * 1024;

/// What is between an error and the one behind it where both are printed.
const SIGN: &str = ": ";

/// A clause that only a space sets apart from what is before it agrees if it has at least so many bytes: `was not found` is
/// not about the `not found` of another one.
const LONG_ENOUGH: usize = 12;

/// Whether the error of a span is that of another on its way up. No words are looked at, only where a text stands in another.
pub fn agreement(parent: &ErrorInfo, child: &ErrorInfo) -> Option<Agreement> {
    if parent.message == child.message && parent.chain == child.chain && !child.message.trim().is_empty() {
        return Some(Agreement::Whole);
    }
    let (outer, inner) = (Messages::of(parent), Messages::of(child));
    let (outer_core, inner_core) = (outer.innermost()?, inner.innermost()?);
    let same_core = joint(outer_core, inner_core).or_else(|| joint(inner_core, outer_core));
    // As `{:#}` prints an error with those behind it.
    let length = inner.0.iter().map(|text| text.len() + SIGN.len()).sum::<usize>() - SIGN.len();
    if inner.0.len() > 1 && outer.0.iter().any(|text| text.len() >= length) {
        let printed = inner.0.join(SIGN);
        if outer.0.iter().any(|text| joint(text, &printed) >= Some(Joint::Clause)) {
            return Some(Agreement::Whole);
        }
    }
    if outer.0.len() > 1 && inner.0.len() > 1 && same_core.is_none() {
        // Both say what is behind them, and that is not the same.
        return None;
    }
    let message = inner.0.first()?;
    if same_core == Some(Joint::Equal) && outer.0.contains(message) {
        return Some(Agreement::Whole);
    }
    if matches!(same_core, Some(Joint::Equal | Joint::Clause)) {
        return Some(Agreement::Innermost);
    }
    let best = outer.0.iter().filter_map(|text| joint(text, message)).max().max(same_core)?;
    Some(if best == Joint::Sentence { Agreement::Phrase } else { Agreement::Message })
}

/// Whether an error has the text of another in it by chance: that is a part of one of its texts, has few words, and the rest
/// of that text says why by itself.
pub fn may_be_chance(error: &ErrorInfo, other: &ErrorInfo) -> bool {
    let (outer, inner) = (Messages::of(error), Messages::of(other));
    let parts = || inner.0.first().into_iter().chain(inner.0.last());
    let pairs = || parts().flat_map(|part| outer.0.iter().map(move |text| (text, part)));
    // What the operating system says it says of everything.
    let has = |part: &str, least| words(part).count() >= least && !part.contains("(os error ");
    let is_by_itself = |part: &str| has(part, IN_A_ROW);
    let is_told = pairs().any(|(text, part)| text == part)
        || pairs().any(|(text, part)| {
            joint(text, part).is_some()
                && (is_by_itself(part)
                    || says_nothing(&text.replace(&**part, ""))
                    || is_enclosed(text, part) && has(part, ENCLOSED))
        });
    // One may have been unwrapped, so that it is a part of the other.
    let is_unwrapped = || pairs().any(|(text, part)| joint(part, text).is_some() && is_by_itself(text));
    !is_told && !is_unwrapped()
}

/// Whether a text has another in brackets or quotes: it was put there as a whole.
fn is_enclosed(text: &str, part: &str) -> bool {
    text.match_indices(part).any(|(at, _)| {
        let after = &text[at + part.len()..];
        text[..at].ends_with(['(', '[', '"', '`', '“', '«', '（', '「'])
            && after.starts_with([')', ']', '"', '`', '”', '»', '）', '」'])
    })
}

/// How many words in brackets are hardly in two errors by chance.
const ENCLOSED: usize = 3;

/// How many clauses of a text are looked at.
const LOOKED_AT: usize = 32;

/// How many words in a row are hardly in two errors by chance.
const IN_A_ROW: usize = 5;

/// Whether an error repeats something of another that is hardly there by chance: its variant as `{:?}` prints it, its code, all
/// of its message within a sentence, a clause of it, as where it was taken out of an answer, or several words in a row, as where
/// the end of a long message was cut off. By itself that is too little to say that it is the same.
pub(super) fn echoes(error: &ErrorInfo, other: &ErrorInfo) -> bool {
    let texts = || std::iter::once(&error.message).chain(&error.chain).filter(|text| text.len() <= SEARCHED);
    let variant = other.kind.rsplit("::").next().unwrap_or_default();
    if variant.len() > 3 && variant.starts_with(char::is_uppercase) && variant != "Error" {
        // No word of a sentence is written like `ManifestError`.
        let is_name = variant.contains(char::is_lowercase) && variant[1..].contains(char::is_uppercase);
        let is_printed = |text: &str| {
            text.match_indices(variant).any(|(at, _)| {
                let is_word = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                let after = &text[at + variant.len()..];
                is_word
                    && (after.is_empty()
                        || is_name && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                        || after.starts_with([' ', '(', '"', '`'])
                            && !after[1..].starts_with(char::is_alphabetic))
            })
        };
        if texts().any(|text| is_printed(text)) {
            return true;
        }
    }
    // What is a clause by itself is no part of the name of something: `E4711: passport expired`.
    let is_clause = |code: &&str| {
        other.message.split(|c: char| CLAUSES.contains(&c)).any(|clause| clause.trim() == *code)
    };
    let mut known = codes(&other.message).filter(is_clause);
    if known.any(|code| texts().any(|text| codes(text).any(|own| own == code))) {
        return true;
    }
    // As a part of a sentence it is there by chance only if it is short.
    let message = other.message_without_place().trim();
    let is_word_by_word = |text: &str| {
        text.match_indices(message).any(|(at, _)| {
            !text[..at].ends_with(char::is_alphanumeric)
                && !text[at + message.len()..].starts_with(char::is_alphanumeric)
        })
    };
    if message.len() >= LONG_ENOUGH
        && words(message).nth(1).is_some()
        && texts().any(|text| is_word_by_word(text))
    {
        return true;
    }
    // As much as that of it may have been taken out of an answer.
    let parts = |text| clauses(text).map(str::trim).take(LOOKED_AT);
    let is_telling =
        |part: &&str| part.len() >= LONG_ENOUGH && words(part).nth(1).is_some() && !says_nothing(part);
    let mut telling = parts(message).filter(is_telling);
    if telling.any(|part| texts().any(|text| parts(text).any(|own| own == part))) {
        return true;
    }
    let said: Vec<&str> = words(&other.message).collect();
    texts().any(|text| {
        let own: Vec<&str> = words(text).collect();
        own.windows(IN_A_ROW).any(|part| said.windows(IN_A_ROW).any(|other| part == other))
    })
}

/// The codes of errors in a text: capitals and at least three digits, as `E4711` and `ORA-00942`.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'));
    words.map(|word| word.trim_matches(['-', '_'])).filter(|word| {
        let digits = word.trim_start_matches(|c: char| c.is_ascii_uppercase() || matches!(c, '-' | '_'));
        digits.len() < word.len() && digits.len() > 2 && digits.bytes().all(|c| c.is_ascii_digit())
    })
}

/// The words of a text, of which only so many are looked at.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(64)
}

/// The messages of an error and of those behind it, the innermost last, in lower case.
struct Messages<'e>(Vec<Cow<'e, str>>);

impl<'e> Messages<'e> {
    fn of(error: &'e ErrorInfo) -> Self {
        let all = std::iter::once(error.message_without_place())
            .chain(error.chain.iter().map(|text| text.as_str()));
        let texts = all.map(|text| lower_case(text.trim().trim_end_matches(['.', '!', '。', '！'])));
        Self(texts.filter(|text| !text.is_empty()).collect())
    }

    fn innermost(&self) -> Option<&str> {
        self.0.last().map(|text| &**text)
    }
}

/// How a text stands in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Joint {
    /// It is the end of a sentence, and long enough not to be there by chance.
    Sentence,
    /// It is a clause: punctuation sets it apart on both sides, or it stands at the beginning or the end.
    Clause,
    /// It is all of it.
    Equal,
}

/// How a text has another in it, if it does. What stands in the middle of a sentence is a part of the sentence.
fn joint(whole: &str, part: &str) -> Option<Joint> {
    if whole == part {
        return Some(Joint::Equal);
    }
    // Preparing to search costs more than these texts are long.
    if part.is_empty() || part.len() > whole.len() || whole.len() > SEARCHED {
        return None;
    }
    let places = whole.match_indices(part).map(|(at, _)| (&whole[..at], &whole[at + part.len()..]));
    places.filter_map(|(before, after)| joint_between(before, after, part.len())).max()
}

fn joint_between(before: &str, after: &str, length: usize) -> Option<Joint> {
    let is_last = !after.contains(char::is_alphanumeric);
    if begins_a_clause(before, length) && (is_last && !after.starts_with(['_', '-']) || ends_a_clause(after))
    {
        return Some(Joint::Clause);
    }
    (is_last && before.ends_with(char::is_whitespace) && length >= LONG_ENOUGH).then_some(Joint::Sentence)
}

fn begins_a_clause(before: &str, length: usize) -> bool {
    let text = before.trim_end();
    let is_spaced = text.len() < before.len();
    match text.chars().next_back() {
        None
        | Some('(' | '[' | '{' | '"' | '\'' | '`' | '“' | '‘' | '«' | '„' | '「' | '『' | '（' | '【') => {
            true
        }
        Some('：' | '；' | '，' | '、' | '。' | '＝') => true,
        Some(':' | '=' | '>' | '|') => is_spaced || length >= LONG_ENOUGH,
        Some(';' | ',' | '-' | '–' | '—' | '.') => is_spaced,
        Some(_) => before.ends_with('\n'),
    }
}

fn ends_a_clause(after: &str) -> bool {
    let mut next = after.chars();
    match (next.next(), next.next()) {
        (Some(')' | ']' | '}' | '"' | '\'' | '`' | '”' | '’' | '»' | '“' | ';' | '\n'), _) => true,
        (Some('」' | '』' | '）' | '】' | '；' | '，' | '、' | '。' | '（'), _) => true,
        (Some(',' | '.'), next) => next.is_none_or(char::is_whitespace),
        (Some(' '), Some('(' | '[' | '–' | '—' | '-')) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(message: &str, chain: &[&str]) -> ErrorInfo {
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
            let found = agreement(&info(outer, outer_chain), &info(inner, inner_chain));
            assert_eq!(found, expected, "{outer} {outer_chain:?} / {inner} {inner_chain:?}");
        }
    }

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
            "scoring failed (the bureau did not answer)",
            "scoring failed: the bureau did not answer; giving up",
            "the bureau did not answer (attempt 3 of 3)",
            "Scoring(\"the bureau did not answer\")",
            "scoring failed — the bureau did not answer",
            "2 errors:\nthe bureau did not answer\nno cash",
        ] {
            assert_eq!(agrees(&[above], &below), Some(Agreement::Message), "{above}");
        }
        let sentence = ["scoring failed because the bureau did not answer."];
        assert_eq!(agrees(&sentence, &below), Some(Agreement::Phrase));
        let printed = ["scoring failed: the bureau did not answer: connection reset"];
        assert_eq!(agrees(&printed, &below), Some(Agreement::Whole));
        assert_eq!(agrees(&["outer: boom"], &["boom"]), Some(Agreement::Innermost));
        assert_eq!(agrees(&["task 7 panicked with message \"boom\""], &["boom"]), Some(Agreement::Innermost));
    }

    #[test]
    fn a_few_words_may_be_in_an_error_by_chance_unless_the_rest_of_it_says_nothing() {
        for (above, below) in [
            ("customer 42: not found", "not found"),
            ("customer 42 (not found)", "not found"),
            ("acquirer answered 504: timeout", "timeout"),
            ("acquirer.example:443: connection refused", "connection refused"),
            (
                "opening /etc/shop.toml: no such file or directory (os error 2)",
                "no such file or directory (os error 2)",
            ),
        ] {
            assert!(may_be_chance(&error(&[above]), &error(&[below])), "{above} / {below}");
        }
        for (above, below) in [
            (&["giving up: exit status 1"][..], &["exit status 1"][..]),
            (&["order failed: not found"], &["not found"]),
            (&["batch 7 was rejected (overflow in amount)"], &["overflow in amount"]),
            (&["lint", "not found"], &["not found"]),
            (&["customer 42", "not found"], &["loading", "not found"]),
            (&["agent 7 said: hunk 3 does not apply"], &["hunk 3 does not apply"]),
        ] {
            assert!(!may_be_chance(&error(above), &error(below)), "{above:?} / {below:?}");
        }
    }

    #[test]
    fn errors_agree_in_every_language() {
        for (above, below) in [
            ("Bestellung fehlgeschlagen: Karte abgelehnt", "Karte abgelehnt"),
            ("Die Bestellung scheiterte, weil Konto gesperrt ist", "Konto gesperrt ist"),
            ("Échec du paiement « carte refusée »", "carte refusée"),
            ("決済に失敗しました：接続が拒否されました", "接続が拒否されました"),
            ("エラー「残高不足」が発生しました", "残高不足"),
        ] {
            assert!(agrees(&[above], &[below]).is_some(), "{above} / {below}");
        }
        for (above, below) in [
            ("Schema 3 wurde nicht gefunden", "nicht gefunden in der Ablage"),
            ("スキーマが見つかりません", "見つかりません"),
        ] {
            assert_eq!(agrees(&[above], &[below]), None, "{above} / {below}");
        }
    }

    #[test]
    fn the_place_of_a_panic_is_no_part_of_its_text() {
        let panic = |message: &'static str| ErrorInfo {
            kind: crate::names::errors::PANIC.into(),
            message: message.into(),
            chain: Vec::new(),
        };
        let here = panic("no digits at src/parse.rs:8");
        assert_eq!(agreement(&panic("no digits"), &here), Some(Agreement::Whole));
        assert_eq!(agreement(&error(&["the parser ended: no digits"]), &here), Some(Agreement::Innermost));
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
        assert_eq!(agrees(&["a failed", "disk full"], &["a failed", "no memory"]), None);
        assert_eq!(agrees(&["b", "disk full"], &["a", "no memory"]), None);
    }

    #[test]
    fn an_error_echoes_another_by_its_variant_or_by_many_words_in_a_row() {
        let declined = ErrorInfo {
            kind: "PayError::Declined".into(),
            ..info("the card issuer declined the payment", &[])
        };
        for text in [
            "called `Result::unwrap()` on an `Err` value: Declined { code: 5 }",
            "payment failed: Declined(5)",
            "it ended in Declined",
            "task 17 panicked with message \"payment goes through: Declined { code: 5 }\"",
            "the card issuer declined the pay…",
            "customer 7 was refused because the card issuer declined the payment and no cash was there",
        ] {
            assert!(echoes(&info(text, &[]), &declined), "{text}");
            assert!(echoes(&info("joining", &[text]), &declined), "{text}");
        }
        for text in ["Declined orders are kept", "NotDeclined(5)", "the card issuer was away", "", "declined"]
        {
            assert!(!echoes(&info(text, &[]), &declined), "{text}");
        }
        assert!(!echoes(&info("error: error", &[]), &info("no answer", &[])));
        let invalid = ErrorInfo { kind: "ManifestError".into(), ..info("line 7 has a tab", &[]) };
        assert!(echoes(&info("ManifestError at line 7", &[]), &invalid));
        assert!(!echoes(&info("ManifestErrors of all tenants are kept", &[]), &invalid));
        let expired = info("KYC-E4711: passport expired", &[]);
        assert!(echoes(&info("customer was rejected with KYC-E4711", &[]), &expired));
        for other in ["customer 4711 was rejected", "rejected with KYC-E471", "E4711", "step-4711"] {
            assert!(!echoes(&info(other, &[]), &expired), "{other}");
        }
        assert!(!echoes(&info("no price for SKU-1234", &[]), &info("SKU-1234 is not in the cache", &[])));
        let answer = info(r#"{"error":"out of stock","sku":"A-7"}"#, &[]);
        assert!(echoes(&info("cannot reserve: out of stock", &[]), &answer));
        assert!(!echoes(&info("cannot reserve: the stock is locked", &[]), &answer));
    }
}
