//! [`RedactionError`]: why a redactor cannot be built.

use crate::marker::LONGEST_NAME;

/// Below this a payload would be little more than marks.
pub(crate) const LEAST_PAYLOAD_LIMIT: usize = 256;
/// Pseudonyms of e-mail addresses under a shorter key could be undone by trial.
pub(crate) const LEAST_PSEUDONYM_KEY: usize = 16;

/// Why a [`Redaction`](crate::Redaction) cannot be built. Each message says how to fix it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactionError {
    /// A pattern is not a valid regular expression.
    #[error(
        "invalid redaction pattern `{name}`: correct the regular expression, which has the syntax of the crate `regex` without look-around and back-references: {source}"
    )]
    Pattern {
        /// The pattern's name.
        name: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// The name of a pattern cannot be part of a mark such as `[redacted:name]`.
    #[error(
        "invalid redaction pattern name `{name}`: use 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`, as in `loan-number`"
    )]
    PatternName {
        /// The name.
        name: String,
    },
    /// A key has no letters or digits.
    #[error("invalid redaction key `{key}`: it needs letters or digits, as in `loan officer`")]
    Key {
        /// The key.
        key: String,
    },
    /// The keys are too many or too long.
    #[error("there are too many redaction keys, or they are too long: {source}")]
    Keys {
        /// What is wrong underneath.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The pseudonym key is too short.
    #[error("pseudonym_key must have at least {LEAST_PSEUDONYM_KEY} random bytes, got {given}")]
    PseudonymKey {
        /// How many bytes were given.
        given: usize,
    },
    /// The payload limit is too small.
    #[error("payload_limit must be at least {LEAST_PAYLOAD_LIMIT} bytes, got {given}")]
    PayloadLimit {
        /// How many bytes were given.
        given: usize,
    },
}
