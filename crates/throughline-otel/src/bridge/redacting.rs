//! [`Redacting`], an exporter that redacts what it passes on.

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry::{Array, InstrumentationScope, Key, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use serde_json::Map;
use throughline_core::Redactor;

/// Redacts the spans of others before they are exported: around an exporter of OpenTelemetry's SDK, with the
/// [redactor of the emitter](throughline_core::Throughline::redactor).
///
/// ```
/// use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
/// use throughline_core::{MemoryStore, Throughline};
/// use throughline_otel::bridge::Redacting;
///
/// let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
/// // Or that of the crate `opentelemetry-otlp`.
/// let exporter = InMemorySpanExporter::default();
/// let provider = SdkTracerProvider::builder()
///     .with_batch_exporter(Redacting::new(exporter, throughline.redactor().clone()))
///     .build();
/// # drop(provider);
/// # Ok::<(), throughline_core::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Redacting<E> {
    exporter: E,
    redactor: Redactor,
}

impl<E> Redacting<E> {
    /// Passes on to this exporter what this redactor has redacted.
    pub fn new(exporter: E, redactor: Redactor) -> Self {
        Self { exporter, redactor }
    }

    /// The fields are taken apart, so that a new one does not compile until its redaction is decided.
    fn redacted(&self, span: SpanData) -> SpanData {
        let SpanData {
            span_context,
            parent_span_id,
            parent_span_is_remote,
            span_kind,
            name,
            start_time,
            end_time,
            attributes,
            dropped_attributes_count,
            mut events,
            mut links,
            status,
            instrumentation_scope,
        } = span;
        for event in &mut events.events {
            event.name = self.name(std::mem::take(&mut event.name));
            event.attributes = self.attributes(std::mem::take(&mut event.attributes));
        }
        for link in &mut links.links {
            link.attributes = self.attributes(std::mem::take(&mut link.attributes));
        }
        SpanData {
            // Of others: ids, flags, times, numbers.
            span_context,
            parent_span_id,
            parent_span_is_remote,
            span_kind,
            start_time,
            end_time,
            dropped_attributes_count,
            name: self.name(name),
            attributes: self.attributes(attributes),
            events,
            links,
            status: match status {
                Status::Error { description } => Status::Error { description: self.text(description) },
                status => status,
            },
            instrumentation_scope: self.scope(instrumentation_scope),
        }
    }

    fn scope(&self, scope: InstrumentationScope) -> InstrumentationScope {
        let attributes: Vec<_> = scope.attributes().cloned().collect();
        if attributes.is_empty() {
            return scope;
        }
        let mut builder = InstrumentationScope::builder(scope.name().to_owned());
        if let Some(version) = scope.version() {
            builder = builder.with_version(version.to_owned());
        }
        if let Some(url) = scope.schema_url() {
            builder = builder.with_schema_url(url.to_owned());
        }
        builder.with_attributes(self.attributes(attributes)).build()
    }

