//! Sets of personal data that are looked for by choice, beside what [`Redaction::standard`](crate::Redaction::standard) knows.
//!
//! How much personal data has to go depends on where it is from and on who reads it. Each set adds names of keys, or shapes
//! that are found in any text, or both.
//!
//! ```
//! use throughline_redact::{Redaction, pii};
//!
//! let redactor = Redaction::standard().with(pii::EU).with(pii::PHONES).build()?;
//! assert_eq!(redactor.text("pesel=44051401359"), "pesel=[redacted]");
//! assert_eq!(redactor.text("call +31 6 12345678"), "call [redacted:phone]");
//!
//! // What opens doors, and nobody's data.
//! let redactor = Redaction::standard().credentials_only().build()?;
//! assert_eq!(redactor.text("token=a1b2c3d4 of ada@example.org"), "token=[redacted] of ada@example.org");
//! # Ok::<(), throughline_redact::RedactionError>(())
//! ```

/// A set of personal data, for [`Redaction::with`](crate::Redaction::with).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set(pub(crate) Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Eu,
    Us,
    Phones,
    Network,
}

/// Names of national numbers, taxes and incomes in Europe, and those numbers by their check digits in any text: Spanish DNI and
/// NIE, the Italian codice fiscale, the Polish PESEL, the British national insurance number.
pub const EU: Set = Set(Kind::Eu);
/// Names of identity, tax and health numbers and incomes in the United States.
pub const US: Set = Set(Kind::Us);
/// Phone numbers in any text: with a plus and a country, or in the American form.
pub const PHONES: Set = Set(Kind::Phones);
/// IP addresses and MAC addresses in any text.
pub const NETWORK: Set = Set(Kind::Network);
