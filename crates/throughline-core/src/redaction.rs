//! Redaction: what must not leave the process is taken out of every event, in one pass, before anything sees it.
//!
//! Three things are looked at: the **keys** that values stand under (`creditCard`, `db_password`), the **shape** of texts
//! (card numbers, IBANs, e-mail addresses, tokens…), and the **size** of a payload.

mod clean;
mod keys;
mod payload;
mod shapes;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::{Attrs, ErrorInfo, Text, TraceEvent};
use clean::Clean;
use keys::Keys;
use payload::Limits;
use shapes::Shapes;

/// What stands in place of a value whose key is telling.
const MARKER: &str = "[redacted]";
const DEFAULT_PAYLOAD_LIMIT: usize = 64 * 1024;
/// Below this a payload would be hardly more than its markers.
const LEAST_PAYLOAD_LIMIT: usize = 256;

/// Describes what must not leave the process.
///
/// ```
/// use throughline_core::Redaction;
///
/// let redactor = Redaction::standard().key("loan officer").build()?;
/// assert_eq!(redactor.text("mail to ada@example.org failed"), "mail to [redacted:email] failed");
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

impl Default for Redaction {
    fn default() -> Self {
        Self::standard()
    }
}

impl Redaction {
    /// Takes out what is known to be telling: passwords and other credentials, card and account numbers, social security
    /// numbers, names, addresses and birth dates by their keys; card numbers, SSNs, IBANs, e-mail addresses, JWTs, API
    /// keys, private keys and passwords in URLs and in `key=value` text by their shape.
    pub fn standard() -> Self {
        Self {
            keys: Vec::new(),
            allowed: None,
            patterns: Vec::new(),
            pseudonym_key: None,
            payload_limit: DEFAULT_PAYLOAD_LIMIT,
        }
    }

    /// One more telling key, in any spelling: `iban code` means `ibanCode`, `IBAN_CODE` and `customer-iban-code` too.
    #[must_use]
    pub fn key(mut self, name: impl Into<String>) -> Self {
        self.keys.push(name.into());
        self
    }

    /// Of payloads, keeps only values under these keys; of the others only the structure remains. What is kept is looked
    /// at all the same.
    #[must_use]
    pub fn allow_only<I, S>(mut self, keys: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.allowed.get_or_insert_default().extend(keys.into_iter().map(Into::into));
        self
    }

    /// One more shape, as a regular expression of the crate `regex`; what it matches becomes `[redacted:name]`.
    #[must_use]
    pub fn pattern(mut self, name: impl Into<String>, regex: impl Into<String>) -> Self {
        self.patterns.push((name.into(), regex.into()));
        self
    }

    /// The secret that pseudonyms are made with. With it, a telling value in what must stay findable (business key,
    /// attributes, tags) becomes a pseudonym, the same for the same value; without it, a marker.
    #[must_use]
    pub fn pseudonym_key(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.pseudonym_key = Some(secret.as_ref().to_vec());
        self
    }

    /// How many bytes a payload may have as JSON, 64 KiB unless said otherwise. What is beyond is cut, with a marker.
    #[must_use]
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload_limit = bytes;
        self
    }

    /// Makes it work.
    ///
    /// # Errors
    /// When a pattern is not a regular expression, a key has no letters, the pseudonym key is empty, or the payload limit
    /// is too small.
    pub fn build(&self) -> Result<Redactor, RedactionError> {
        if self.payload_limit < LEAST_PAYLOAD_LIMIT {
            return Err(RedactionError::PayloadLimit { given: self.payload_limit });
        }
        let pseudonyms = match &self.pseudonym_key {
            None => None,
            Some(secret) if secret.is_empty() => return Err(RedactionError::EmptyPseudonymKey),
            // HMAC takes keys of any length.
            Some(secret) => Hmac::<Sha256>::new_from_slice(secret).ok(),
        };
        let keys = Keys::new(&self.keys)?;
        let allowed = self.allowed.as_deref().map(keys::Allowed::new).transpose()?;
        let shapes = Shapes::new(&self.patterns)?;
        let limits = Limits::new(self.payload_limit);
        Ok(Redactor(Arc::new(Rules {
            keys,
            allowed,
            shapes,
            pseudonyms,
            limits,
            clean_labels: Clean::new(),
            clean_keys: Clean::new(),
        })))
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction")
            .field("keys", &self.keys)
            .field("allowed", &self.allowed)
            .field("patterns", &self.patterns)
            .field("pseudonym_key", &self.pseudonym_key.as_ref().map(|_| MARKER))
            .field("payload_limit", &self.payload_limit)
            .finish()
    }
}

/// Why a [`Redaction`] can't be used as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactionError {
    /// A pattern is not a regular expression.
    #[error("the redaction pattern `{name}` is not a regular expression: {source}")]
    Pattern {
        /// The pattern's name.
        name: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// A key has no letters or digits.
    #[error("`{key}` can't be a redaction key: it has no letters or digits")]
    Key {
        /// The key.
        key: String,
    },
    /// The pseudonym key is empty.
    #[error("the pseudonym key is empty: give .pseudonym_key(..) a secret of at least 16 bytes")]
    EmptyPseudonymKey,
    /// The payload limit is too small.
    #[error("a payload limit of {given} bytes is no use: give at least {LEAST_PAYLOAD_LIMIT}")]
    PayloadLimit {
        /// What was asked for.
        given: usize,
    },
}

