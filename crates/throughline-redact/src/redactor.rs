//! [`Redactor`]: the rules, and what can be asked of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashSet;
use serde_json::{Map, Value};

use crate::error::LEAST_PSEUDONYM_KEY;
use crate::holder::Holder;
use crate::keys::{Named, SecretKind};
use crate::marker::Marks;
use crate::memo::Memo;
use crate::pseudonym::Pseudonyms;
use crate::scan::{Reading, Scanner};
use crate::{Finding, PayloadFinding};
use crate::{finding, judge, keys, limit, marker, paths, payload};

/// Replaces what must not get out. Built by [`Redaction::build`](crate::Redaction::build); cheap to clone, and its
/// clones share what they have learnt about keys and names.
///
/// Which method fits depends on what the text is for:
///
/// | what | method | what becomes of a secret |
/// |---|---|---|
/// | what people read | [`text`](Self::text), [`message`](Self::message) | a mark in its place, the rest stays |
/// | the path of a request | [`path`](Self::path) | a mark in its place, also by the parameters of its route |
/// | names such as `mail:sent` | [`name`](Self::name) | the same, but `password:reset` is kept |
/// | what must be found again: ids, tags, labels | [`findable`](Self::findable), [`findable_key`](Self::findable_key) | the whole text becomes a pseudonym or a mark |
/// | JSON | [`payload`](Self::payload), [`unknown_fields`](Self::unknown_fields) | a mark, by key and by text |
///
/// All of them leave alone what is redacted already.
#[derive(Clone)]
pub struct Redactor(Arc<Rules>);

/// What a redactor goes by.
pub(crate) struct Rules {
    scanner: Scanner,
    allowed: Option<FxHashSet<String>>,
    pseudonyms: OnceLock<Pseudonyms>,
    payload_limit: usize,
    /// What is known of keys; none of those remembered holds anything sensitive itself.
    key_classes: Memo<KeyClass>,
    /// Names that are known to be clean: event types, services, workflows, kinds of errors.
    clean_names: Memo<()>,
}

/// What a key says of the value under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyClass {
    Plain,
    /// It holds the name of something, or what stands under such a name: `{"name": "DB_PASSWORD", "value": "x"}`.
    HoldsName,
    HoldsValue,
    /// It is personal or a credential, if it is long enough to be one.
    Sensitive,
    /// It may be: the key has other meanings.
    Weak(Named),
    /// It is, whatever it is.
    Fact,
    /// It is on the allow-list.
    Allowed,
}

impl Redactor {
    pub(crate) fn new(
        scanner: Scanner,
        allowed: Option<FxHashSet<String>>,
        pseudonyms: Option<Pseudonyms>,
        payload_limit: usize,
    ) -> Self {
        let (key_classes, clean_names) = (Memo::new(), Memo::new());
        let pseudonyms = pseudonyms.map(OnceLock::from).unwrap_or_default();
        Self(Arc::new(Rules { scanner, allowed, pseudonyms, payload_limit, key_classes, clean_names }))
    }

