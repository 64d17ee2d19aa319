//! One request and its answer.

use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use throughline_core::{ErrorInfo, StepError, TraceContext, names};

use super::ClientLayer;
use super::request::{ClientRequest, ClientResponse};
use crate::failure;
use crate::propagate::inject_all;
use crate::server::method_name;
use crate::split::{self, Split};

/// Sends a request in a span of its own, if there is a context.
pub(super) async fn exchange<Q, R, E, S, F>(
    layer: &ClientLayer,
    context: Option<TraceContext>,
    request: Q,
    send: S,
) -> Result<R, E>
where
    Q: ClientRequest,
    R: ClientResponse,
    E: Error + 'static,
    S: FnOnce(Q) -> F,
    F: Future<Output = Result<R, E>>,
{
    let asked = Instant::now();
    let (method, target) = (method_name(request.method()), request.target());
    let Some(context) = context else {
        return send(request).await;
    };
    let step = context
        .dependency_step("http", target.authority())
        .attr(names::attrs::HTTP_METHOD, method)
        .attr(names::attrs::SERVER_ADDRESS, target.host.clone())
        .input(&json!({ "method": method, "url": target.url() }));
    let step = match target.port {
        Some(port) => step.attr(names::attrs::SERVER_PORT, port.to_string()),
        None => step,
    };

    // Both lie outside of the span: the request must be sent, and its answer kept, even if the span is not recorded.
    let waiting = Arc::new(Mutex::new(Some((request, send))));
    let answered = Arc::new(Mutex::new(None));
    let (call, keep) = (Arc::clone(&waiting), Arc::clone(&answered));
    let span = step.run(move |context| async move {
        let Some((mut request, send)) = take(&call) else { return Ok(()) };
        inject_all(&context, request.headers_mut());
        let sent = Instant::now();
        let answer = send(request).await;
        let told = tell(&context, sent - asked, sent.elapsed(), &answer);
        *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        told
    });
    // Whether it was recorded is for the next step to say; see the docs of the layer.
    let _recorded = span.await;
    if let Some(answer) = take(&answered) {
        return answer;
    }
    match take(&waiting) {
        Some((request, send)) => send(request).await,
        // The request was sent and its future dropped: so is this one.
        None => std::future::pending().await,
    }
}

/// What the span is told of the answer before it ends.
fn tell<R: ClientResponse, E: Error + 'static>(
    context: &TraceContext,
    caller: Duration,
    round_trip: Duration,
    answer: &Result<R, E>,
) -> Result<(), Told> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(Told(failure::describe(error))),
    };
    let status = answer.status();
    context.annotate(names::attrs::HTTP_STATUS, status.as_u16().to_string());
    if let Some(split) = Split::of(round_trip, answer.headers()) {
        split::annotate(context, "caller", caller);
        split.parts().iter().for_each(|(part, took)| split::annotate(context, part, *took));
    }
    if status.is_server_error() {
        return Err(Told(ErrorInfo {
            kind: format!("http:{}", status.as_u16()).into(),
            message: status.canonical_reason().unwrap_or("failed").into(),
            chain: Vec::new(),
        }));
    }
    Ok(())
}

/// What is recorded of a call that failed.
struct Told(ErrorInfo);

/// Tells the implementation of [`StepError`] for [`Told`] apart.
enum ByClient {}

impl StepError<ByClient> for Told {
    fn describe(&self) -> ErrorInfo {
        self.0.clone()
    }
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}
