//! The response body that ends the request's span.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use throughline_core::{ErrorInfo, RequestSpan};

pin_project! {
    /// A response body: the inner one, or the answer to a panic. The request's span ends when it ends; dropped before,
    /// the client has gone away.
    #[derive(Debug)]
    pub struct TracedBody<B> {
        #[pin]
        content: Content<B>,
        span: Option<RequestSpan>,
    }
}

pin_project! {
    #[project = ContentProjection]
    #[derive(Debug)]
    enum Content<B> {
        Inner { #[pin] body: B },
        Own { text: Option<Bytes> },
    }
}

impl<B: Body> TracedBody<B> {
    /// The body of an answer; `span` is `None` if it has ended already.
    pub(crate) fn inner(body: B, span: Option<RequestSpan>) -> Self {
        let mut traced = Self { content: Content::Inner { body }, span };
        // An empty body is never polled.
        if matches!(&traced.content, Content::Inner { body } if body.is_end_stream()) {
            succeed(&mut traced.span);
        }
        traced
    }

    /// An answer of our own.
    pub(crate) fn own(text: Bytes) -> Self {
        Self { content: Content::Own { text: Some(text) }, span: None }
    }
}

fn succeed(span: &mut Option<RequestSpan>) {
    if let Some(span) = span.take() {
        span.succeed();
    }
}

impl<B> Body for TracedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = match this.content.project() {
            ContentProjection::Own { text } => {
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
            }
            ContentProjection::Inner { mut body } => {
                let context = this.span.as_ref().map(|span| span.context().clone());
                let frame = match context {
                    Some(context) => ready!(context.scope(|| body.as_mut().poll_frame(cx))),
                    None => ready!(body.as_mut().poll_frame(cx)),
                };
                // A server stops asking once the body says that it has ended.
                if frame.is_none() || body.is_end_stream() {
                    succeed(this.span);
                }
                frame
            }
        };
        if let (Some(Err(error)), Some(span)) = (&frame, this.span.take_if(|_| matches!(frame, Some(Err(_)))))
        {
            span.fail(ErrorInfo {
                kind: "response body".into(),
                message: error.to_string().into(),
                chain: Vec::new(),
            });
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Inner { body } => body.is_end_stream(),
            Content::Own { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Inner { body } => body.size_hint(),
            Content::Own { text } => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}
