//! One call, from its input to its result.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use throughline_core::{BoxError, Text, TraceContext, names};
use tower::ServiceExt as _;

use super::connect::{Broken, Carrier};
use super::inspector::Exchange;
use super::{CallError, CallOutcome, CallRecord, CallTimes, Caller, Problem};
use crate::failure;
use crate::propagate::inject_all;
use crate::split::{self, Split};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The input as it is sent, and how long it took to write.
pub(super) struct Written {
    pub(super) body: serde_json::Result<Vec<u8>>,
    pub(super) took: Duration,
}

/// Makes a call; `context` is that of its span.
pub(super) async fn run<Out: DeserializeOwned>(
    caller: Caller,
    context: Option<TraceContext>,
    function: Text,
    written: Written,
) -> Result<Out, CallError> {
    let mut ongoing = Ongoing::begin(caller, context, function, written.took);
    let result = attempt(&mut ongoing, written.body).await;
    ongoing.end(result.as_ref().err().map_or(CallOutcome::Success, CallError::outcome));
    result
}

async fn attempt<Out: DeserializeOwned>(
    ongoing: &mut Ongoing,
    body: serde_json::Result<Vec<u8>>,
) -> Result<Out, CallError> {
    let callee = ongoing.caller.callee(&ongoing.record.function);
    let Some(path) = ongoing.caller.path(&callee.function) else { return Err(CallError::BadName { callee }) };
    let Ok(uri) = ongoing.caller.uri(&path) else { return Err(CallError::BadName { callee }) };
    let body = match body {
        Ok(body) => Bytes::from(body),
        Err(source) => return Err(CallError::BadInput { callee, source }),
    };
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    request.headers_mut().insert(ACCEPT, JSON);
    if let Some(context) = &ongoing.context {
        inject_all(context, request.headers_mut());
    }
    ongoing.send(&path, request.headers(), body);

    let (timeout, limit) = (ongoing.caller.timeout, ongoing.caller.response_limit);
    let answer = exchange(ongoing.caller.carrier.clone(), request, limit);
    let answer = match timeout {
        Some(after) => match tokio::time::timeout(after, answer).await {
            Ok(answer) => answer,
            Err(_) => return Err(CallError::TimedOut { callee, after }),
        },
        None => answer.await,
    };
    let (head, body) = match answer {
        Ok(answer) => answer,
        Err(Trouble::Connect(source)) => return Err(CallError::Unreachable { callee, source }),
        Err(Trouble::BrokenOff(source)) => return Err(CallError::BrokenOff { callee, source }),
        Err(Trouble::TooLarge) => return Err(CallError::TooLarge { callee, limit }),
    };
    ongoing.receive(&head, &body);

    let (status, problem) = (head.status, Problem::of(&head.headers, &body));
    if status == StatusCode::NOT_FOUND && problem.is_none() {
        return Err(CallError::NoSuchFunction { callee, path });
    }
    if status.is_client_error() {
        return Err(CallError::Rejected { callee, status, problem });
    }
    if !status.is_success() {
        return Err(CallError::Failed { callee, status, problem });
    }
    let received = Instant::now();
    // A function without a result may answer with nothing.
    let json = if body.is_empty() { &b"null"[..] } else { &body };
    let result = serde_json::from_slice(json);
    ongoing.record.times.deserialize = received.elapsed();
    result.map_err(|error| {
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let content_type = content_type.unwrap_or("not given").to_owned();
        CallError::BadAnswer { callee, wanted: std::any::type_name::<Out>(), content_type, error }
    })
}

enum Trouble {
    Connect(BoxError),
    BrokenOff(BoxError),
    TooLarge,
}

async fn exchange(
    carrier: Carrier,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<(response::Parts, Bytes), Trouble> {
    let answer = carrier.oneshot(request).await.map_err(|Broken(error)| {
        if failure::is_no_connection(&*error) { Trouble::Connect(error) } else { Trouble::BrokenOff(error) }
    })?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, limit).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { Trouble::TooLarge } else { Trouble::BrokenOff(error) }
    })?;
    Ok((head, body.to_bytes()))
}

/// A call that is being made. Dropped before its end it was given up, which is measured too.
struct Ongoing {
    caller: Caller,
    context: Option<TraceContext>,
    record: CallRecord,
    stage: Stage,
    /// What an inspector will be shown.
    exchange: Option<Box<Exchange>>,
    ended: bool,
}

enum Stage {
    /// What was done before it began counts too.
    Preparing {
        since: Instant,
        before: Duration,
    },
    Sent {
        since: Instant,
    },
    Answered,
}

impl Ongoing {
    fn begin(caller: Caller, context: Option<TraceContext>, function: Text, before: Duration) -> Self {
        let mut record = CallRecord::new(function, caller.transport, CallTimes::default());
        record.trace_id = context.as_ref().map(TraceContext::trace_id);
        let stage = Stage::Preparing { since: Instant::now(), before };
        Self { caller, context, record, stage, exchange: None, ended: false }
    }

    fn send(&mut self, path: &str, headers: &HeaderMap, body: Bytes) {
        self.record.request_bytes = body.len() as u64;
        if self.caller.inspector.is_some() {
            self.exchange = Some(Box::new(Exchange::new(path, headers.clone(), body)));
        }
        self.close_stage();
        self.stage = Stage::Sent { since: Instant::now() };
    }

    fn receive(&mut self, head: &response::Parts, body: &Bytes) {
        self.close_stage();
        self.stage = Stage::Answered;
        self.record.response_bytes = body.len() as u64;
        self.record.times.callee = Split::of(self.record.times.round_trip, &head.headers).map(Into::into);
        if let Some(context) = &self.context {
            context.annotate(names::attrs::HTTP_STATUS, head.status.as_u16().to_string());
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.answered(head.status, head.headers.clone(), body.clone());
        }
    }

    /// How long the stage took that ends now.
    fn close_stage(&mut self) {
        match self.stage {
            Stage::Preparing { since, before } => self.record.times.serialize = before + since.elapsed(),
            Stage::Sent { since } => self.record.times.round_trip = since.elapsed(),
            Stage::Answered => {}
        }
    }

    fn end(&mut self, outcome: CallOutcome) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if !matches!(self.stage, Stage::Answered) {
            self.close_stage();
        }
        self.record.outcome = outcome;
        if let Some(context) = &self.context {
            self.record.times.parts().for_each(|(part, took)| split::annotate(context, part.as_str(), took));
            context.annotate(names::attrs::CALL_REQUEST_SIZE, self.record.request_bytes.to_string());
            context.annotate(names::attrs::CALL_RESPONSE_SIZE, self.record.response_bytes.to_string());
        }
        self.caller.measured(&self.record);
        if let (Some(inspector), Some(exchange)) = (&self.caller.inspector, self.exchange.take()) {
            let redactor = self.caller.throughline.redactor();
            inspector.show(*exchange, &self.record, &self.caller.address, redactor);
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let outcome = if std::thread::panicking() { CallOutcome::Panicked } else { CallOutcome::Cancelled };
        self.end(outcome);
    }
}
