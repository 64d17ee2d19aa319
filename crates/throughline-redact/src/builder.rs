//! [`Redaction`]: what must not get out.

use std::fmt;

use crate::error::{LEAST_PAYLOAD_LIMIT, LEAST_PSEUDONYM_KEY};
use crate::keys::{self, Choice, Keys};
use crate::pseudonym::Pseudonyms;
use crate::scan::{Pattern, Scanner};
use crate::{RedactionError, Redactor, marker, pii};

/// The default payload limit, in bytes.
const PAYLOAD_LIMIT: usize = 64 * 1024;

/// Describes what must not get out, and builds the [`Redactor`] that keeps it in.
///
/// Sensitive keys and recognisable secrets are denied by default. IP addresses, user ids and session ids are kept:
/// they are what people look for when something went wrong. Add them with [`key`](Self::key) where they must go.
///
/// ```
/// use throughline_redact::Redaction;
///
/// let redactor = Redaction::standard()
///     .key("loan officer")
///     .pattern("loan-number", r"\bLN-\d+\b")
///     .payload_limit(16 * 1024)
///     .build()?;
/// assert_eq!(redactor.text("LN-42: mail to ada@example.org"), "[redacted:loan-number]: mail to [redacted:email]");
///
/// let mut data = serde_json::Map::from_iter([("LOAN_OFFICER".to_owned(), "Ada".into())]);
/// redactor.payload(&mut data);
/// assert_eq!(data["LOAN_OFFICER"], "[redacted]");
/// # Ok::<(), throughline_redact::RedactionError>(())
/// ```
#[derive(Clone)]
pub struct Redaction {
    keys: Vec<String>,
    kept: Vec<String>,
    allowed: Option<Vec<String>>,
    patterns: Vec<(String, String)>,
    pseudonym_key: Option<Vec<u8>>,
    payload_limit: usize,
    choice: Choice,
    is_off: bool,
}

impl Redaction {
    /// What banks, hospitals and software services keep to themselves.
    ///
    /// By **key**: passwords, tokens and other credentials; numbers of cards, accounts and documents; names,
    /// addresses, birth dates; diagnoses and medication. Keys are read word by word, in any spelling: `cardPIN`,
    /// `card_pin` and `card-pin` are sensitive, `shipping` is not. A key that only speaks *about* a secret is not
    /// either: `password_length`, `token_type`, `input_tokens`. Dutch, German, French, Spanish and Portuguese names of
    /// the most common secrets are known too.
    ///
    /// By **format**, under any key and in any text:
    ///
    /// | what | what becomes of it |
    /// |---|---|
    /// | payment card numbers whose check digit is right, with or without separators, also as JSON numbers | `[redacted:card]` |
    /// | US social security numbers, with separators | `[redacted:ssn]` |
    /// | IBANs whose check digits are right | `[redacted:iban]` |
    /// | e-mail addresses | `[redacted:email]` |
    /// | JSON Web Tokens | `[redacted:jwt]` |
    /// | what follows `Bearer` or `Basic` | `[redacted:bearer]`, `[redacted:basic]` |
    /// | API keys of well-known services (AWS, Google, GitHub, Slack, Stripe, OpenAI, Anthropic…) | `[redacted:api-key]` |
    /// | private keys in PEM | `[redacted:private-key]` |
    /// | passwords in URLs | `[redacted:password]` |
    /// | values after a sensitive key, as in `password=…`, `"pin": …`, `<ssn>…</ssn>`, `--token …` | `[redacted]` |
    ///
    /// ```
    /// # use serde_json::{Map, Value, json};
    /// # use throughline_redact::Redaction;
    /// let redactor = Redaction::standard().build()?;
    /// let mut data = Map::from_iter([
    ///     ("cardPIN".to_owned(), json!(1234)),
    ///     ("pin_attempts".to_owned(), json!(2)),
    ///     ("shipping".to_owned(), json!("express")),
    ///     ("database".to_owned(), json!("postgres://app:hunter2@db:5432/loans")),
    ///     ("account".to_owned(), json!("NL91 ABNA 0417 1643 00")),
    /// ]);
    /// redactor.payload(&mut data);
    /// assert_eq!(Value::Object(data), json!({
    ///     "cardPIN": "[redacted]",
    ///     "pin_attempts": 2,
    ///     "shipping": "express",
    ///     "database": "postgres://app:[redacted:password]@db:5432/loans",
    ///     "account": "[redacted:iban]",
    /// }));
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn standard() -> Self {
        Self {
            keys: Vec::new(),
            kept: Vec::new(),
            allowed: None,
            patterns: Vec::new(),
            pseudonym_key: None,
            payload_limit: PAYLOAD_LIMIT,
            choice: Choice::default(),
            is_off: false,
        }
    }

