//! The future of a request that is being served.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use throughline_core::{ErrorInfo, RequestSpan, RequestStart};
use tower_service::Service;

use super::{Arrival, Exchange, Outcome, panic};
use crate::{BoxError, REQUEST_ID, SERVER_TIMING, TracedBody};

type Panic = Box<dyn Any + Send>;

pin_project! {
    /// A request that is being served.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
        exchange: Option<Box<Exchange>>,
    }

    impl<S, B> PinnedDrop for ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(exchange) = this.exchange.take() else { return };
            // What runs inside is cancelled first, and belongs to the request to its last.
            match exchange.guard(|| this.state.set(State::Answered)) {
                Ok(()) => exchange.end(Outcome::Cancelled),
                Err(panic) => exchange.end(Outcome::Panicked(ErrorInfo::of_panic(&*panic))),
            }
        }
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, B> {
        // The store's queue is full.
        Waiting { opening: Pin<Box<dyn Future<Output = RequestSpan> + Send>>, call: Option<Box<Call<S, B>>> },
        Called { #[pin] future: F },
        // It panicked when it was called.
        Panicked { panic: Option<Panic> },
        Answered,
    }
}

/// What is to be called.
struct Call<S, B> {
    service: S,
    request: Request<B>,
    arrival: Arrival,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    /// The service is called at once.
    pub(super) fn called(service: &mut S, request: Request<B>, span: RequestSpan, arrival: Arrival) -> Self {
        let called = arrival.taken;
        let exchange = Exchange::new(span, arrival, called);
        Self { state: call(service, request, &exchange), exchange: Some(exchange) }
    }

    /// The service is called as soon as there is room to record what becomes of it.
    pub(super) fn waiting(start: RequestStart, service: S, request: Request<B>, arrival: Arrival) -> Self {
        let call = Some(Box::new(Call { service, request, arrival }));
        Self { state: State::Waiting { opening: Box::pin(start.open()), call }, exchange: None }
    }
}

fn call<S, B>(service: &mut S, mut request: Request<B>, exchange: &Exchange) -> State<S, S::Future, B>
where
    S: Service<Request<B>>,
{
    exchange.arrival.introduce(&mut request, exchange.context());
    match exchange.guard(|| service.call(request)) {
        Ok(future) => State::Called { future },
        Err(panic) => State::Panicked { panic: Some(panic) },
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Output = Result<Response<TracedBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = loop {
            match this.state.as_mut().project() {
                StateProjection::Waiting { opening, call: waiting } => {
                    let span = ready!(opening.as_mut().poll(cx));
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    let Call { mut service, request, arrival } = *waiting;
                    let exchange = Exchange::new(span, arrival, Instant::now());
                    let called = call(&mut service, request, &exchange);
                    *this.exchange = Some(exchange);
                    this.state.set(called);
                }
                StateProjection::Called { future } => {
                    let Some(exchange) = this.exchange else { return Poll::Pending };
                    match exchange.guard(|| future.poll(cx)) {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(answer)) => break Ok(answer),
                        Err(panic) => break Err(panic),
                    }
                }
                StateProjection::Panicked { panic } => match panic.take() {
                    Some(panic) => break Err(panic),
                    None => return Poll::Pending,
                },
                // Polled again after it was ready: never wakes, as a fused future would.
                StateProjection::Answered => return Poll::Pending,
            }
        };
        let Some(exchange) = this.exchange.take() else { return Poll::Pending };
        let emptied = exchange.guard(|| this.state.set(State::Answered));
        // The first panic is the one to tell of.
        let answer = answer.and_then(|answer| emptied.map(|()| answer));
        let (id, timing) = (exchange.arrival.id.header(), exchange.timing().to_header());
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
        // The handler may have told of times of its own.
        headers.append(SERVER_TIMING, timing);
        Poll::Ready(Ok(response))
    }
}

/// The exchange goes on until the body has ended.
fn follow<R>(response: Response<R>, mut exchange: Box<Exchange>) -> Response<TracedBody<R>>
where
    R: Body<Data = Bytes>,
{
    let (head, body) = response.into_parts();
    exchange.answered(head.status, &head.headers);
    let body = match has_body(exchange.arrival.labels.method, head.status) {
        true => TracedBody::followed(body, &head.headers, exchange),
        false => {
            exchange.end(Outcome::Complete);
            TracedBody::unfollowed(body)
        }
    };
    Response::from_parts(head, body)
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
    exchange.answered(response.status(), response.headers());
    exchange.end(Outcome::Panicked(ErrorInfo::of_panic(panic)));
    response
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
