//! Redaction of texts, JSON values and names: personal data and credentials are replaced before they reach a log,
//! a database or another service.
//!
//! [`Redaction`] describes what must not get out, and builds a [`Redactor`]. The redactor looks at the **keys** that
//! values stand under, in any spelling; at the **text** wherever there is any; and at the **size** of payloads.
//!
//! ```
//! use serde_json::json;
//! use throughline_redact::Redaction;
//!
//! let redactor = Redaction::standard().key("loan officer").build()?;
//!
//! // Text keeps what is around a secret.
//! assert_eq!(redactor.text("mail to ada@example.org failed"), "mail to [redacted:email] failed");
//! assert_eq!(redactor.text("GET /loans?api_key=x7&page=2"), "GET /loans?api_key=[redacted]&page=2");
//!
//! // JSON is redacted by key and by text, at any depth.
//! let mut payload = json!({
//!     "applicant": { "firstName": "Ada", "city": "London" },
//!     "loanOfficer": "Bob",
//!     "note": "paid by card 4111 1111 1111 1111",
//! });
//! if let Some(fields) = payload.as_object_mut() {
//!     redactor.payload(fields);
//! }
//! assert_eq!(payload, json!({
//!     "applicant": { "firstName": "[redacted]", "city": "London" },
//!     "loanOfficer": "[redacted]",
//!     "note": "paid by card [redacted:card]",
//! }));
//! # Ok::<(), throughline_redact::RedactionError>(())
//! ```
//!
//! # What can be relied on
//!
//! - Redacting twice is redacting once: what has been redacted passes through unchanged.
//! - Full-width digits, exotic dashes and spaces, invisible characters and percent or `\u` escapes hide nothing.
//! - The time taken grows with the length of the input, whatever is in it. Most clean texts are recognised in one
//!   pass over their bytes, without allocating.
//! - What is found is a matter of keys and recognisable formats. A name or a diagnosis in the middle of a sentence is
//!   not recognised: put it under a key of its own.

mod addresses;
mod assign;
mod builder;
mod elements;
mod error;
mod fold;
mod iban;
mod keys;
mod limit;
mod marker;
mod memo;
mod numbers;
mod payload;
mod prefilter;
mod pseudonym;
mod redactor;
mod scan;
mod tokens;
mod values;
mod words;

pub use builder::Redaction;
pub use error::RedactionError;
pub use redactor::Redactor;

/// The code in the README, compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests;