/// Takes out of events what must not leave the process. Cheap to clone.
#[derive(Clone)]
pub struct Redactor(Arc<Rules>);

struct Rules {
    keys: Keys,
    allowed: Option<keys::Allowed>,
    shapes: Shapes,
    pseudonyms: Option<Hmac<Sha256>>,
    limits: Limits,
    clean_labels: Clean,
    clean_keys: Clean,
}

impl Redactor {
    /// The pass: redacts everything in the event that can carry text. Doing it twice changes nothing more.
    pub fn event(&self, event: &mut TraceEvent) {
        self.event_but_attrs(event);
        self.label(&mut event.service);
        if let Some(workflow) = &mut event.workflow {
            self.label(workflow);
        }
        if let Some(id) = &mut event.correlation_id
            && let Cow::Owned(redacted) = self.findable(None, id)
        {
            *id = redacted.into();
        }
        if !event.attrs.is_empty() {
            event.attrs = self.attrs(&event.attrs);
        }
    }

    /// The pass without what a context has redacted once for all its events.
    pub(crate) fn event_but_attrs(&self, event: &mut TraceEvent) {
        self.recurring(&mut event.event_type);
        if let Some(error) = &mut event.error {
            self.error(error);
        }
        if let Some(data) = &mut event.data {
            self.payload(data);
        }
        for tag in &mut event.tags {
            if let Cow::Owned(redacted) = self.findable(None, tag) {
                *tag = redacted.into();
            }
        }
        if !event.extra.is_empty() {
            self.payload(&mut event.extra);
        }
    }

    pub(crate) fn error(&self, error: &mut ErrorInfo) {
        let ErrorInfo { kind, message, chain } = error;
        [kind, message].into_iter().chain(chain).for_each(|text| self.label(text));
    }

    fn label(&self, text: &mut Text) {
        if let Cow::Owned(redacted) = self.text(text) {
            *text = redacted.into();
        }
    }

    /// As [`label`](Self::label), for texts of which there are few: those that were found clean are remembered.
    fn recurring(&self, text: &mut Text) {
        if self.0.clean_labels.is(text) {
            return;
        }
        match self.text(text) {
            Cow::Owned(redacted) => *text = redacted.into(),
            Cow::Borrowed(clean) => self.0.clean_labels.remember(clean),
        }
    }

    /// Redacts attributes: keys and values.
    pub(crate) fn attrs(&self, attrs: &Attrs) -> Attrs {
        let redacted = |(key, value): &(Text, Text)| {
            (Text::from(self.text(key)), Text::from(self.findable(Some(key), value)))
        };
        let is_clean = |(key, value): &(Text, Text)| {
            matches!((self.text(key), self.findable(Some(key), value)), (Cow::Borrowed(_), Cow::Borrowed(_)))
        };
        // Most are clean: they go on sharing their allocation.
        if attrs.iter().all(is_clean) { attrs.clone() } else { attrs.iter().map(redacted).collect() }
    }

    /// Redacts free text: each hit becomes a marker such as `[redacted:email]`, the rest stays.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.shapes.redact(text, &self.0.keys)
    }

    /// Redacts what must stay findable. If the text hits, or the key it stands under is telling, the whole text becomes a
    /// pseudonym, or a marker if there is no [pseudonym key](Redaction::pseudonym_key). Whoever looks for it must apply the
    /// same function.
    pub fn findable<'a>(&self, key: Option<&str>, text: &'a str) -> Cow<'a, str> {
        let telling = key.is_some_and(|key| self.0.keys.is_telling(key)) && !is_done(text);
        if telling || self.hits(text) {
            Cow::Owned(self.pseudonym(text).unwrap_or_else(|| MARKER.to_owned()))
        } else {
            Cow::Borrowed(text)
        }
    }

    /// `pseudonym:` and 24 letters of the keyed hash. Letters alone, so that it is nothing like a number.
    fn pseudonym(&self, text: &str) -> Option<String> {
        let mut mac = self.0.pseudonyms.clone()?;
        mac.update(text.as_bytes());
        let digest = mac.finalize().into_bytes();
        let letter = |nibble: u8| char::from(b'a' + nibble);
        let letters = digest.iter().take(12).flat_map(|byte| [letter(byte >> 4), letter(byte & 15)]);
        Some(PSEUDONYM.chars().chain(letters).collect())
    }

    /// Redacts a payload: keys and values at any depth, then the size.
    pub fn payload(&self, data: &mut Map<String, Value>) {
        payload::redact(self, data);
    }

    /// Whether a text has a shape that must not leave the process.
    pub fn hits(&self, text: &str) -> bool {
        self.0.shapes.hits(text, &self.0.keys)
    }

    /// Whether there is a key to make pseudonyms with.
    pub fn can_pseudonymise(&self) -> bool {
        self.0.pseudonyms.is_some()
    }
}

const PSEUDONYM: &str = "pseudonym:";

/// Whether a text is a marker or a pseudonym already.
fn is_done(text: &str) -> bool {
    text == MARKER
        || text.strip_prefix(PSEUDONYM).is_some_and(|letters| {
            letters.len() == 24 && letters.bytes().all(|letter| matches!(letter, b'a'..=b'p'))
        })
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("can_pseudonymise", &self.can_pseudonymise()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
