//! What browsers see: how fast pages load and react, what fails in them, and which click led to which request.
//!
//! ```
//! use axum::{Router, routing::post};
//! use throughline_core::{MemoryStore, Throughline};
//! use throughline_tower::LayerExt as _;
//! use throughline_tower::browser::Browser;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("shop").store(MemoryStore::new()).build()?;
//! let browser = Browser::builder(&throughline).allow_origin("https://shop.example.org").build()?;
//!
//! let app = Router::new().route("/orders", post(|| async { "ordered" })).layer(throughline.layer());
//! // After the layer, so that reports are neither measured nor traced as requests.
//! let app: Router = browser.add_to(app);
//! # Ok(())
//! # }
//! ```
//!
//! A page loads the script, before others, and that is all:
//!
//! ```html
//! <script src="/browser/script.js"></script>
//! ```
//!
//! | attribute of the element | |
//! |---|---|
//! | `data-consent="required"` | nothing leaves the page, no header either, before it calls `throughline.consent(true)`; `throughline.consent(false)` forgets what was kept and stops it again |
//! | `data-origins="https://api.example.org"` | other origins, with spaces between them, whose requests continue the trace of a click; they have to allow the header `traceparent` |
//!
//! - **[Web Vitals](https://web.dev/articles/vitals)** are measured by the library
//!   [`web-vitals`](https://github.com/GoogleChrome/web-vitals): LCP, INP, CLS, FCP and TTFB.
//! - **Failures** are errors of scripts and unhandled rejections with their stacks, and what could not be loaded. Each is counted,
//!   and recorded as an event `web:error`.
//! - **A click is the beginning of a trace**: each `fetch` to the page's own origin sends a `traceparent`, and requests within five
//!   seconds of a click have the same trace, in which the click is recorded as `web:click`. A layer that is
//!   [public](crate::ServerLayer::public) does not join it.
//!
//! Reports are sent as beacons, which survive the page, or as requests that do. Texts of the page, such as the label of a button, are
//! not sent, nor the query of its address or of what could not be loaded. Everything is redacted as all events are.
//!
//! Anybody may send anything: what is measured here is what browsers say. The receiver takes 64 KiB and 50 entries at once,
//! [so many](BrowserBuilder::per_second) entries a second of all pages together, and only what pages of its own host and of
//! [listed origins](BrowserBuilder::allow_origin) send. What comes from user agents that call themselves robots is counted apart and
//! not kept.

mod caller;
mod limit;
mod receiver;
mod report;
#[cfg(feature = "source-maps")]
mod source_maps;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ORIGIN, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use throughline_core::Throughline;

use caller::{Caller, Origins};
use receiver::{Outcome, Receiver};
pub use report::ReportError;

/// Where the script is, and where it sends to: beside it.
const SCRIPT: &str = "/browser/script.js";
const REPORT: &str = "/browser/report";

/// As much as [a browser](https://fetch.spec.whatwg.org/#http-network-or-cache-fetch) sends in a beacon.
const BODY_LIMIT: usize = 64 * 1024;

/// The script as it is, and compressed in the ways that browsers ask for, best first.
const PLAIN: &[u8] = include_bytes!("browser/assets/script.js");
const COMPRESSED: [(&str, &[u8]); 2] = [
    ("br", include_bytes!("browser/assets/script.js.br")),
    ("gzip", include_bytes!("browser/assets/script.js.gz")),
];

/// The script for pages, and what takes its reports: see the [module](self).
#[derive(Debug, Clone)]
pub struct Browser(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    origins: Origins,
    receiver: Receiver,
}

impl Browser {
    /// Begins the configuration; what is reported is recorded by this `throughline`.
    pub fn builder(throughline: &Throughline) -> BrowserBuilder {
        BrowserBuilder {
            throughline: throughline.clone(),
            origins: Vec::new(),
            per_second: 1000,
            #[cfg(feature = "source-maps")]
            source_maps: None,
        }
    }

    /// Adds `GET /browser/script.js` and `POST /browser/report` to a router that has the tracing layer around it already.
    pub fn add_to<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        let report = post(take).options(preflight).layer(DefaultBodyLimit::max(BODY_LIMIT));
        router.route(SCRIPT, get(script)).route(REPORT, report.with_state(self.clone()))
    }
}

/// Configures a [`Browser`].
#[derive(Debug)]
#[must_use = "it does nothing before `build`"]
pub struct BrowserBuilder {
    throughline: Throughline,
    origins: Vec<String>,
    per_second: u32,
    #[cfg(feature = "source-maps")]
    source_maps: Option<std::path::PathBuf>,
}

