//! What becomes of a report: metrics, and events.

use http::HeaderMap;
use serde_json::{Map, Value};
use throughline_core::metrics::catalogue::{
    WEB_CLS, WEB_ERRORS, WEB_FCP, WEB_INP, WEB_LCP, WEB_REPORTS, WEB_TTFB,
};
use throughline_core::names::tags::REMOTE_PARENT;
use throughline_core::names::{WEB_CLICK, WEB_ERROR};
use throughline_core::{ErrorInfo, SpanId, Status, Throughline, Timestamp, TraceEvent, TraceId};

use super::caller::agent;
use super::limit::Limit;
use super::report::{self, Click, Entry, Failure, ReportError, Vital};

/// The service that the events of pages are of.
const SERVICE: &str = "web";

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    /// It was malformed, or from a page that may not report.
    Refused,
    /// Too much came at once.
    Limited,
    Robot,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Robot => "robot",
        }
    }
}

#[derive(Debug)]
pub(super) struct Receiver {
    throughline: Throughline,
    limit: Limit,
    #[cfg(feature = "source-maps")]
    source_maps: Option<super::source_maps::SourceMaps>,
}

impl Receiver {
    pub(super) fn new(throughline: Throughline, per_second: u32) -> Self {
        Self {
            throughline,
            limit: Limit::new(per_second),
            #[cfg(feature = "source-maps")]
            source_maps: None,
        }
    }

    #[cfg(feature = "source-maps")]
    pub(super) fn resolving(self, maps: super::source_maps::SourceMaps) -> Self {
        Self { source_maps: Some(maps), ..self }
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.throughline.meter().counter(&WEB_REPORTS).with([outcome.as_str()]).increment(1);
    }

    /// Takes a report, all of it or nothing.
    pub(super) async fn take(&self, body: &[u8], headers: &HeaderMap) -> Result<(), ReportError> {
        let taken = self.keep(body, headers).await;
        self.count(match &taken {
            Ok(()) => Outcome::Accepted,
            Err(ReportError::TooFast | ReportError::NotRecorded(_)) => Outcome::Limited,
            Err(_) => Outcome::Refused,
        });
        taken
    }

    async fn keep(&self, body: &[u8], headers: &HeaderMap) -> Result<(), ReportError> {
        let entries = report::read(body)?;
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        if !self.limit.admits(count) {
            return Err(ReportError::TooFast);
        }
        let now = Timestamp::now();
        let mut events = Vec::new();
        for entry in entries {
            match entry {
                Entry::Vital(vital, value) => self.measure(vital, value),
                #[cfg_attr(
                    not(feature = "source-maps"),
                    expect(unused_mut, reason = "nothing resolves its stack")
                )]
                Entry::Failure(mut failure) => {
                    #[cfg(feature = "source-maps")]
                    if let Some(maps) = &self.source_maps
                        && let Some(stack) = failure.stack.take()
                    {
                        failure.stack = Some(maps.resolve(stack).await);
                    }
                    self.throughline.meter().counter(&WEB_ERRORS).with([failure.kind.as_str()]).increment(1);
                    events.push(of_failure(*failure, now, agent(headers)));
                }
                Entry::Click(click) => events.push(of_click(click, now)),
            }
        }
        Ok(self.throughline.ingest(events).await?)
    }

    fn measure(&self, vital: Vital, value: f64) {
        let metric = match vital {
            Vital::Lcp => &WEB_LCP,
            Vital::Inp => &WEB_INP,
            Vital::Cls => &WEB_CLS,
            Vital::Fcp => &WEB_FCP,
            Vital::Ttfb => &WEB_TTFB,
        };
        self.throughline.meter().histogram(metric).with([]).record(value);
    }
}

fn of_failure(failure: Failure, now: Timestamp, agent: &str) -> TraceEvent {
    let (trace, parent) = match failure.cause {
        Some((trace, span)) => (trace, Some(span)),
        None => (TraceId::random(), None),
    };
    let mut event = TraceEvent::new(trace, SpanId::random(), WEB_ERROR, now.minus(failure.ago), SERVICE);
    event.parent_span_id = parent;
    event.status = Status::Failed;
    event.error = Some(Box::new(ErrorInfo {
        kind: failure.error_type.into(),
        message: failure.message.into(),
        chain: Vec::new(),
    }));
    let texts = [
        ("kind", Some(failure.kind.as_str().to_owned())),
        ("page", failure.page),
        ("stack", failure.stack),
        ("user_agent", Some(agent.to_owned())),
    ];
    event.data = Some(data(texts));
    event
}

/// One event beside the request, when the click had its effect: so the request, which began before that, stays the root of the run,
/// and how it ended is how the run did.
fn of_click(click: Click, now: Timestamp) -> TraceEvent {
    let ended = now.minus(click.ago.saturating_sub(click.took));
    // The same whenever it is reported.
    let span = SpanId::from_u64(!click.span.to_u64()).unwrap_or(click.span);
    let mut event = TraceEvent::new(click.trace, span, WEB_CLICK, ended, SERVICE);
    event.parent_span_id = Some(click.span);
    event.tags.push(REMOTE_PARENT.into());
    event.duration_us = Some(u64::try_from(click.took.as_micros()).unwrap_or(u64::MAX));
    event.data = Some(data([("target", Some(click.target))]));
    event
}

fn data<const N: usize>(texts: [(&str, Option<String>); N]) -> Map<String, Value> {
    let said = texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
    said.collect()
}
