//! [`HealthService`], the endpoints.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;

use super::{Health, HealthStatus, Probe};

/// What is served where.
pub(super) const PATHS: [(&str, Probe); 5] = [
    ("/health/live", Probe::Live),
    ("/health/ready", Probe::Ready),
    ("/health/startup", Probe::Startup),
    ("/livez", Probe::Live),
    ("/readyz", Probe::Ready),
];

/// The endpoints as a tower service, for any HTTP server: returned by [`Health::service`].
#[derive(Debug, Clone)]
pub struct HealthService {
    health: Health,
}

impl HealthService {
    pub(super) fn new(health: Health) -> Self {
        Self { health }
    }
}

impl<B> Service<Request<B>> for HealthService {
    type Response = Response<HealthBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<HealthBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (caller, _) = request.into_parts();
        let health = self.health.clone();
        Box::pin(async move {
            let probe = PATHS.iter().find(|(path, _)| *path == caller.uri.path());
            let Some((_, probe)) = probe else { return Ok(empty(StatusCode::NOT_FOUND)) };
            if !matches!(caller.method, Method::GET | Method::HEAD) {
                let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                return Ok(response);
            }
            let report = health.report(*probe).await;
            let json = report.json(health.0.details.are_shown_to(&caller));
            let mut response = Response::new(HealthBody(Some(Bytes::from(json))));
            if report.status == HealthStatus::Unhealthy {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        })
    }
}

fn empty(status: StatusCode) -> Response<HealthBody> {
    let mut response = Response::new(HealthBody(None));
    *response.status_mut() = status;
    response
}

/// The body of a response to a probe.
pub struct HealthBody(Option<Bytes>);

impl Body for HealthBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|text| Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, Bytes::len) as u64)
    }
}

impl fmt::Debug for HealthBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthBody").finish_non_exhaustive()
    }
}
