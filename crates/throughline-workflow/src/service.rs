//! [`RecordedService`]: the one tower service behind the layers of this crate.

use std::task::{Context, Poll};

use throughline_core::{BoxError, BoxFuture};
use tower_service::Service;

/// A service whose calls are recorded: created by [`WorkflowLayer`](crate::WorkflowLayer),
/// [`StepLayer`](crate::StepLayer) and [`JobLayer`](crate::JobLayer). `L` says as what.
#[derive(Debug, Clone)]
pub struct RecordedService<S, L> {
    inner: S,
    layer: L,
}

/// A service that may be put inside.
pub trait Inner<R>:
    Service<R, Response: Send, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static
{
}

impl<S, R> Inner<R> for S where
    S: Service<R, Response: Send, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static
{
}

/// The outcome of a service's call, on its way out through a layer.
pub(crate) type Recorded<S, R> = BoxFuture<'static, Result<<S as Service<R>>::Response, BoxError>>;

/// What a layer does around each call.
pub trait Record<R> {
    /// Calls the service, which is ready, and records that.
    fn record<S: Inner<R>>(&self, request: R, service: S) -> Recorded<S, R>;
}

impl<S, L> RecordedService<S, L> {
    pub(crate) fn new(inner: S, layer: L) -> Self {
        Self { inner, layer }
    }
}

impl<S, L, R> Service<R> for RecordedService<S, L>
where
    S: Inner<R>,
    L: Record<R>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Recorded<S, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The service that was made ready is called; a clone waits for the next request in its place.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        self.layer.record(request, ready)
    }
}
