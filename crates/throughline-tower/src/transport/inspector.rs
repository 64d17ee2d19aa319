//! [`Inspector`]: shows calls while you develop.

use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use throughline_core::Redactor;
use throughline_core::query::Style;

use super::printer::{self, Emphasis, Printer};
use super::writer::SharedWriter;
use super::{CallOutcome, CallRecord, Transport};

/// How many columns of a body are shown as text.
const BODY: usize = 2000;

/// Shows calls while you develop: where they went, the headers and bodies of both sides, where the time went. All of it
/// passes the redactor of the caller's [`Throughline`](throughline_core::Throughline) first. Give it to a
/// [`Caller`](super::Caller); cheap to clone.
#[derive(Clone)]
pub struct Inspector(Arc<dyn Fn(&Inspection) + Send + Sync>);

impl Inspector {
    /// Hands every call to a closure.
    pub fn new(show: impl Fn(&Inspection) + Send + Sync + 'static) -> Self {
        Self(Arc::new(show))
    }

    /// Writes every call as text. What cannot be written is left out: a call must not fail because of its inspector.
    pub fn to_writer(writer: impl Write + Send + 'static, style: Style) -> Self {
        let writer = SharedWriter::new(writer);
        Self::new(move |call| writer.write(call.render(&style)))
    }

    /// Writes every call to the standard error; in colours if that is a terminal, and not if `NO_COLOR` is set.
    pub fn stderr() -> Self {
        let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        Self::to_writer(io::stderr(), if colours { Style::ansi() } else { Style::plain() })
    }

    pub(super) fn show(&self, exchange: Exchange, record: &CallRecord, address: &str, redactor: &Redactor) {
        let call = exchange.redacted(record, address, redactor);
        // An abandoned call is shown while it is dropped, where a panic could abort the process.
        if catch_unwind(AssertUnwindSafe(|| (self.0)(&call))).is_err() {
            tracing::warn!(target: "throughline", "an inspector panicked; the call continued");
        }
    }
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspector").finish_non_exhaustive()
    }
}

/// A call as it was: not redacted, so it stays in here.
pub(super) struct Exchange {
    path: String,
    sent: Message,
    answer: Option<(StatusCode, Message)>,
}

struct Message {
    headers: HeaderMap,
    body: Bytes,
}

impl Exchange {
    pub(super) fn new(path: &str, headers: HeaderMap, body: Bytes) -> Self {
        Self { path: path.to_owned(), sent: Message { headers, body }, answer: None }
    }

    pub(super) fn answered(&mut self, status: StatusCode, headers: HeaderMap, body: Bytes) {
        self.answer = Some((status, Message { headers, body }));
    }

    fn redacted(self, record: &CallRecord, address: &str, redactor: &Redactor) -> Inspection {
        let mut record = record.clone();
        record.function = redactor.text(&record.function).into();
        Inspection {
            address: redactor.text(address).into_owned(),
            path: redactor.text(&self.path).into_owned(),
            request: self.sent.redacted(redactor),
            status: self.answer.as_ref().map(|(status, _)| status.as_u16()),
            answer: self.answer.map(|(_, answer)| answer.redacted(redactor)),
            record,
        }
    }
}

impl Message {
    fn redacted(self, redactor: &Redactor) -> InspectedMessage {
        let mut headers = Map::new();
        for name in self.headers.keys() {
            let values =
                self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
            let values: Vec<_> = values.collect();
            headers.insert(name.as_str().to_owned(), Value::String(values.join(", ")));
        }
        redactor.payload(&mut headers);
        let body = match (serde_json::from_slice(&self.body), std::str::from_utf8(&self.body)) {
            (Ok(json), _) => json,
            (_, Ok("")) => Value::Null,
            (_, Ok(text)) => Value::String(text.to_owned()),
            (_, Err(_)) => Value::String("[not text]".to_owned()),
        };
        let mut fields = Map::from_iter([("body".to_owned(), body)]);
        redactor.payload(&mut fields);
        let body = fields.remove("body").unwrap_or_default();
        InspectedMessage { headers, body, bytes: self.body.len() as u64 }
    }
}

/// A call as an [`Inspector`] shows it: redacted, and cut to the redactor's
/// [payload limit](throughline_core::Redaction::payload_limit).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// What was measured.
    pub record: CallRecord,
    /// Where it went: an origin, the path of a socket, or `this process`.
    pub address: String,
    /// The path of the request, which is a `POST`.
    pub path: String,
    /// What was sent.
    pub request: InspectedMessage,
    /// The status of the response, if one came.
    pub status: Option<u16>,
    /// What was answered.
    pub answer: Option<InspectedMessage>,
}

/// One side of a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct InspectedMessage {
    /// The headers; several of one name in one text.
    pub headers: Map<String, Value>,
    /// The body: JSON if it is JSON, else a text.
    pub body: Value,
    /// How many bytes the body had.
    pub bytes: u64,
}

impl Inspection {
    /// The call as text for people.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        let record = &self.record;
        printer
            .put(Emphasis::Heading, "→ ")
            .put(Emphasis::Heading, &record.function)
            .put(Emphasis::Normal, " over ");
        printer.put(Emphasis::Heading, record.transport.as_str());
        let where_to = match record.transport {
            Transport::Http => "",
            Transport::Ipc => "socket ",
            Transport::Direct => "in ",
        };
        printer
            .put(Emphasis::Normal, &format!(" · {where_to}{} · POST {}", self.address, self.path))
            .end_line();
        self.request.write(&mut printer);

        let emphasis = if record.outcome == CallOutcome::Success { Emphasis::Good } else { Emphasis::Bad };
        printer.put(emphasis, &format!("← {}", record.outcome));
        if let Some(status) = self.status {
            printer.put(Emphasis::Normal, &format!(" · {status}"));
        }
        let total = printer::duration(record.times.total());
        let parts: Vec<_> =
            record.times.parts().map(|(part, took)| format!("{part} {}", printer::duration(took))).collect();
        printer.put(Emphasis::Normal, &format!(" · {total}: {}", parts.join(", "))).end_line();
        if let Some(answer) = &self.answer {
            answer.write(&mut printer);
        }
        if let Some(trace_id) = &record.trace_id {
            printer.put(Emphasis::Dim, &format!("  trace {trace_id}")).end_line();
        }
        printer.finish()
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Style::plain()))
    }
}

impl InspectedMessage {
    fn write(&self, printer: &mut Printer<'_>) {
        for (name, value) in &self.headers {
            printer.put(Emphasis::Dim, &format!("  {name}: "));
            printer
                .put(Emphasis::Normal, &value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                .end_line();
        }
        if self.bytes > 0 {
            printer
                .put(Emphasis::Normal, "  ")
                .put(Emphasis::Normal, &printer::cut(&self.body.to_string(), BODY));
            printer.put(Emphasis::Dim, &format!("  {}", printer::bytes(self.bytes))).end_line();
        }
    }
}
