//! The server layer.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use serde_json::json;
use throughline_core::{ErrorInfo, InContext as _, InContextFuture, RequestSpan, Throughline, names};
use tower_layer::Layer;
use tower_service::Service;

use crate::{ClientLayer, REQUEST_ID, RequestId, TracedBody, extract};

/// Gives a [`Throughline`] its layer.
pub trait LayerExt {
    /// The layer to put around a router or any HTTP service, as the outermost.
    fn layer(&self) -> ServerLayer;

    /// The layer to put around an HTTP client.
    fn client_layer(&self) -> ClientLayer;
}

impl LayerExt for Throughline {
    fn layer(&self) -> ServerLayer {
        ServerLayer { throughline: self.clone() }
    }

    fn client_layer(&self) -> ClientLayer {
        ClientLayer::new(self)
    }
}

/// The tower layer for servers: axum, tonic and bare hyper services.
#[derive(Debug, Clone)]
pub struct ServerLayer {
    throughline: Throughline,
}

impl<S> Layer<S> for ServerLayer {
    type Service = TracedService<S>;

    fn layer(&self, inner: S) -> TracedService<S> {
        TracedService { inner, throughline: self.throughline.clone() }
    }
}

/// A service whose requests are traced: made by [`ServerLayer`].
#[derive(Debug, Clone)]
pub struct TracedService<S> {
    inner: S,
    throughline: Throughline,
}

impl<S, B, R> Service<Request<B>> for TracedService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
{
    type Response = Response<TracedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = RequestId::of(request.headers());
        let (described, method) = (id.as_str().to_owned(), method_name(request.method()));
        let (route, path) = (matched_route(&request), request.uri().path().to_owned());
        let start =
            self.throughline.request(names::HTTP_REQUEST).continue_from(extract(request.headers())).describe(
                move |details| {
                    let details = details
                        .attr(names::attrs::REQUEST_ID, described)
                        .attr(names::attrs::HTTP_METHOD, method)
                        .input(&json!({ "path": path }));
                    match route {
                        Some(route) => details.attr(names::attrs::HTTP_ROUTE, route),
                        None => details,
                    }
                },
            );
        request.extensions_mut().insert(id.clone());
        // The service that was made ready is the one to call; its clone waits for the next request.
        let waiting = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, waiting);
        let opening = Box::pin(start.open());
        ResponseFuture { state: State::Opening { opening, call: Some((ready, request)) }, id }
    }
}

#[cfg(feature = "axum")]
fn matched_route<B>(request: &Request<B>) -> Option<String> {
    request.extensions().get::<axum::extract::MatchedPath>().map(|path| path.as_str().to_owned())
}

#[cfg(not(feature = "axum"))]
fn matched_route<B>(_request: &Request<B>) -> Option<String> {
    None
}

/// A method that is not one of the registered ones may be anything: it must not become a value to group by.
pub(crate) fn method_name(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

type Opening = Pin<Box<dyn Future<Output = RequestSpan> + Send>>;

pin_project! {
    /// A request that is being served.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
        id: RequestId,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, B> {
        Opening { opening: Opening, call: Option<(S, Request<B>)> },
        Traced { #[pin] future: InContextFuture<F>, span: Option<RequestSpan> },
        Answered,
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<TracedBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Opening { opening, call } => {
                    let opened = ready!(opening.as_mut().poll(cx));
                    let Some((mut service, mut request)) = call.take() else { return Poll::Pending };
                    let span = opened;
                    let context = span.context().clone();
                    request.extensions_mut().insert(context.clone());
                    let called = catch_unwind(AssertUnwindSafe(|| {
                        context.scope(|| service.call(request)).in_context(&context)
                    }));
                    match called {
                        Ok(future) => this.state.set(State::Traced { future, span: Some(span) }),
                        Err(panic) => {
                            this.state.set(State::Answered);
                            return Poll::Ready(Ok(answer_panic(span, &*panic, this.id)));
                        }
                    }
                }
                StateProjection::Traced { future, span } => {
                    let polled = catch_unwind(AssertUnwindSafe(|| future.poll(cx)));
                    let answer = match polled {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(answer)) => Ok(answer),
                        Err(panic) => Err(panic),
                    };
                    let Some(span) = span.take() else { return Poll::Pending };
                    this.state.set(State::Answered);
                    return Poll::Ready(match answer {
                        Ok(Ok(response)) => Ok(answer_with(span, response, this.id)),
                        Ok(Err(error)) => {
                            span.fail(error_info("service", "the service failed before it answered"));
                            Err(error)
                        }
                        Err(panic) => Ok(answer_panic(span, &*panic, this.id)),
                    });
                }
                StateProjection::Answered => return Poll::Pending,
            }
        }
    }
}

fn answer_with<R>(span: RequestSpan, mut response: Response<R>, id: &RequestId) -> Response<TracedBody<R>>
where
    R: Body<Data = Bytes>,
{
    response.headers_mut().insert(REQUEST_ID, id.header());
    let status = response.status();
    span.context().annotate(names::attrs::HTTP_STATUS, status.as_u16().to_string());
    if status.is_server_error() {
        span.fail(error_info(
            &format!("http:{}", status.as_u16()),
            status.canonical_reason().unwrap_or("failed"),
        ));
        return response.map(|body| TracedBody::inner(body, None));
    }
    response.map(|body| TracedBody::inner(body, Some(span)))
}

/// A problem as [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) has it: what the client may know, and the ids under
/// which we find the rest.
fn answer_panic<R: Body<Data = Bytes>>(
    span: RequestSpan,
    panic: &(dyn Any + Send),
    id: &RequestId,
) -> Response<TracedBody<R>> {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let problem = json!({
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": status.as_u16(),
        "request_id": id.as_str(),
        "trace_id": span.context().trace_id(),
    });
    span.context().annotate(names::attrs::HTTP_STATUS, status.as_u16().to_string());
    span.fail(ErrorInfo::of_panic(panic));
    let mut response = Response::new(TracedBody::own(Bytes::from(problem.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response.headers_mut().insert(REQUEST_ID, id.header());
    response
}

fn error_info(kind: &str, message: &str) -> ErrorInfo {
    ErrorInfo { kind: kind.to_owned().into(), message: message.to_owned().into(), chain: Vec::new() }
}
