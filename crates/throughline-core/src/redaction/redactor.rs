//! [`Redactor`], the one pass that every event goes through.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use serde_json::{Map, Value};

use super::marker::Marks;
use super::memo::Memo;
use super::pseudonym::Pseudonyms;
use super::scan::{Reading, Scanner};
use super::{keys, limit, marker, payload};
use crate::{Attrs, ErrorInfo, Text, TraceEvent};

/// Takes out of events what must not leave the process. Made by [`Redaction::build`](crate::Redaction::build);
/// cheap to clone.
#[derive(Clone)]
pub struct Redactor(Arc<Rules>);

/// What a redactor goes by.
pub(super) struct Rules {
    scanner: Scanner,
    allowed: Option<FxHashSet<String>>,
    pseudonyms: Option<Pseudonyms>,
    payload_limit: usize,
    /// What is known of the keys of payloads; none of them holds anything telling itself.
    verdicts: Memo<Verdict>,
    /// Names that are known to be clean: event types, services, workflows, kinds of errors.
    clean_names: Memo<()>,
}

/// What a key says of the value under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Plain,
    Telling,
    /// It is on the allow-list.
    Allowed,
}

impl Redactor {
    pub(super) fn new(
        scanner: Scanner,
        allowed: Option<FxHashSet<String>>,
        pseudonyms: Option<Pseudonyms>,
        payload_limit: usize,
    ) -> Self {
        let (verdicts, clean_names) = (Memo::new(), Memo::new());
        Self(Arc::new(Rules { scanner, allowed, pseudonyms, payload_limit, verdicts, clean_names }))
    }

    /// The pass: redacts in place everything in an event that can carry text. Doing it twice changes nothing more.
    ///
    /// Free text keeps what is around a hit; what must stay findable is replaced as a whole, see
    /// [`findable`](Self::findable).
    pub fn event(&self, event: &mut TraceEvent) {
        self.event_but_attrs(event);
        if !event.attrs.is_empty() {
            event.attrs = self.attrs(&event.attrs);
        }
        if let Some(id) = &mut event.correlation_id
            && let Cow::Owned(redacted) = self.findable(None, id)
        {
            *id = redacted.into();
        }
    }

