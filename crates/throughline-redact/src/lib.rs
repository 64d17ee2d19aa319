//! Redaction of texts, JSON values and names: personal data and credentials are replaced before they reach a log,
//! a database or another service.
//!
//! [`Redaction`] describes what must not leave the process, and builds a [`Redactor`]. The redactor looks at the **keys** of
//! values, in any spelling; at all **text**; and at the **size** of payloads.
//!
//! ```
//! use serde_json::json;
//! use throughline_redact::Redaction;
//!
//! let redactor = Redaction::standard().key("loan officer").build()?;
//!
//! // The text around a secret is kept.
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
//! # Guarantees
//!
//! - Redaction is idempotent: what has been redacted passes through unchanged.
//! - Full-width digits, exotic dashes and spaces, invisible characters and percent or `\u` escapes hide nothing.
//! - The time taken is linear in the length of the input, whatever it contains. Most clean texts need one pass over their
//!   bytes and no allocation.
//! - Detection relies on keys and on recognisable formats. A name or a diagnosis in the middle of a sentence is not
//!   detected: put it under a key of its own.

mod addresses;
mod armour;
mod assign;
mod builder;
mod counts;
mod elements;
mod error;
mod families;
mod finding;
mod fold;
mod found;
mod gate;
mod headers;
mod holder;
mod iban;
mod json;
mod judge;
mod keys;
mod limit;
mod marker;
mod memo;
mod names;
mod notes;
mod numbers;
mod pairs;
mod paths;
mod payload;
pub mod pii;
mod places;
mod prefilter;
mod programs;
mod pseudonym;
mod redactor;
mod scan;
mod shapes;
mod tables;
mod tokens;
mod values;

pub use builder::Redaction;
pub use error::RedactionError;
pub use finding::{Finding, PayloadFinding};
pub use redactor::Redactor;

/// The code in the README, compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests;
