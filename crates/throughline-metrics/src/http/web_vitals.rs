//! What browsers measure.

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use throughline_core::metrics::catalogue::{WEB_CLS, WEB_ERRORS, WEB_INP, WEB_LCP};
use throughline_core::metrics::{Counter, Histogram, Meter};

/// As much as [a browser](https://fetch.spec.whatwg.org/#http-network-or-cache-fetch) sends in a beacon.
const BODY_LIMIT: usize = 64 * 1024;
/// Measurements in one body.
const MOST: usize = 50;
/// Ten minutes, in milliseconds: nobody waited longer for a page and stayed.
const LONGEST_MS: f64 = 600_000.0;
/// Each shift counts at most 1; a page that makes more than a hundred of them in a session window is none.
const LARGEST_SHIFT: f64 = 100.0;

/// A router that takes what browsers measure at `POST /web-vitals`: the
/// [Core Web Vitals](https://web.dev/articles/vitals) `LCP`, `INP` and `CLS`, as the library
/// [`web-vitals`](https://github.com/GoogleChrome/web-vitals) gives them, and `error` for an error of a script.
///
/// ```js
/// const send = (metric) => navigator.sendBeacon("/web-vitals", JSON.stringify(metric));
/// onLCP(send); onINP(send); onCLS(send);
/// addEventListener("error", () => send({ name: "error" }));
/// ```
///
/// The body is one measurement, `{"name": "LCP", "value": 1250.5}`, or a list of them; more fields do no harm, and the
/// content type does not matter. Times are in milliseconds, as browsers have them, and kept in seconds. The answer is
/// 204; 400 for what is no such JSON, 413 for more than 64 KiB, and 422 for an unknown name or a value that no page has.
/// Of a list that has such an entry nothing is kept.
///
/// Anybody may send anything, so these are figures of what browsers say.
pub fn web_vitals<S>(meter: &Meter) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let vitals = Vitals {
        lcp: meter.histogram(&WEB_LCP).with([]),
        inp: meter.histogram(&WEB_INP).with([]),
        cls: meter.histogram(&WEB_CLS).with([]),
        errors: meter.counter(&WEB_ERRORS).with([]),
    };
    let receive = move |body: Bytes| {
        let answer = vitals.receive(&body);
        async move {
            match answer {
                Ok(()) => StatusCode::NO_CONTENT.into_response(),
                Err(error) => error.into_response(),
            }
        }
    };
    Router::new().route("/web-vitals", post(receive)).layer(DefaultBodyLimit::max(BODY_LIMIT))
}

/// Why a measurement of a browser is not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeaconError {
    /// The body is no JSON, or other JSON than is wanted.
    #[error("expected {{\"name\": \"LCP\", \"value\": 1250.5}} or a list of such objects: {0}")]
    Malformed(#[from] serde_json::Error),
    /// There are too many measurements in the body.
    #[error("too many measurements in one body: got {given}, send at most {MOST}")]
    TooMany {
        /// How many there are.
        given: usize,
    },
    /// First Input Delay is measured no more.
    #[error("FID has been replaced by INP: use onINP of the library web-vitals")]
    Replaced,
    /// Nothing of that name is measured.
    #[error("`{name}` is not supported: send LCP, INP, CLS or error")]
    Unknown {
        /// The name, cut to 32 letters.
        name: String,
    },
    /// It does not say how much.
    #[error("{name} has no value: send a number")]
    NoValue {
        /// The name.
        name: &'static str,
    },
    /// No page has such a value.
    #[error("{name} of {value:?} is not plausible: expected 0 to {most}")]
    Implausible {
        /// The name.
        name: &'static str,
        /// The value.
        value: f64,
        /// The largest that is taken.
        most: f64,
    },
}

impl IntoResponse for BeaconError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        (status, format!("{self}\n")).into_response()
    }
}

#[derive(Deserialize)]
struct Measurement {
    name: String,
    #[serde(default)]
    value: Option<f64>,
}

/// A measurement that is plausible.
enum Vital {
    Lcp(f64),
    Inp(f64),
    Cls(f64),
    Error,
}

impl TryFrom<Measurement> for Vital {
    type Error = BeaconError;

    fn try_from(measurement: Measurement) -> Result<Self, BeaconError> {
        let within = |name, most: f64| match measurement.value {
            Some(value) if (0.0..=most).contains(&value) => Ok(value),
            Some(value) => Err(BeaconError::Implausible { name, value, most }),
            None => Err(BeaconError::NoValue { name }),
        };
        match measurement.name.as_str() {
            "LCP" => within("LCP", LONGEST_MS).map(|ms| Self::Lcp(ms / 1e3)),
            "INP" => within("INP", LONGEST_MS).map(|ms| Self::Inp(ms / 1e3)),
            "CLS" => within("CLS", LARGEST_SHIFT).map(Self::Cls),
            "error" => Ok(Self::Error),
            "FID" => Err(BeaconError::Replaced),
            name => Err(BeaconError::Unknown { name: name.chars().take(32).collect() }),
        }
    }
}

#[derive(Clone)]
struct Vitals {
    lcp: Histogram,
    inp: Histogram,
    cls: Histogram,
    errors: Counter,
}

impl Vitals {
    fn receive(&self, body: &[u8]) -> Result<(), BeaconError> {
        let measurements: Vec<Measurement> = if body.trim_ascii_start().starts_with(b"[") {
            serde_json::from_slice(body)?
        } else {
            vec![serde_json::from_slice(body)?]
        };
        if measurements.len() > MOST {
            return Err(BeaconError::TooMany { given: measurements.len() });
        }
        let vitals = measurements.into_iter().map(Vital::try_from).collect::<Result<Vec<_>, _>>()?;
        for vital in vitals {
            match vital {
                Vital::Lcp(seconds) => self.lcp.record(seconds),
                Vital::Inp(seconds) => self.inp.record(seconds),
                Vital::Cls(shift) => self.cls.record(shift),
                Vital::Error => self.errors.increment(1),
            }
        }
        Ok(())
    }
}