    fn name(&self, name: Cow<'static, str>) -> Cow<'static, str> {
        match self.redactor.name(&name) {
            Cow::Owned(redacted) => Cow::Owned(redacted),
            Cow::Borrowed(_) => name,
        }
    }

    fn text(&self, text: Cow<'static, str>) -> Cow<'static, str> {
        match self.redactor.message(&text) {
            Cow::Owned(redacted) => Cow::Owned(redacted),
            Cow::Borrowed(_) => text,
        }
    }

    /// As the fields of a payload: a value may be a secret because of its key.
    fn attributes(&self, attributes: Vec<KeyValue>) -> Vec<KeyValue> {
        let mut not_in_json = Vec::new();
        let mut fields = Map::new();
        for KeyValue { key, value, .. } in attributes {
            let (key, is_in_json) = (key.to_string(), is_in_json(&value));
            let as_json = json(value.clone());
            if !is_in_json {
                not_in_json.push((key.clone(), as_json.clone(), value));
            }
            fields.insert(key, as_json);
        }
        self.redactor.payload(&mut fields);
        let original = |key: &str, redacted: &serde_json::Value| {
            let is_untouched = |(known, before, _): &&(String, _, _)| known == key && before == redacted;
            not_in_json.iter().rfind(is_untouched).map(|(_, _, value)| value.clone())
        };
        fields
            .into_iter()
            .map(|(key, redacted)| {
                let value = original(&key, &redacted).unwrap_or_else(|| value_of(redacted));
                KeyValue::new(Key::from(key), value)
            })
            .collect()
    }
}

/// Whether JSON can say it: it has no numbers that are infinite or none.
fn is_in_json(value: &Value) -> bool {
    match value {
        Value::F64(value) => value.is_finite(),
        Value::Array(Array::F64(values)) => values.iter().all(|value| value.is_finite()),
        _ => true,
    }
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::F64(value) => value.into(),
        Value::String(value) => String::from(value).into(),
        Value::Array(Array::Bool(values)) => values.into(),
        Value::Array(Array::I64(values)) => values.into(),
        Value::Array(Array::F64(values)) => values.into(),
        Value::Array(Array::String(values)) => values.into_iter().map(String::from).collect(),
        // What later versions know is told as text.
        other => other.to_string().into(),
    }
}

/// Lists stay lists of one type where they were not touched, and become texts otherwise.
fn value_of(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Bool(value) => value.into(),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => value.into(),
            (None, Some(value)) => value.into(),
            (None, None) => number.to_string().into(),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(values) => {
            if let Some(values) = values.iter().map(serde_json::Value::as_bool).collect::<Option<Vec<_>>>() {
                return Value::Array(values.into());
            }
            if let Some(values) = values.iter().map(serde_json::Value::as_i64).collect::<Option<Vec<_>>>() {
                return Value::Array(values.into());
            }
            if let Some(values) = values.iter().map(serde_json::Value::as_f64).collect::<Option<Vec<_>>>() {
                return Value::Array(values.into());
            }
            let text = |value: serde_json::Value| match value {
                serde_json::Value::String(text) => StringValue::from(text),
                other => StringValue::from(other.to_string()),
            };
            Value::Array(values.into_iter().map(text).collect::<Vec<_>>().into())
        }
        other => other.to_string().into(),
    }
}

impl<E: SpanExporter> SpanExporter for Redacting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let batch = batch.into_iter().map(|span| self.redacted(span)).collect();
        self.exporter.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        // It may have the arguments in it that the process was started with.
        let attributes = resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let attributes = self.attributes(attributes.collect());
        let redacted = match resource.schema_url() {
            Some(url) => Resource::builder_empty().with_schema_url(attributes, url.to_owned()),
            None => Resource::builder_empty().with_attributes(attributes),
        };
        self.exporter.set_resource(&redacted.build());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use throughline_core::Redaction;

    use super::*;

    const CANARY: &str = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";

    /// Keeps the resource that it is told.
    #[derive(Debug, Clone, Default)]
    struct Told(Arc<Mutex<Option<Resource>>>);

    impl SpanExporter for Told {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Ok(())
        }

        fn set_resource(&mut self, resource: &Resource) {
            *self.0.lock().unwrap() = Some(resource.clone());
        }
    }

    fn redacting() -> (Redacting<Told>, Told) {
        let told = Told::default();
        (Redacting::new(told.clone(), Redaction::standard().build().unwrap()), told)
    }

    #[test]
    fn a_resource_is_redacted_and_keeps_its_schema() {
        let (mut redacting, told) = redacting();
        let arguments = Array::String(vec!["serve".into(), CANARY.into()]);
        let attributes =
            [KeyValue::new("process.command_args", Value::Array(arguments)), KeyValue::new("process.pid", 7)];
        redacting
            .set_resource(&Resource::builder_empty().with_schema_url(attributes, "https://schema").build());
        let resource = told.0.lock().unwrap().take().unwrap();
        assert!(!format!("{resource:?}").contains(CANARY), "{resource:?}");
        assert_eq!(resource.get(&"process.pid".into()), Some(7.into()));
        assert!(format!("{:?}", resource.get(&"process.command_args".into())).contains("serve"));
        assert_eq!(resource.schema_url(), Some("https://schema"));
    }

    #[test]
    fn numbers_that_json_does_not_know_stay_numbers_unless_their_key_is_secret() {
        let (redacting, _) = redacting();
        let list = || Value::Array(vec![1.5, f64::INFINITY].into());
        let redacted = redacting.attributes(vec![
            KeyValue::new("ratio", f64::NEG_INFINITY),
            KeyValue::new("ratios", list()),
            KeyValue::new("password", list()),
        ]);
        let of = |key: &str| redacted.iter().find(|pair| pair.key.as_str() == key).unwrap().value.clone();
        assert_eq!(of("ratio"), Value::F64(f64::NEG_INFINITY));
        assert_eq!(of("ratios"), list());
        assert_ne!(of("password"), list());
    }
}
