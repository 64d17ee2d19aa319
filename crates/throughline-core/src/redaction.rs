//! Redaction: personal data and credentials are taken out of every event, in one pass, before it leaves.
//!
//! What is looked at: the **keys** that values stand under, in any spelling; the **text** wherever an event
//! has any; and the **size** of payloads.

mod addresses;
mod assign;
mod elements;
mod fold;
mod iban;
mod keys;
mod limit;
mod marker;
mod memo;
mod numbers;
mod payload;
mod pseudonym;
mod redactor;
mod scan;
mod survey;
mod tokens;
mod values;
mod words;

use std::fmt;

use keys::Keys;
use pseudonym::Pseudonyms;
pub use redactor::Redactor;
use scan::{Pattern, Scanner};

/// The payload limit unless said otherwise, in bytes.
const PAYLOAD_LIMIT: usize = 64 * 1024;
/// Below this a payload would be little more than marks.
const LEAST_PAYLOAD_LIMIT: usize = 256;
/// Pseudonyms of e-mail addresses under a shorter key could be undone by trial.
const LEAST_PSEUDONYM_KEY: usize = 16;

/// Describes what must not leave the process.
///
/// Telling keys and telling texts are denied by default. IP addresses, user ids and session ids are kept: they are
/// what people look for when something went wrong. Add them with [`key`](Self::key) where they must go.
///
/// ```
/// use throughline_core::Redaction;
///
/// let redactor = Redaction::standard().key("loan officer").build()?;
/// assert_eq!(redactor.text("mail to ada@example.org failed"), "mail to [redacted:email] failed");
///
/// let mut data = serde_json::Map::from_iter([("LOAN_OFFICER".to_owned(), "Ada".into())]);
/// redactor.payload(&mut data);
/// assert_eq!(data["LOAN_OFFICER"], "[redacted]");
/// # Ok::<(), throughline_core::RedactionError>(())
/// ```
#[derive(Clone)]
pub struct Redaction {
    keys: Vec<String>,
    allowed: Option<Vec<String>>,
    patterns: Vec<(String, String)>,
    pseudonym_key: Option<Vec<u8>>,
    payload_limit: usize,
}

impl Redaction {
    /// What banks, hospitals and software services keep to themselves.
    ///
    /// By their **keys**: passwords, tokens and other credentials; numbers of cards, accounts and documents; names,
    /// addresses, birth dates; diagnoses and medication. Keys are judged by their words: `cardPIN` is telling,
    /// `shipping` is not. By their **shape**, under any key and in any text: card numbers, US social security
    /// numbers, IBANs, e-mail addresses, JSON Web Tokens, what follows `Bearer` and `Basic`, API keys of well-known
    /// services, private keys, passwords in URLs, and values after a telling key as in `password=…`.
    pub fn standard() -> Self {
        Self {
            keys: Vec::new(),
            allowed: None,
            patterns: Vec::new(),
            pseudonym_key: None,
            payload_limit: PAYLOAD_LIMIT,
        }
    }

    /// One more telling key. `loan officer` stands for `loanOfficer`, `LOAN_OFFICER` and
    /// `branch-loan-officer-2` too.
    #[must_use]
    pub fn key(mut self, name: impl Into<String>) -> Self {
        self.keys.push(name.into());
        self
    }

    /// Turns to an allow-list: in `data` only values under these keys, in any spelling, stay readable, and with
    /// an object or a list all in it; of the rest the structure is kept. Text is still looked at, but a key that
    /// is named here is kept even if it is telling. Called again, it adds to the list.
    #[must_use]
    pub fn allow_only<I, S>(mut self, keys: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.allowed.get_or_insert_default().extend(keys.into_iter().map(Into::into));
        self
    }

    /// One more telling shape, as a regular expression of the crate [`regex`](https://docs.rs/regex). What it
    /// matches becomes `[redacted:name]`. It is tried on every text, which costs.
    #[must_use]
    pub fn pattern(mut self, name: impl Into<String>, regex: impl Into<String>) -> Self {
        self.patterns.push((name.into(), regex.into()));
        self
    }

    /// The secret of at least 16 bytes that pseudonyms are made with. With it, what is telling and must stay
    /// findable (`correlation_id`, attributes, tags) becomes a pseudonym, the same for the same text; without it, a
    /// mark. Whoever knows the secret can find out by trial what a pseudonym stands for.
    #[must_use]
    pub fn pseudonym_key(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.pseudonym_key = Some(secret.as_ref().to_vec());
        self
    }