    /// Nothing is redacted, and nothing is cut: for what has been redacted already, or what nobody else gets to see, such
    /// as a copy on one's own machine.
    ///
    /// ```
    /// # use throughline_redact::Redaction;
    /// let redactor = Redaction::off().build()?;
    /// assert_eq!(redactor.text("no mail to ada@example.org"), "no mail to ada@example.org");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn off() -> Self {
        Self { payload_limit: usize::MAX, is_off: true, ..Self::standard() }
    }

    /// One more sensitive key. `loan officer` stands for `loanOfficer`, `LOAN_OFFICER` and `branch-loan-officer-2`
    /// too.
    ///
    /// ```
    /// # use throughline_redact::Redaction;
    /// let redactor = Redaction::standard().key("loan officer").build()?;
    /// assert_eq!(redactor.text("branch-loan-officer-2=Ada"), "branch-loan-officer-2=[redacted]");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    #[must_use]
    pub fn key(mut self, name: impl Into<String>) -> Self {
        self.keys.push(name.into());
        self
    }

    /// One key that is not sensitive, in any spelling, whatever words are in it: an exception. `order token` stands for
    /// `orderToken` and `ORDER_TOKEN`, but not for `order_token_secret`. What tells itself is hidden under it as under any key: an
    /// e-mail address, a card, a token of a known form.
    ///
    /// It risks what the key is sensitive for: a password that somebody puts under it is kept. Prefer to rename the field, if
    /// it is yours.
    ///
    /// ```
    /// # use throughline_redact::Redaction;
    /// let redactor = Redaction::standard().keep_key("order token").build()?;
    /// assert_eq!(redactor.text("order_token=A-17"), "order_token=A-17");
    /// assert_eq!(redactor.text("orderToken=ada@example.org"), "orderToken=[redacted:email]");
    /// assert_eq!(redactor.text("order_token_secret=A-17"), "order_token_secret=[redacted]");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    #[must_use]
    pub fn keep_key(mut self, name: impl Into<String>) -> Self {
        self.kept.push(name.into());
        self
    }

    /// Looks for one more [set](crate::pii) of personal data.
    ///
    /// ```
    /// # use throughline_redact::{Redaction, pii};
    /// let redactor = Redaction::standard().with(pii::NETWORK).build()?;
    /// assert_eq!(redactor.text("from 203.0.113.9"), "from [redacted:address]");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    #[must_use]
    pub fn with(mut self, set: pii::Set) -> Self {
        match set.0 {
            pii::Kind::Eu => self.choice.eu = true,
            pii::Kind::Us => self.choice.us = true,
            pii::Kind::Phones => self.choice.phones = true,
            pii::Kind::Network => self.choice.network = true,
        }
        self
    }

    /// Leaves personal data alone, and looks for credentials only: passwords, tokens and keys, by name and by format. What
    /// [`key`](Self::key), [`pattern`](Self::pattern) and [`with`](Self::with) add is looked for all the same.
    ///
    /// ```
    /// # use throughline_redact::Redaction;
    /// let redactor = Redaction::standard().credentials_only().build()?;
    /// assert_eq!(redactor.text("name=Ada, password=x7"), "name=Ada, password=[redacted]");
    /// assert_eq!(redactor.text("mail to ada@example.org"), "mail to ada@example.org");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    #[must_use]
    pub fn credentials_only(mut self) -> Self {
        self.choice.credentials_only = true;
        self
    }

    /// Switches payloads to an allow-list: only values under these keys, in any spelling, stay readable, and if
    /// such a value is an object or a list, all that is in it; of the rest the structure is kept. Text is redacted as
    /// ever, but a key that is named here is kept even if it is sensitive. Called again, it adds to the list.
    ///
    /// ```
    /// # use serde_json::{Map, Value, json};
    /// # use throughline_redact::Redaction;
    /// let redactor = Redaction::standard().allow_only(["amount"]).build()?;
    /// let mut data = Map::from_iter([("input".to_owned(), json!({ "Amount": 5, "colour": "green" }))]);
    /// redactor.payload(&mut data);
    /// assert_eq!(Value::Object(data), json!({ "input": { "Amount": 5, "colour": "[redacted]" } }));
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    #[must_use]
    pub fn allow_only<I, S>(mut self, keys: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.allowed.get_or_insert_default().extend(keys.into_iter().map(Into::into));
        self
    }

    /// One more format of a secret, as a regular expression of the crate [`regex`](https://docs.rs/regex). What it
    /// matches becomes `[redacted:name]`. There may be any number of patterns, but each is tried on every text, which
    /// takes time. Prefer those that end: one that reads to the end of the text before it knows that a match was shorter,
    /// such as `.*[^A-Z]|[A-Z]`, reads the rest again for each match.
    ///
    /// ```
    /// # use throughline_redact::Redaction;
    /// let redactor = Redaction::standard().pattern("loan-number", r"\bLN-\d+\b").build()?;
    /// assert_eq!(redactor.text("loan LN-42 refused"), "loan [redacted:loan-number] refused");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    #[must_use]
    pub fn pattern(mut self, name: impl Into<String>, regex: impl Into<String>) -> Self {
        self.patterns.push((name.into(), regex.into()));
        self
    }

    /// The secret of at least 16 bytes that pseudonyms are made with. With it, what is sensitive and must stay
    /// [findable](Redactor::findable) becomes a pseudonym, the same for the same text; without it, a mark. Anyone
    /// who knows the secret can find out by trial what a pseudonym stands for.
    ///
    /// ```
    /// # use throughline_redact::Redaction;
    /// let with = Redaction::standard().pseudonym_key("sixteen bytes at least").build()?;
    /// assert!(with.findable(None, "ada@example.org").starts_with("pseudonym:"));
    ///
    /// let without = Redaction::standard().build()?;
    /// assert_eq!(without.findable(None, "ada@example.org"), "[redacted]");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    #[must_use]
    pub fn pseudonym_key(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.pseudonym_key = Some(secret.as_ref().to_vec());
        self
    }

    /// How many bytes the JSON of a payload may have, at least 256; 64 KiB by default. What exceeds it is
    /// cut, the largest values first, with marks that say how much. [Messages](Redactor::message) have the same limit.
    #[must_use]
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload_limit = bytes;
        self
    }

    /// Builds the redactor.
    ///
    /// # Errors
    /// When a pattern is not a valid regular expression or its name cannot be part of a mark, a key has no letters or
    /// digits, the keys are too many, the pseudonym key is too short, or the payload limit too small.
    pub fn build(&self) -> Result<Redactor, RedactionError> {
        if self.payload_limit < LEAST_PAYLOAD_LIMIT {
            return Err(RedactionError::PayloadLimit { given: self.payload_limit });
        }
        let pseudonyms = match &self.pseudonym_key {
            Some(secret) if secret.len() < LEAST_PSEUDONYM_KEY => {
                return Err(RedactionError::PseudonymKey { given: secret.len() });
            }
            Some(secret) => Some(Pseudonyms::new(secret)),
            None => None,
        };
        let more = self.keys.iter().map(|key| compact(key)).collect::<Result<Vec<_>, _>>()?;
        let kept = self.kept.iter().map(|key| compact(key)).collect::<Result<_, _>>()?;
        let keys = Keys::shared(self.choice, &more, kept)
            .map_err(|source| RedactionError::Keys { source: Box::new(source) })?;
        let allowed = match &self.allowed {
            Some(keys) => Some(keys.iter().map(|key| compact(key)).collect::<Result<_, _>>()?),
            None => None,
        };
        let patterns =
            self.patterns.iter().map(|(name, regex)| pattern(name, regex)).collect::<Result<_, _>>()?;
        let scanner = Scanner::new(keys, patterns, self.choice, self.is_off);
        Ok(Redactor::new(scanner, allowed, pseudonyms, self.payload_limit))
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
            .field("kept", &self.kept)
            .field("allowed", &self.allowed)
            .field("patterns", &self.patterns)
            .field("pseudonym_key", &self.pseudonym_key.as_ref().map(|_| marker::REDACTED))
            .field("payload_limit", &self.payload_limit)
            .field("choice", &self.choice)
            .field("is_off", &self.is_off)
            .finish()
    }
}
