//! The future of a request that is being served.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use throughline_core::{ErrorInfo, RequestSpan, Settled, describe_panic};
use tower_service::Service;

use super::{Arrival, Exchange, Outcome, panic};
use crate::{BoxError, REQUEST_ID, SERVER_TIMING, TracedBody};

type Panic = Box<dyn Any + Send>;
type Answer<F> = Result<<F as Future>::Output, Panic>;

pin_project! {
    /// A request that is being served; `F` is the future of the service inside.
    pub struct ResponseFuture<F: Future> {
        #[pin]
        state: State<F>,
        exchange: Option<Box<Exchange>>,
    }

    impl<F: Future> PinnedDrop for ResponseFuture<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(exchange) = this.exchange.take() else { return };
            // What runs inside is cancelled first, and belongs to the request to its last.
            match exchange.give_up(|| this.state.set(State::Answered)) {
                Ok(()) => exchange.end(Outcome::Cancelled),
                Err(panic) => exchange.end(Outcome::Panicked(describe_panic(&*panic))),
            }
        }
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F: Future> {
        Called { #[pin] future: F },
        // It panicked when it was called.
        Panicked { panic: Option<Panic> },
        // It has answered, and the ends of its steps are not recorded yet.
        Settling { #[pin] settled: Settled, answer: Option<Answer<F>> },
        Answered,
    }
}

impl<F: Future> ResponseFuture<F> {
    /// Calls the service.
    pub(super) fn called<S, B>(
        service: &mut S,
        mut request: Request<B>,
        span: RequestSpan,
        arrival: Arrival,
    ) -> Self
    where
        S: Service<Request<B>, Future = F>,
    {
        let exchange = Exchange::new(span, arrival);
        exchange.arrival.introduce(&mut request, exchange.context());
        let state = match exchange.guard(|| service.call(request)) {
            Ok(future) => State::Called { future },
            Err(panic) => State::Panicked { panic: Some(panic) },
        };
        Self { state, exchange: Some(exchange) }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<TracedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = match this.state.as_mut().project() {
            StateProjection::Called { future } => {
                let Some(exchange) = this.exchange else { return Poll::Pending };
                match exchange.guard(|| future.poll(cx)) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(answer)) => Ok(answer),
                    Err(panic) => Err(panic),
                }
            }
            StateProjection::Panicked { panic } => match panic.take() {
                Some(panic) => Err(panic),
                None => return Poll::Pending,
            },
            StateProjection::Settling { settled, answer } => {
                // Whatever the store says: a failure to record an end leaves it pending, and changes no answer.
                let _ = ready!(settled.poll(cx));
                match answer.take() {
                    Some(answer) => answer,
                    None => return Poll::Pending,
                }
            }
            // Polled again after it was ready: never wakes, as a fused future would.
            StateProjection::Answered => return Poll::Pending,
        };
        let Some(exchange) = this.exchange.take() else { return Poll::Pending };
        let emptied = exchange.guard(|| this.state.set(State::Answered));
        // The first panic is the one to report.
        let answer = answer.and_then(|answer| emptied.map(|()| answer));
        // Nobody outside learns of what is not recorded. Most of the time there is nothing to wait for.
        let mut settled = exchange.context().settled();
        if Pin::new(&mut settled).poll(cx).is_pending() {
            *this.exchange = Some(exchange);
            this.state.set(State::Settling { settled, answer: Some(answer) });
            return Poll::Pending;
        }
        let (id, timing) = (exchange.arrival.id.header(), exchange.timing().to_header());
        let trace = exchange.trace().and_then(|trace| HeaderValue::try_from(trace).ok());
        let mut response = match answer {
            Ok(Ok(response)) => follow(response, exchange),
            Ok(Err(error)) => {
                exchange.end(Outcome::ServiceFailed);
                return Poll::Ready(Err(error));
            }
            Err(panic) => answer_panic(&*panic, exchange),
        };
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id);
        // The handler may have reported times of its own.
        headers.append(SERVER_TIMING, timing);
        if let Some(trace) = trace {
            headers.append(SERVER_TIMING, trace);
        }
        Poll::Ready(Ok(response))
    }
}

/// The exchange lasts until the body has ended.
fn follow<R>(response: Response<R>, mut exchange: Box<Exchange>) -> Response<TracedBody<R>>
where
    R: Body<Data = Bytes>,
{
    let (mut head, body) = response.into_parts();
    let cause = cause_in(&mut head.extensions);
    exchange.answered(head.status, &head.headers, cause);
    let body = match has_body(exchange.arrival.labels.method, head.status) {
        true => TracedBody::followed(body, &head.headers, exchange),
        false => {
            exchange.end(Outcome::Complete);
            TracedBody::unfollowed(body)
        }
    };
    Response::from_parts(head, body)
}

/// What made the handler fail, if it says so.
#[cfg(feature = "axum")]
fn cause_in(extensions: &mut http::Extensions) -> Option<ErrorInfo> {
    extensions.remove().map(|crate::handler_error::Cause(error)| error)
}

#[cfg(not(feature = "axum"))]
fn cause_in(_: &mut http::Extensions) -> Option<ErrorInfo> {
    None
}

/// Whether a body follows the head ([RFC 9112](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)). Where none does, a
/// server drops what the handler gave it, and that is no hang-up. At an upgrade the request has been answered, and the
/// socket's life is another matter.
fn has_body(method: &str, status: StatusCode) -> bool {
    let is_tunnel = method == Method::CONNECT.as_str() && status.is_success();
    let is_bodiless =
        status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    method != Method::HEAD.as_str() && !is_tunnel && !is_bodiless
}

fn answer_panic<R>(panic: &(dyn Any + Send), mut exchange: Box<Exchange>) -> Response<TracedBody<R>> {
    let response = match exchange.arrival.is_grpc {
        true => panic::grpc_status(),
        false => panic::problem(exchange.context(), &exchange.arrival.id),
    };
    exchange.answered(response.status(), response.headers(), None);
    exchange.end(Outcome::Panicked(describe_panic(panic)));
    response
}

impl<F: Future> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
