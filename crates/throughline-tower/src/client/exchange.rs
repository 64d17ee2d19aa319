//! One request and its answer.

use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;
use throughline_core::{ErrorInfo, TraceContext, names};

use super::ClientLayer;
use super::measure::{KIND, Measure};
use super::request::{ClientRequest, ClientResponse};
use crate::failure::{self, Described};
use crate::grpc;
use crate::propagate::inject_all;
use crate::server;
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
    // The span's future must hold no lifetime, not even a static one: rustc would not know then that it can be sent.
    let (verb, target) = (request.method().clone(), request.target());
    let method = server::method(&verb);
    let Some(context) = context else {
        return unrecorded(layer.metrics.begin(method, &target), request, send).await;
    };
    let step = context
        .dependency_step(KIND, target.authority())
        .attr(names::attrs::HTTP_METHOD, method)
        .attr(names::attrs::SERVER_ADDRESS, target.host.clone())
        .input(&json!({ "method": method, "url": target.url() }));
    let step = match target.port {
        Some(port) => step.attr(names::attrs::SERVER_PORT, port.to_string()),
        None => step,
    };

    // Both are kept outside the span: the request must be sent, and its answer kept, even if the span is not recorded.
    let waiting = Arc::new(Mutex::new(Some((request, send))));
    let answered = Arc::new(Mutex::new(None));
    let (call, keep) = (Arc::clone(&waiting), Arc::clone(&answered));
    let (metrics, called, propagates) = (layer.metrics.clone(), target.clone(), layer.propagates_to(&target));
    let span = step.run(move |context| async move {
        let Some((mut request, send)) = take(&call) else { return Ok(()) };
        if propagates {
            inject_all(&context, request.headers_mut());
        }
        let measure = metrics.begin(server::method(&verb), &called);
        let caller = asked.elapsed();
        let answer = send(request).await;
        let round_trip = measure.end(&answer);
        let split = answer.as_ref().ok().and_then(|answer| Split::of(round_trip, answer.headers()));
        if let Some(split) = split {
            for (part, took) in [("caller", caller)].into_iter().chain(split.parts()) {
                split::annotate(&context, part, took);
                metrics.part(&called, part, took);
            }
        }
        let outcome = describe(&context, &answer);
        *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        outcome
    });
    // Whether it was recorded is for the next step to say; see the docs of the layer.
    let _recorded = span.await;
    if let Some(answer) = take(&answered) {
        return answer;
    }
    match take(&waiting) {
        Some((request, send)) => unrecorded(layer.metrics.begin(method, &target), request, send).await,
        // The request was sent and its future dropped: so is this one.
        None => std::future::pending().await,
    }
}

/// Sends a request and records nothing but metrics.
async fn unrecorded<Q, R, E, S, F>(measure: Measure, request: Q, send: S) -> Result<R, E>
where
    R: ClientResponse,
    E: Error + 'static,
    S: FnOnce(Q) -> F,
    F: Future<Output = Result<R, E>>,
{
    let answer = send(request).await;
    measure.end(&answer);
    answer
}

/// What the span records of the response before it ends.
fn describe<R: ClientResponse, E: Error + 'static>(
    context: &TraceContext,
    answer: &Result<R, E>,
) -> Result<(), Described> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(Described(failure::describe(error))),
    };
    let status = answer.status();
    context.annotate(names::attrs::HTTP_STATUS, status.as_u16().to_string());
    let (kind, message) = if status.is_server_error() {
        (format!("http:{}", status.as_u16()), status.canonical_reason().unwrap_or("failed"))
    } else if let Some(code) = grpc::failure_in(answer.headers()).filter(|code| code.is_fault) {
        (code.label.to_owned(), code.name)
    } else {
        return Ok(());
    };
    Err(Described(ErrorInfo { kind: kind.into(), message: message.into(), chain: Vec::new() }))
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}
