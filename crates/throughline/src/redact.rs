//! Redaction of personal data and credentials.
//!
//! ```
//! use throughline::Redaction;
//!
//! let redactor = Redaction::standard().key("loan officer").build()?;
//! assert_eq!(redactor.text("mail to ada@example.org failed"), "mail to [redacted:email] failed");
//! # Ok::<(), throughline::redact::RedactionError>(())
//! ```
//!
//! Everything that is recorded is redacted automatically; use a [`Redactor`] for logs and other texts of your own.

pub use throughline_core::{Shown, Veil, redact_event, redact_event_counted};
pub use throughline_redact::{Finding, PayloadFinding, Redaction, RedactionError, Redactor, pii};