    /// How many bytes the JSON of a payload may have, at least 256; 64 KiB unless said otherwise. What is beyond is
    /// cut, the largest values first, with marks that say how much.
    #[must_use]
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload_limit = bytes;
        self
    }

    /// Makes the redactor.
    ///
    /// # Errors
    /// When a pattern is no regular expression or its name can't stand in a mark, a key has no letters or digits,
    /// the pseudonym key is too short, or the payload limit too small.
    pub fn build(&self) -> Result<Redactor, RedactionError> {
        if self.payload_limit < LEAST_PAYLOAD_LIMIT {
            return Err(RedactionError::PayloadLimit { given: self.payload_limit });
        }
        let pseudonyms = match &self.pseudonym_key {
            Some(secret) if secret.len() < LEAST_PSEUDONYM_KEY => {
                return Err(RedactionError::PseudonymKey { given: secret.len() });
            }
            Some(secret) => Pseudonyms::new(secret),
            None => None,
        };
        let keys = Keys::new(&self.keys.iter().map(|key| compact(key)).collect::<Result<Vec<_>, _>>()?)
            .map_err(|source| RedactionError::Keys { source: Box::new(source) })?;
        let allowed = match &self.allowed {
            Some(keys) => Some(keys.iter().map(|key| compact(key)).collect::<Result<_, _>>()?),
            None => None,
        };
        let patterns =
            self.patterns.iter().map(|(name, regex)| pattern(name, regex)).collect::<Result<_, _>>()?;
        Ok(Redactor::new(Scanner::new(keys, patterns), allowed, pseudonyms, self.payload_limit))
    }
}

fn compact(key: &str) -> Result<String, RedactionError> {
    let compact = keys::compact(key);
    if compact.is_empty() { Err(RedactionError::Key { key: key.to_owned() }) } else { Ok(compact) }
}

fn pattern(name: &str, regex: &str) -> Result<Pattern, RedactionError> {
    if !marker::is_name(name) {
        return Err(RedactionError::PatternName { name: name.to_owned() });
    }
    match regex::Regex::new(regex) {
        Ok(regex) => Ok(Pattern { regex, mark: marker::of_pattern(name) }),
        Err(source) => Err(RedactionError::Pattern { name: name.to_owned(), source: Box::new(source) }),
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self::standard()
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction")
            .field("keys", &self.keys)
            .field("allowed", &self.allowed)
            .field("patterns", &self.patterns)
            .field("pseudonym_key", &self.pseudonym_key.as_ref().map(|_| marker::REDACTED))
            .field("payload_limit", &self.payload_limit)
            .finish()
    }
}

/// Why a [`Redaction`] can't be used as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactionError {
    /// A pattern is no regular expression.
    #[error(
        "the redaction pattern `{name}` is no regular expression of the crate regex, which has no look-around and no back-references; mend it: {source}"
    )]
    Pattern {
        /// The pattern's name.
        name: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// The name of a pattern can't stand in a mark.
    #[error(
        "`{name}` can't name a redaction pattern: use 1 to 40 letters, digits, `-`, `_` and `.`, as in `loan-number`"
    )]
    PatternName {
        /// The name.
        name: String,
    },
    /// A key has no letters or digits.
    #[error("`{key}` can't be a redaction key: give it letters or digits, as in `loan officer`")]
    Key {
        /// The key.
        key: String,
    },
    /// The keys are too many or too long.
    #[error("the redaction keys are too many or too long; give fewer: {source}")]
    Keys {
        /// What is wrong underneath.
        source: throughline_model::BoxError,
    },
    /// The pseudonym key is too short.
    #[error(
        "a pseudonym key of {given} bytes can be guessed: give .pseudonym_key(..) at least {LEAST_PSEUDONYM_KEY} random bytes"
    )]
    PseudonymKey {
        /// How many bytes were given.
        given: usize,
    },
    /// The payload limit is too small.
    #[error(
        "a payload limit of {given} bytes leaves room for little but marks: give .payload_limit(..) at least {LEAST_PAYLOAD_LIMIT}"
    )]
    PayloadLimit {
        /// How many bytes were given.
        given: usize,
    },
}

#[cfg(test)]
mod tests;