impl BrowserBuilder {
    /// Takes reports of pages of this origin, too, such as `https://shop.example.org`: scheme, host and, if it is not the usual
    /// one, port. Pages of the host that the report is sent to are always heard.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// How many entries a second are taken, of all pages together; 1000 by default, and for a moment ten times as many. What
    /// is beyond that is answered with 429 and counted. Each failure and each click is an event in the store.
    pub fn per_second(mut self, entries: u32) -> Self {
        self.per_second = entries;
        self
    }

    /// Says in stacks of failures where they are in the sources, as far as the source maps of this folder know: that of `app.js` is
    /// `app.js.map`, whatever the path of the script. Maps are read when they are needed, and again when they change; of more than
    /// 32 MiB they are not. No page can ask for them.
    #[cfg(feature = "source-maps")]
    pub fn source_maps(mut self, folder: impl Into<std::path::PathBuf>) -> Self {
        self.source_maps = Some(folder.into());
        self
    }

    /// The script and its receiver.
    ///
    /// # Errors
    /// When an origin is none, no entries are to be taken, or the folder of source maps can't be read.
    pub fn build(self) -> Result<Browser, BrowserError> {
        if self.per_second == 0 {
            return Err(BrowserError::NothingTaken);
        }
        let origins = Origins::of(self.origins)?;
        let receiver = Receiver::new(self.throughline, self.per_second);
        #[cfg(feature = "source-maps")]
        let receiver = match self.source_maps {
            Some(folder) => {
                let maps = source_maps::SourceMaps::of(&folder);
                receiver.resolving(maps.map_err(|source| BrowserError::SourceMaps { folder, source })?)
            }
            None => receiver,
        };
        Ok(Browser(Arc::new(Parts { origins, receiver })))
    }
}

/// Why a [`Browser`] can't be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowserError {
    /// An origin is something else.
    #[error("`{origin}` is not an origin: use scheme, host and port alone, as in https://shop.example.org")]
    Origin {
        /// What was given.
        origin: String,
    },
    /// The limit leaves nothing.
    #[error("at 0 entries a second nothing would be taken: use 1 or more")]
    NothingTaken,
    /// There are no source maps to be read.
    #[cfg(feature = "source-maps")]
    #[error("cannot read the folder of source maps `{}`: {source}", folder.display())]
    SourceMaps {
        /// The folder.
        folder: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

async fn script(headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let chosen = COMPRESSED.iter().find(|(coding, _)| accepts(accepted, coding));
    let body = chosen.map_or(PLAIN, |(_, script)| *script);
    let mut response = body.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=3600"),
        (VARY, "accept-encoding"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some((coding, _)) = chosen {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

/// Whether a header of accepted codings has this one, and not to be refused.
fn accepts(header: &str, coding: &str) -> bool {
    header.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        is_it && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

async fn preflight(State(browser): State<Browser>, headers: HeaderMap) -> Response {
    match browser.0.origins.caller(&headers) {
        Caller::Foreign => StatusCode::FORBIDDEN.into_response(),
        Caller::Known => allowed(StatusCode::NO_CONTENT.into_response(), &headers),
    }
}

async fn take(State(browser): State<Browser>, headers: HeaderMap, body: Bytes) -> Response {
    let Parts { origins, receiver } = &*browser.0;
    if origins.caller(&headers) == Caller::Foreign {
        receiver.count(Outcome::Refused);
        let said = "this origin may not report here: name it with `allow_origin`\n";
        return (StatusCode::FORBIDDEN, said).into_response();
    }
    let answer = if caller::is_robot(&headers) {
        receiver.count(Outcome::Robot);
        StatusCode::NO_CONTENT.into_response()
    } else {
        match receiver.take(&body, &headers).await {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => error.into_response(),
        }
    };
    allowed(answer, &headers)
}

/// Lets the page that sent a request read the response.
fn allowed(mut response: Response, request: &HeaderMap) -> Response {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = request.get(ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    }
    response
}

impl IntoResponse for ReportError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooFast => StatusCode::TOO_MANY_REQUESTS,
            Self::NotRecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let waits = (status == StatusCode::TOO_MANY_REQUESTS).then_some([(RETRY_AFTER, "1")]);
        let answer = (status, format!("{self}\n"));
        match waits {
            Some(headers) => (headers, answer).into_response(),
            None => answer.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{COMPRESSED, accepts};

    #[test]
    fn the_script_has_at_most_three_kilobytes_over_the_wire() {
        for (coding, script) in COMPRESSED {
            assert!(script.len() <= 3072, "{coding}: {} bytes", script.len());
        }
    }

    #[test]
    fn a_coding_is_accepted_where_it_is_named_and_not_refused() {
        assert!(accepts("gzip, deflate, br;q=0.5", "br"));
        assert!(!accepts("gzip, br;q=0", "br"));
        assert!(!accepts("", "gzip"));
        assert!(!accepts("brotli", "br"));
    }
}
