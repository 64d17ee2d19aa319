//! The response body that ends the request's exchange.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use throughline_core::{ErrorInfo, StepError, describe_panic};

use crate::BoxError;
use crate::server::{Exchange, Outcome};

pin_project! {
    /// A response body: the inner one, or the response to a panic. The request's span ends when it ends; dropped before,
    /// the client has disconnected.
    ///
    /// A panic in the body is caught: the body is cut off with a [`BodyError`], so that the client is not left to believe
    /// that it has everything.
    #[derive(Debug)]
    pub struct TracedBody<B> {
        #[pin]
        content: Content<B>,
        exchange: Option<Box<Exchange>>,
        // How many bytes are still to come, if that is known.
        remaining: Option<u64>,
    }

    impl<B> PinnedDrop for TracedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let exchange = this.exchange.take();
            // What runs inside is cancelled first, and belongs to the request to its last.
            let Some(exchange) = exchange else {
                let _ = guard(None, || this.content.set(Content::Broken));
                return;
            };
            match exchange.give_up(|| this.content.set(Content::Broken)) {
                Ok(()) => exchange.end(Outcome::Cancelled),
                Err(panic) => exchange.end(Outcome::Panicked(describe_panic(&*panic))),
            }
        }
    }
}

pin_project! {
    #[project = ContentProjection]
    #[derive(Debug)]
    enum Content<B> {
        Inner { #[pin] body: B },
        Own { text: Option<Bytes> },
        Broken,
    }
}

impl<B: Body> TracedBody<B> {
    /// The body of a response that is followed to its end.
    pub(crate) fn followed(body: B, headers: &HeaderMap, exchange: Box<Exchange>) -> Self {
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let remaining = announced.or_else(|| body.size_hint().exact());
        let is_over = body.is_end_stream();
        let mut traced = Self { content: Content::Inner { body }, exchange: Some(exchange), remaining };
        if is_over {
            // An empty body is never polled.
            end(&mut traced.exchange, at_the_end(remaining));
        } else {
            note_progress(&mut traced.exchange, remaining);
        }
        traced
    }
}

impl<B> TracedBody<B> {
    /// The body of a response whose end has been recorded already.
    pub(crate) fn unfollowed(body: B) -> Self {
        Self { content: Content::Inner { body }, exchange: None, remaining: None }
    }

    /// A response of our own.
    pub(crate) fn own(text: Bytes) -> Self {
        let text = Some(text).filter(|text| !text.is_empty());
        Self { content: Content::Own { text }, exchange: None, remaining: None }
    }
}

/// Runs a part of a body, in the context of its request while that lasts, and catches its panics.
fn guard<T>(exchange: Option<&Exchange>, part: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    match exchange {
        Some(exchange) => exchange.guard(part),
        None => catch_unwind(AssertUnwindSafe(part)),
    }
}

fn end(exchange: &mut Option<Box<Exchange>>, outcome: Outcome) {
    if let Some(exchange) = exchange.take() {
        exchange.end(outcome);
    }
}

/// How a body ends that says so itself.
fn at_the_end(remaining: Option<u64>) -> Outcome {
    match remaining {
        None | Some(0) => Outcome::Complete,
        // The server closes the connection, or the client gets a protocol error.
        Some(missing) => Outcome::BodyFailed(ErrorInfo {
            kind: "response body".into(),
            message: format!("it ended {missing} bytes short of its content length").into(),
            chain: Vec::new(),
        }),
    }
}

/// Over HTTP/1 a server stops polling once it has what was announced. Over later versions it polls to the end, because
/// trailers may follow; only the client may have had enough.
fn note_progress(exchange: &mut Option<Box<Exchange>>, remaining: Option<u64>) {
    if remaining != Some(0) {
        return;
    }
    match exchange {
        Some(exchange) if exchange.is_asked_to_the_end() => exchange.content_is_out(),
        _ => end(exchange, Outcome::Complete),
    }
}

impl<B> Body for TracedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.project();
        let mut body = match this.content.as_mut().project() {
            ContentProjection::Inner { body } => body,
            ContentProjection::Own { text } => {
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
            }
            ContentProjection::Broken => return Poll::Ready(None),
        };
        let polled = guard(this.exchange.as_deref(), || body.as_mut().poll_frame(cx));
        Poll::Ready(match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(Ok(frame)))) => {
                if let Some(exchange) = this.exchange {
                    let arrived = frame.data_ref().map_or(0, |data| data.len() as u64);
                    *this.remaining = this.remaining.map(|remaining| remaining.saturating_sub(arrived));
                    if let Some(trailers) = frame.trailers_ref() {
                        exchange.look_for_grpc_status(trailers);
                    }
                    if body.is_end_stream() || frame.is_trailers() {
                        end(this.exchange, at_the_end(*this.remaining));
                    } else {
                        note_progress(this.exchange, *this.remaining);
                    }
                }
                Some(Ok(frame))
            }
            Ok(Poll::Ready(Some(Err(error)))) => {
                let error: BoxError = error.into();
                let info = ErrorInfo { kind: "response body".into(), ..error.describe() };
                end(this.exchange, Outcome::BodyFailed(info));
                Some(Err(BodyError(Broken::Failed(error))))
            }
            Ok(Poll::Ready(None)) => {
                end(this.exchange, at_the_end(*this.remaining));
                None
            }
            Err(panic) => {
                // It must not be asked again, and may well panic once more when it goes.
                let _ = guard(this.exchange.as_deref(), || this.content.set(Content::Broken));
                end(this.exchange, Outcome::Panicked(describe_panic(&*panic)));
                Some(Err(BodyError(Broken::Panicked)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Inner { body } => body.is_end_stream(),
            Content::Own { text } => text.is_none(),
            Content::Broken => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Inner { body } => body.size_hint(),
            Content::Own { text } => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Content::Broken => SizeHint::with_exact(0),
        }
    }
}

/// A response body was cut off.
#[derive(Debug)]
pub struct BodyError(Broken);

#[derive(Debug)]
enum Broken {
    Failed(BoxError),
    Panicked,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Broken::Failed(error) => fmt::Display::fmt(error, f),
            Broken::Panicked => f.write_str("the response body panicked"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            // Its text is ours already; but a server may look for what it knows, as for an HTTP/2 reason.
            Broken::Failed(error) => Some(&**error),
            Broken::Panicked => None,
        }
    }
}
