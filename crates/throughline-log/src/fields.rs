//! The fields of an event or a span of `tracing`.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Map, Value};
use throughline_core::{ErrorInfo, Redactor, StepError, Text, names};
use tracing::field::{Field, Visit};

/// What stands in place of a value whose `Debug` or `Display` panicked.
const PANICKED: &str = "[not shown: it panicked while it was formatted]";

/// Of the records of the crate `log`, `tracing-log` gives the origin in fields.
const LOG_PREFIX: &str = "log.";
const LOG_TARGET: &str = "log.target";

/// What an event or a span says.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) message: String,
    pub(crate) error: Option<ErrorInfo>,
    /// Where a record of the crate `log` comes from.
    pub(crate) log_target: Option<String>,
    pub(crate) others: Map<String, Value>,
}

impl Fields {
    /// Reads them. The values format themselves, which is other people's code: if that panics, the rest is kept.
    pub(crate) fn read(&mut self, record: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| record(self))).is_err() {
            let _ = write!(self.message, "{}{PANICKED}", if self.message.is_empty() { "" } else { " " });
        }
    }

    /// Redacts everything, names included.
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        replace(&mut self.message, |message| redactor.message(message));
        if let Some(ErrorInfo { kind, message, chain }) = &mut self.error {
            replace_text(kind, |kind| redactor.name(kind));
            for message in std::iter::once(message).chain(chain) {
                replace_text(message, |message| redactor.message(message));
            }
        }
        if !self.others.is_empty() {
            redactor.payload(&mut self.others);
        }
    }

    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            // `tracing` allows dots, and `r#type` for a keyword.
            name if name.starts_with(LOG_PREFIX) => {
                if name == LOG_TARGET
                    && let Value::String(target) = value
                {
                    self.log_target = Some(target);
                }
            }
            name => {
                self.others.insert(name.trim_start_matches("r#").to_owned(), value);
            }
        }
    }

    fn put_text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            "error" if self.error.is_none() => {
                self.error = Some(ErrorInfo {
                    kind: Text::literal(names::errors::ERROR),
                    message: text.into(),
                    chain: Vec::new(),
                });
            }
            _ => self.put(field, Value::String(text)),
        }
    }
}

fn replace(text: &mut String, redact: impl FnOnce(&str) -> Cow<'_, str>) {
    if let Cow::Owned(redacted) = redact(text) {
        *text = redacted;
    }
}

fn replace_text(text: &mut Text, redact: impl FnOnce(&str) -> Cow<'_, str>) {
    if let Cow::Owned(redacted) = redact(text) {
        *text = redacted.into();
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // A value that fails to format itself is shown as far as it got.
        let _ = write!(text, "{value:?}");
        self.put_text(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, i64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        let value = if value.is_finite() { Value::from(value) } else { value.to_string().into() };
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let info = Held(error).describe();
        if self.error.is_none() {
            self.error = Some(info);
        } else {
            self.put(field, Value::String(info.message.as_str().to_owned()));
        }
    }
}

/// An error whose type is hidden.
struct Held<'e>(&'e (dyn Error + 'static));

impl AsRef<dyn Error + 'static> for Held<'_> {
    fn as_ref(&self) -> &(dyn Error + 'static) {
        self.0
    }
}
