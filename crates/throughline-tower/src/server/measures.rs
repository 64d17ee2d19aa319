//! What is measured of a request, and under which labels.

use http::{Method, Request, Version, uri::Scheme};
use throughline_core::metrics::{CounterFamily, GaugeFamily, HistogramFamily, Meter, catalogue};
use throughline_core::names;

/// The series of a server.
#[derive(Debug)]
pub(crate) struct Measures {
    pub(super) duration: HistogramFamily<6>,
    pub(super) active: GaugeFamily<2>,
    pub(super) websockets: GaugeFamily<1>,
    pub(super) upgrades: CounterFamily<2>,
}

impl Measures {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            duration: meter.histogram(&catalogue::HTTP_SERVER_REQUEST_DURATION),
            active: meter.gauge(&catalogue::HTTP_SERVER_ACTIVE_REQUESTS),
            websockets: meter.gauge(&catalogue::HTTP_SERVER_WEBSOCKETS),
            upgrades: meter.counter(&catalogue::HTTP_SERVER_WEBSOCKET_UPGRADES),
        }
    }
}

/// What a request is counted under. Nothing in it is the client's to choose freely.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    pub(super) method: &'static str,
    pub(super) scheme: &'static str,
    pub(super) version: &'static str,
    pub(super) route: Route,
}

impl Labels {
    /// `usual_scheme` is that of requests that do not name one.
    pub(super) fn of<B>(request: &Request<B>, usual_scheme: &'static str) -> Self {
        Self {
            method: method(request.method()),
            scheme: request.uri().scheme().map_or(usual_scheme, scheme),
            version: version(request.version()),
            route: Route::of(request),
        }
    }
}

/// The route that a request matched.
#[cfg(feature = "axum")]
#[derive(Debug, Clone)]
pub(crate) struct Route(Option<axum::extract::MatchedPath>);

#[cfg(feature = "axum")]
impl Route {
    fn of<B>(request: &Request<B>) -> Self {
        Self(request.extensions().get().cloned())
    }

    pub(super) fn matched(&self) -> Option<&str> {
        self.0.as_ref().map(axum::extract::MatchedPath::as_str)
    }
}

/// The route that a request matched, which is unknown here.
#[cfg(not(feature = "axum"))]
#[derive(Debug, Clone)]
pub(crate) struct Route;

#[cfg(not(feature = "axum"))]
impl Route {
    fn of<B>(_request: &Request<B>) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "with axum there is something to ask")]
    pub(super) fn matched(&self) -> Option<&str> {
        None
    }
}

impl Route {
    pub(super) fn label(&self) -> &str {
        self.matched().unwrap_or(names::labels::UNMATCHED)
    }
}

pub(crate) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => names::labels::OTHER,
    }
}

pub(super) fn scheme(scheme: &Scheme) -> &'static str {
    match scheme.as_str() {
        "http" => "http",
        "https" => "https",
        _ => names::labels::OTHER,
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => names::labels::OTHER,
    }
}