    /// Redacts free text: each secret becomes a mark such as `[redacted:email]`, the rest of the text stays.
    ///
    /// ```
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// assert_eq!(redactor.text("no mail to ada@example.org"), "no mail to [redacted:email]");
    /// assert_eq!(redactor.text(r#"{"pin": 1234, "amount": 5}"#), r#"{"pin": "[redacted]", "amount": 5}"#);
    /// assert_eq!(redactor.text("Authorization: Bearer abc"), "Authorization: [redacted]");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.scanner.clean(text, Reading::Prose)
    }

    /// Redacts free text that may be of any length, such as an error message with the answer of somebody else's
    /// server in it: as [`text`](Self::text), then cut to the
    /// [payload limit](crate::Redaction::payload_limit). A cut text ends with how much was cut.
    ///
    /// ```
    /// # use throughline_redact::Redaction;
    /// let redactor = Redaction::standard().payload_limit(256).build()?;
    /// let message = redactor.message("refused for ada@example.org");
    /// assert_eq!(message, "refused for [redacted:email]");
    ///
    /// let page = "word ".repeat(1000);
    /// let message = redactor.message(&page);
    /// assert!(message.len() <= 256 && message.ends_with(" bytes]"));
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn message<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = self.text(text);
        if text.len() <= self.0.payload_limit {
            return text;
        }
        Cow::Owned(limit::cut_text(&text, self.0.payload_limit, &|text| self.hits(text)))
    }

    /// Redacts the path of a request that matched a route: as [`text`](Self::text), and what stands in place of a parameter
    /// with a telling name is hidden, whatever it looks like.
    ///
    /// ```
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// assert_eq!(redactor.path("/password-reset/{token}", "/password-reset/tulip"), "/password-reset/[redacted]");
    /// assert_eq!(redactor.path("/loans/{id}", "/loans/42"), "/loans/42");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn path<'a>(&self, route: &str, path: &'a str) -> Cow<'a, str> {
        let scanner = &self.0.scanner;
        if scanner.is_off {
            return Cow::Borrowed(path);
        }
        let mut secrets = paths::find_by_route(route, path, &scanner.keys);
        secrets.retain(|secret| !scanner.marks.is_mark(&path[secret.clone()]));
        if secrets.is_empty() {
            return self.text(path);
        }
        let mut marked = path.to_owned();
        for secret in secrets.into_iter().rev() {
            scanner.counts.add(marker::REDACTED);
            marked.replace_range(secret, marker::REDACTED);
        }
        Cow::Owned(self.text(&marked).into_owned())
    }

    /// Redacts a name of the form `area:what`, as [`text`](Self::text) does, but `password:reset` is the name of an
    /// event and stays. To search by name, apply the same function to the name.
    ///
    /// Some hundred clean names of up to 64 bytes are remembered: for them this is one look-up.
    ///
    /// ```
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// assert_eq!(redactor.name("password:reset-requested"), "password:reset-requested");
    /// assert_eq!(redactor.name("login password=hunter2"), "login password=[redacted]");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    #[inline]
    pub fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.0.clean_names.get(name).is_some() { Cow::Borrowed(name) } else { self.new_name(name) }
    }

    fn new_name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let clean = self.0.scanner.clean(name, Reading::Name);
        if let Cow::Borrowed(name) = clean {
            self.0.clean_names.put(name, ());
        }
        clean
    }

    /// Redacts what must stay findable: correlation ids, tags, and attributes with the key they stand under. If
    /// there is a secret in the text, or the key is sensitive, the whole text becomes a pseudonym, or a mark if there
    /// is no [pseudonym key](crate::Redaction::pseudonym_key). To search for a text, apply the same
    /// function to it first.
    ///
    /// ```
    /// # use throughline_redact::Redaction;
    /// let redactor = Redaction::standard().pseudonym_key("sixteen bytes at least").build()?;
    /// assert_eq!(redactor.findable(Some("tenant"), "acme"), "acme");
    ///
    /// let pseudonym = redactor.findable(Some("user"), "ada@example.org");
    /// assert!(pseudonym.starts_with("pseudonym:"));
    /// assert_eq!(redactor.findable(None, "ada@example.org"), pseudonym);
    ///
    /// // Here the key is what gives it away.
    /// assert!(redactor.findable(Some("customer_name"), "Ada").starts_with("pseudonym:"));
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn findable<'a>(&self, key: Option<&str>, text: &'a str) -> Cow<'a, str> {
        let sensitive = match key {
            Some(key) => {
                let is_sensitive = match self.0.classify(key).0 {
                    KeyClass::Sensitive | KeyClass::Fact => true,
                    KeyClass::Weak(named) => judge::looks_the_part(text, named),
                    KeyClass::Plain | KeyClass::HoldsName | KeyClass::HoldsValue | KeyClass::Allowed => false,
                };
                is_sensitive || self.0.scanner.hits(text, Reading::Prose)
            }
            None => self.0.scanner.hits(text, Reading::Name),
        };
        if !sensitive || self.0.scanner.marks.is_mark(text) {
            return Cow::Borrowed(text);
        }
        match self.0.pseudonyms.get() {
            Some(pseudonyms) => {
                self.0.scanner.counts.add_pseudonym();
                Cow::Owned(pseudonyms.of(text))
            }
            None => {
                self.0.scanner.counts.add(marker::REDACTED);
                Cow::Owned(marker::REDACTED.to_owned())
            }
        }
    }

    /// Redacts the key of an attribute, as [`findable`](Self::findable) does a text without a key. A key such as
    /// `password` is kept, for it says nothing of the password; `ada@example.org` is not. Clean keys are remembered,
    /// as clean [names](Self::name) are.
    ///
    /// ```
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// assert_eq!(redactor.findable_key("password"), "password");
    /// assert_eq!(redactor.findable_key("ada@example.org"), "[redacted]");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn findable_key<'a>(&self, key: &'a str) -> Cow<'a, str> {
        if self.0.classify(key).1.is_some() { self.findable(None, key) } else { Cow::Borrowed(key) }
    }

    /// Redacts a payload, keys and values at any depth, and cuts it to the
    /// [limit](crate::Redaction::payload_limit).
    ///
    /// What stands under a sensitive key is replaced, an object as a whole. What stays is `null`, and a boolean or a number
    /// of one or two digits, unless a yes or a no would tell the secret, as of `hiv`. With an
    /// [allow-list](crate::Redaction::allow_only) the structure stays, and the values that it names. Keys that
    /// become the same by redaction are numbered. What is nested deeper than 100 levels is cut.
    ///
    /// ```
    /// # use serde_json::{Map, Value, json};
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// let mut fields = Map::from_iter([
    ///     ("cardPIN".to_owned(), json!(1234)),
    ///     ("shipping".to_owned(), json!({ "note": "call ada@example.org" })),
    /// ]);
    /// redactor.payload(&mut fields);
    /// assert_eq!(
    ///     Value::Object(fields),
    ///     json!({ "cardPIN": "[redacted]", "shipping": { "note": "call [redacted:email]" } }),
    /// );
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn payload(&self, data: &mut Map<String, Value>) {
        payload::redact(&self.0, data, payload::Scope::Payload);
    }

    /// Redacts fields whose meaning is not known, such as those that a later version of some format has added: as
    /// [`payload`](Self::payload), but the [allow-list](crate::Redaction::allow_only) does not apply. It names
    /// payload fields, and says nothing about these.
    pub fn unknown_fields(&self, fields: &mut Map<String, Value>) {
        payload::redact(&self.0, fields, payload::Scope::DenyList);
    }

    /// Whether there is anything in a text that [`text`](Self::text) would replace.
    ///
    /// ```
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// assert!(redactor.hits("card 4111 1111 1111 1111"));
    /// assert!(!redactor.hits("loan-42"));
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn hits(&self, text: &str) -> bool {
        self.0.scanner.hits(text, Reading::Prose)
    }

    /// What [`text`](Self::text) would replace in a text, in order: for those who want to know rather than to hide.
    ///
    /// ```
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// let text = "mail to ada@example.org, password=hunter2";
    /// let findings: Vec<_> = redactor.findings(text).collect();
    /// assert_eq!(&text[findings[0].range.clone()], "ada@example.org");
    /// assert_eq!((findings[0].kind.as_str(), findings[1].kind.as_str()), ("email", "key"));
    /// assert_eq!(findings[1].because, "the value of `password`");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn findings<'t>(&self, text: &'t str) -> impl Iterator<Item = Finding> + use<'t> {
        finding::explained(text, &self.0.scanner.hits_in(text, Reading::Prose)).into_iter()
    }

    /// What [`payload`](Self::payload) would hide in a payload, and where: for those who want to know rather than to hide. The
    /// [limit](crate::Redaction::payload_limit) is none of its business.
    ///
    /// ```
    /// # use serde_json::{Map, json};
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// let data = Map::from_iter([("env".to_owned(), json!([{ "name": "DB_PASSWORD", "value": "hunter2" }]))]);
    /// let findings = redactor.payload_findings(&data);
    /// assert_eq!(findings[0].pointer, "/env/0/value");
    /// assert_eq!(findings[0].because, "the value of `DB_PASSWORD`");
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn payload_findings(&self, data: &Map<String, Value>) -> Vec<PayloadFinding> {
        payload::explain(&self.0, data)
    }

    /// What stands in a text in place of something else, in order: the `email` of `[redacted:email]`, `key` for `[redacted]`,
    /// which most often stands under a sensitive key, `pseudonym`, and `cut` for what was too long or nested too deep.
    ///
    /// ```
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// let text = redactor.text("pin=1234, mail to ada@example.org");
    /// assert!(redactor.marks(&text).eq(["key", "email"]));
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn marks<'t>(&'t self, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.0.scanner.marks.in_text(text).map(|mark| marker::kind(&text[mark]))
    }

    /// How often this redactor and its clones have put something in place of something else, by kind as
    /// [`marks`](Self::marks) says it. What is redacted once more counts once.
    ///
    /// ```
    /// # let redactor = throughline_redact::Redaction::standard().build()?;
    /// redactor.text("pin=1234, mail to ada@example.org and eve@example.org");
    /// assert!(redactor.counts().into_iter().eq([("email".to_owned(), 2), ("key".to_owned(), 1)]));
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.scanner.counts.by_kind()
    }

    /// Whether there is a [key to make pseudonyms with](crate::Redaction::pseudonym_key): if not,
    /// [`findable`](Self::findable) makes all sensitive texts the same mark.
    pub fn can_pseudonymise(&self) -> bool {
        self.0.pseudonyms.get().is_some()
    }

    /// The pseudonym of a text, whatever it is; `None` if there is no
    /// [key to make pseudonyms with](crate::Redaction::pseudonym_key). What is a mark already stays as it is.
    ///
    /// ```
    /// let redactor = throughline_redact::Redaction::standard().pseudonym_key("a key of sixteen").build()?;
    /// let pseudonym = redactor.pseudonym("acme").unwrap();
    /// assert!(pseudonym.starts_with("pseudonym:"));
    /// assert_eq!(redactor.pseudonym(&pseudonym), Some(pseudonym));
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn pseudonym(&self, text: &str) -> Option<String> {
        let pseudonyms = self.0.pseudonyms.get()?;
        Some(if self.0.scanner.marks.is_mark(text) { text.to_owned() } else { pseudonyms.of(text) })
    }

    /// Makes pseudonyms with this secret, here and in all clones, unless there is a
    /// [key](crate::Redaction::pseudonym_key) already: for a secret that is known only once a store is open. A secret of
    /// fewer than 16 bytes is not used.
    ///
    /// ```
    /// let redactor = throughline_redact::Redaction::standard().build()?;
    /// assert_eq!(redactor.findable(None, "ada@example.org"), "[redacted]");
    /// redactor.pseudonym_key_if_unset(b"sixteen bytes at least");
    /// assert!(redactor.findable(None, "ada@example.org").starts_with("pseudonym:"));
    /// # Ok::<(), throughline_redact::RedactionError>(())
    /// ```
    pub fn pseudonym_key_if_unset(&self, secret: &[u8]) {
        if secret.len() >= LEAST_PSEUDONYM_KEY {
            // What is set first stays.
            let _ = self.0.pseudonyms.set(Pseudonyms::new(secret));
        }
    }
}

