//! What a report says, and what is wrong with one.

use std::time::Duration;

use serde::Deserialize;
use throughline_core::{NotRecorded, SpanId, TraceId};

/// Entries in one report.
const MOST: usize = 50;
/// Ten minutes, in milliseconds: nobody waited longer for a page and stayed.
const LONGEST_MS: f64 = 600_000.0;
/// Each shift counts at most 1; a page that makes more than a hundred of them in a session window is none.
const LARGEST_SHIFT: f64 = 100.0;
/// As long as a script keeps something before it sends it, in milliseconds: a page that was frozen for a day and more.
const OLDEST_MS: f64 = 172_800_000.0;

/// Why a report is not taken; of one with several entries nothing is kept then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The body is no JSON, or other JSON than is wanted.
    #[error("expected {{\"name\": \"LCP\", \"value\": 1250.5}} or a list of such objects: {0}")]
    Malformed(#[from] serde_json::Error),
    /// There are too many entries in the body.
    #[error("too many entries in one report: got {given}, send at most {MOST}")]
    TooMany {
        /// How many there are.
        given: usize,
    },
    /// First Input Delay is measured no more.
    #[error("FID has been replaced by INP: use onINP of the library web-vitals")]
    Replaced,
    /// Nothing of that name is known.
    #[error("`{name}` is not supported: send LCP, INP, CLS, FCP, TTFB, error or click")]
    Unknown {
        /// The name, cut to 32 letters.
        name: String,
    },
    /// A field is missing, or is none of what it may be.
    #[error("{name} has no usable `{field}`: send {wanted}")]
    Field {
        /// The name of the entry.
        name: &'static str,
        /// The field.
        field: &'static str,
        /// What it may be.
        wanted: &'static str,
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
    /// More comes than may.
    #[error("too many entries a second: try again later, or allow more with `per_second`")]
    TooFast,
    /// The store does not take it.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

/// What browsers measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vital {
    Lcp,
    Inp,
    Cls,
    Fcp,
    Ttfb,
}

#[derive(Debug)]
pub(super) enum Entry {
    /// A measurement: in seconds, or a shift.
    Vital(Vital, f64),
    Failure(Box<Failure>),
    Click(Click),
}

/// What failed in a page.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// The type of the error, or the element that was not loaded.
    pub(super) error_type: String,
    pub(super) message: String,
    pub(super) stack: Option<String>,
    pub(super) page: Option<String>,
    /// The click that it followed.
    pub(super) cause: Option<(TraceId, SpanId)>,
    pub(super) ago: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Rejection,
    Resource,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Error, Self::Rejection, Self::Resource];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Rejection => "rejection",
            Self::Resource => "resource",
        }
    }
}

/// A click that requests followed.
#[derive(Debug)]
pub(super) struct Click {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// The element.
    pub(super) target: String,
    /// How long ago it began.
    pub(super) ago: Duration,
    /// How long it took until the last of its requests was answered, or until the page was left.
    pub(super) took: Duration,
}

/// An entry as it is sent.
#[derive(Deserialize)]
struct Raw {
    name: String,
    #[serde(default)]
    value: Option<f64>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default, rename = "type")]
    error_type: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    stack: Option<String>,
    #[serde(default)]
    page: Option<String>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    trace: Option<String>,
    #[serde(default)]
    span: Option<String>,
    #[serde(default)]
    ago: Option<f64>,
    #[serde(default)]
    took: Option<f64>,
}

/// The entries of a report: one, or a list of them.
pub(super) fn read(body: &[u8]) -> Result<Vec<Entry>, ReportError> {
    let entries: Vec<Raw> = if body.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(body)?
    } else {
        vec![serde_json::from_slice(body)?]
    };
    if entries.len() > MOST {
        return Err(ReportError::TooMany { given: entries.len() });
    }
    entries.into_iter().map(Entry::try_from).collect()
}

impl TryFrom<Raw> for Entry {
    type Error = ReportError;

    fn try_from(raw: Raw) -> Result<Self, ReportError> {
        let vital = |vital, name, most, unit: f64| {
            let value = raw.value.ok_or(ReportError::Field { name, field: "value", wanted: "a number" })?;
            plausible(name, value, most).map(|value| Self::Vital(vital, value / unit))
        };
        match raw.name.as_str() {
            "LCP" => vital(Vital::Lcp, "LCP", LONGEST_MS, 1e3),
            "INP" => vital(Vital::Inp, "INP", LONGEST_MS, 1e3),
            "FCP" => vital(Vital::Fcp, "FCP", LONGEST_MS, 1e3),
            "TTFB" => vital(Vital::Ttfb, "TTFB", LONGEST_MS, 1e3),
            "CLS" => vital(Vital::Cls, "CLS", LARGEST_SHIFT, 1.0),
            "error" => failure(raw),
            "click" => click(&raw),
            "FID" => Err(ReportError::Replaced),
            name => Err(ReportError::Unknown { name: name.chars().take(32).collect() }),
        }
    }
}

fn plausible(name: &'static str, value: f64, most: f64) -> Result<f64, ReportError> {
    if (0.0..=most).contains(&value) {
        Ok(value)
    } else {
        Err(ReportError::Implausible { name, value, most })
    }
}

/// A time in milliseconds as one; 0 if nothing is said.
fn time(name: &'static str, millis: Option<f64>) -> Result<Duration, ReportError> {
    let millis = plausible(name, millis.unwrap_or_default(), OLDEST_MS)?;
    Ok(Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default())
}

fn failure(raw: Raw) -> Result<Entry, ReportError> {
    let kind = raw.kind.as_deref().unwrap_or(Kind::Error.as_str());
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or(ReportError::Field {
        name: "error",
        field: "kind",
        wanted: "error, rejection or resource",
    })?;
    let cause = raw.trace.as_deref().zip(raw.span.as_deref());
    let cause = cause.and_then(|(trace, span)| Some((trace.parse().ok()?, span.parse().ok()?)));
    let text = |text: Option<String>, most| text.map(|text| cut(&text, most));
    let failure = Failure {
        kind,
        error_type: text(raw.error_type, 100).unwrap_or_else(|| "Error".to_owned()),
        message: text(raw.message, 1000).unwrap_or_else(|| "nothing is said about it".to_owned()),
        stack: text(raw.stack, 8000).filter(|stack| !stack.is_empty()),
        page: text(raw.page, 500),
        cause,
        ago: time("error", raw.ago)?,
    };
    Ok(Entry::Failure(Box::new(failure)))
}

fn click(raw: &Raw) -> Result<Entry, ReportError> {
    let wrong = |field, wanted| ReportError::Field { name: "click", field, wanted };
    let trace = raw.trace.as_deref().and_then(|trace| trace.parse().ok());
    let span = raw.span.as_deref().and_then(|span| span.parse().ok());
    let ago = time("click", raw.ago)?;
    Ok(Entry::Click(Click {
        trace: trace.ok_or_else(|| wrong("trace", "32 hexadecimal digits"))?,
        span: span.ok_or_else(|| wrong("span", "16 hexadecimal digits"))?,
        target: cut(raw.target.as_deref().unwrap_or_default(), 100),
        ago,
        // Nothing takes longer than it has been there.
        took: raw.took.map_or(Ok(ago), |took| time("click", Some(took)))?.min(ago),
    }))
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