    /// The pass without `attrs` and `correlation_id`, which a context has redacted once for all its events.
    pub(crate) fn event_but_attrs(&self, event: &mut TraceEvent) {
        self.name_in_place(&mut event.event_type);
        self.name_in_place(&mut event.service);
        if let Some(workflow) = &mut event.workflow {
            self.name_in_place(workflow);
        }
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
            payload::redact(&self.0, &mut event.extra, payload::Scope::DenyList);
        }
    }

    /// Redacts an error: its type as a name, its messages as free text, which may be as long as what somebody else's
    /// server answered.
    pub(crate) fn error(&self, error: &mut ErrorInfo) {
        let ErrorInfo { kind, message, chain } = error;
        self.name_in_place(kind);
        for message in std::iter::once(message).chain(chain) {
            if let Cow::Owned(redacted) = self.text(message) {
                *message = redacted.into();
            }
            if message.len() > self.0.payload_limit {
                *message = limit::cut_text(message, self.0.payload_limit, &|text| self.hits(text)).into();
            }
        }
    }

    /// Redacts attributes, keys and values. Clean ones go on sharing their allocation.
    pub(crate) fn attrs(&self, attrs: &Attrs) -> Attrs {
        let is_clean = |(key, value): &(Text, Text)| {
            matches!(
                (self.attr_key(key), self.findable(Some(key), value)),
                (Cow::Borrowed(_), Cow::Borrowed(_))
            )
        };
        if attrs.iter().all(is_clean) {
            return attrs.clone();
        }
        attrs.iter().map(|(key, value)| (self.attr_key(key), self.findable(Some(key), value))).collect()
    }

    fn attr_key<'a>(&self, key: &'a str) -> Cow<'a, str> {
        if self.0.verdict(key).1 { self.findable(None, key) } else { Cow::Borrowed(key) }
    }

    /// Redacts free text: each hit becomes a mark such as `[redacted:email]`, the rest of the text stays.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.scanner.clean(text, Reading::Prose)
    }

    /// Redacts a name of the form `area:what`, as [`text`](Self::text) does, but `password:reset` is the name of an
    /// event and stays. Whoever looks for events by their type applies the same function first.
    pub fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.0.scanner.clean(name, Reading::Name)
    }

    /// Redacts what must stay findable: `correlation_id`, tags, and attributes with the key they stand under. If
    /// the text hits, or the key is telling, the whole text becomes a pseudonym, or a mark if there is no
    /// [pseudonym key](crate::Redaction::pseudonym_key). Whoever looks for the text applies the same function first.
    pub fn findable<'a>(&self, key: Option<&str>, text: &'a str) -> Cow<'a, str> {
        let telling = match key {
            Some(key) => {
                self.0.verdict(key).0 == Verdict::Telling || self.0.scanner.hits(text, Reading::Prose)
            }
            None => self.0.scanner.hits(text, Reading::Name),
        };
        if !telling || self.0.scanner.marks.is_mark(text) {
            return Cow::Borrowed(text);
        }
        match &self.0.pseudonyms {
            Some(pseudonyms) => Cow::Owned(pseudonyms.of(text)),
            None => Cow::Owned(marker::REDACTED.to_owned()),
        }
    }

    /// Redacts a payload, keys and values at any depth, and cuts it to the
    /// [limit](crate::Redaction::payload_limit).
    pub fn payload(&self, data: &mut Map<String, Value>) {
        payload::redact(&self.0, data, payload::Scope::Payload);
    }

    /// Whether there is anything in a text that must not leave the process.
    pub fn hits(&self, text: &str) -> bool {
        self.0.scanner.hits(text, Reading::Prose)
    }

    /// Whether there is a key to make pseudonyms with.
    pub fn can_pseudonymise(&self) -> bool {
        self.0.pseudonyms.is_some()
    }

    fn name_in_place(&self, name: &mut Text) {
        if self.0.clean_names.get(name).is_some() {
            return;
        }
        match self.name(name) {
            Cow::Borrowed(_) => self.0.clean_names.put(name, ()),
            Cow::Owned(redacted) => *name = redacted.into(),
        }
    }
}

impl Rules {
    pub(super) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    pub(super) fn payload_limit(&self) -> usize {
        self.payload_limit
    }

    /// Whether values are hidden unless their key is on a list.
    pub(super) fn has_allow_list(&self) -> bool {
        self.allowed.is_some()
    }

    /// What a key says of the value under it, and whether the key itself must be redacted.
    #[inline]
    pub(super) fn verdict(&self, key: &str) -> (Verdict, bool) {
        match self.verdicts.get(key) {
            Some(verdict) => (verdict, false),
            None => self.judge(key),
        }
    }

    #[cold]
    fn judge(&self, key: &str) -> (Verdict, bool) {
        let clean = self.scanner.clean(key, Reading::Name);
        let is_dirty = matches!(clean, Cow::Owned(_));
        let words = without_marks(&clean, &self.scanner.marks);
        let is_telling = |words: &str| self.scanner.keys.judge(words).is_some();
        // A key that is redacted is judged as it was and as it will be: so that the second pass finds no more.
        let verdict = if self.allowed.as_ref().is_some_and(|allowed| allowed.contains(&keys::compact(&words)))
        {
            Verdict::Allowed
        } else if is_telling(&words) || (is_dirty && is_telling(&without_marks(key, &self.scanner.marks))) {
            Verdict::Telling
        } else {
            Verdict::Plain
        };
        if !is_dirty {
            self.verdicts.put(key, verdict);
        }
        (verdict, is_dirty)
    }
}

/// A key with spaces in place of marks: `[redacted:ssn]` stood for some number, and says nothing of the value.
fn without_marks<'k>(key: &'k str, marks: &Marks) -> Cow<'k, str> {
    let mut words = Cow::Borrowed(key);
    for mark in marks.in_text(key) {
        // A mark is ASCII: as many spaces keep every other byte in its place.
        words.to_mut().replace_range(mark.clone(), &" ".repeat(mark.len()));
    }
    words
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor")
            .field("can_pseudonymise", &self.can_pseudonymise())
            .field("payload_limit", &self.0.payload_limit)
            .finish_non_exhaustive()
    }
}