impl Rules {
    pub(crate) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    pub(crate) fn payload_limit(&self) -> usize {
        self.payload_limit
    }

    /// Whether values are hidden unless their key is on a list.
    pub(crate) fn has_allow_list(&self) -> bool {
        self.allowed.is_some()
    }

    /// What a key that was seen before says of the value under it. Such a key need not be redacted.
    #[inline]
    pub(crate) fn known_class(&self, key: &str) -> Option<KeyClass> {
        self.key_classes.get(key)
    }

    /// What a key says of the value under it, and the key as it is redacted if it must be.
    fn classify(&self, key: &str) -> (KeyClass, Option<String>) {
        self.known_class(key).map_or_else(|| self.classify_new(key, true, true), |class| (class, None))
    }

    /// The same of a key that was not seen before, which keeps what is around a secret in it, or is hidden altogether.
    #[cold]
    pub(crate) fn classify_new(
        &self,
        key: &str,
        keeps_rest: bool,
        counts: bool,
    ) -> (KeyClass, Option<String>) {
        if !keeps_rest && self.scanner.hits(key, Reading::Name) {
            if counts {
                self.scanner.counts.add(marker::REDACTED);
            }
            return (KeyClass::Sensitive, Some(marker::REDACTED.to_owned()));
        }
        let clean = if counts {
            self.scanner.clean(key, Reading::Name)
        } else {
            self.scanner.clean_uncounted(key, Reading::Name)
        };
        let is_dirty = matches!(clean, Cow::Owned(_));
        let words = without_marks(&clean, &self.scanner.marks);
        let named = |words: &str| self.scanner.keys.classify(words).filter(|_| !self.scanner.is_off);
        // A key that is redacted is classified as it was and as it will be: so that a second pass finds no more.
        let before = || is_dirty.then(|| named(&without_marks(key, &self.scanner.marks))).flatten();
        let class = if self.allowed.as_ref().is_some_and(|allowed| allowed.contains(&keys::compact(&words))) {
            KeyClass::Allowed
        } else {
            match named(&words).or_else(before) {
                Some(named) if named.is_weak || named.kind == SecretKind::Ambiguous => KeyClass::Weak(named),
                Some(Named { kind: SecretKind::Fact, .. }) => KeyClass::Fact,
                Some(_) => KeyClass::Sensitive,
                None => match Holder::of(&words) {
                    Some(Holder::Name) => KeyClass::HoldsName,
                    Some(Holder::Value) => KeyClass::HoldsValue,
                    None => KeyClass::Plain,
                },
            }
        };
        if !is_dirty {
            self.key_classes.put(key, class);
        }
        (class, is_dirty.then(|| clean.into_owned()))
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
