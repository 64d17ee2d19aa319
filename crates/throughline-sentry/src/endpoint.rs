//! [`Endpoint`]: the address of a Sentry project, and what it said of how much it takes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sentry::client_report::{Reason, Recorder};
use sentry::protocol::{EnvelopeItem, ItemContainer};
use sentry::transports::{RateLimiter, RateLimitingCategory};
use sentry::{Envelope, TransportOptions};
use throughline_core::DropReason;
use ureq::tls::TlsConfig;
use ureq::{Agent, Proxy};

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(10);

pub(crate) struct Endpoint {
    url: String,
    /// Has the key of the project in it: never printed.
    auth: String,
    agent: Agent,
    limits: Mutex<RateLimiter>,
    /// Tells Sentry, with the next envelope, what it never saw.
    recorder: Recorder,
}

/// What became of one request.
enum Answer {
    Taken,
    Lost(DropReason, Option<Reason>),
}

impl Endpoint {
    pub(crate) fn new(options: &TransportOptions) -> Self {
        let https = options.dsn.scheme() == sentry::types::Scheme::Https;
        let proxy = options.https_proxy.as_ref().filter(|_| https).or(options.http_proxy.as_ref());
        let tls = TlsConfig::builder().disable_verification(options.accept_invalid_certs).build();
        let config = Agent::config_builder()
            .timeout_global(Some(REQUEST))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(&*options.user_agent)
            .tls_config(tls)
            .proxy(proxy.and_then(|proxy| Proxy::new(proxy).ok()));
        Self {
            url: options.dsn.envelope_api_url().to_string(),
            auth: options.dsn.to_auth(Some(&options.user_agent)).to_string(),
            agent: config.build().new_agent(),
            limits: Mutex::default(),
            recorder: options.client_report_recorder.clone(),
        }
    }

    /// Sends what may be sent now; answers what was lost, and why.
    pub(crate) fn send(&self, envelope: Envelope) -> Vec<(DropReason, u64)> {
        let mut sent = Envelope::new().with_headers(envelope.headers().clone());
        let mut limited = 0;
        for item in envelope.into_items() {
            if self.is_limited(category(&item)) {
                self.recorder.record_lost_data(&item, Reason::RatelimitBackoff);
                limited += count(&item);
            } else {
                sent.add_item(item);
            }
        }
        let mut lost = vec![(DropReason::RateLimited, limited)];
        if sent.items().next().is_some()
            && let Answer::Lost(reason, report) = self.post(&sent)
        {
            if let Some(report) = report {
                self.recorder.record_lost_data(&sent, report);
            }
            lost.push((reason, items_counted(&sent)));
        }
        lost
    }

    fn is_limited(&self, category: RateLimitingCategory) -> bool {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.is_disabled(category).is_some()
    }

    fn post(&self, envelope: &Envelope) -> Answer {
        let mut body = Vec::new();
        if envelope.to_writer(&mut body).is_err() {
            return Answer::Lost(DropReason::Rejected, Some(Reason::InternalError));
        }
        let request = self.agent.post(&self.url).header("X-Sentry-Auth", &self.auth);
        let request = request.header("Content-Type", "application/x-sentry-envelope");
        let mut response = match request.send(&body) {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(%error, "Sentry can't be reached; what it does not get is in the delivery report");
                return Answer::Lost(DropReason::Unavailable, Some(Reason::NetworkError));
            }
        };
        let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let (told, retry_after) = (header("x-sentry-rate-limits"), header("retry-after"));
        let status = response.status().as_u16();
        {
            let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            match (told, retry_after) {
                (Some(told), _) => limits.update_from_sentry_header(&told),
                (None, Some(after)) => limits.update_from_retry_after(&after),
                (None, None) if status == 429 => limits.update_from_429(),
                (None, None) => {}
            }
        }
        // Read to the end, so that the connection can be used again.
        let _ = response.body_mut().read_to_string();
        if !(200..300).contains(&status) {
            tracing::warn!(status, "Sentry did not take what it was sent; see the delivery report");
        }
        match status {
            200..300 => Answer::Taken,
            // The server counts these itself.
            429 => Answer::Lost(DropReason::RateLimited, None),
            500.. => Answer::Lost(DropReason::Unavailable, Some(Reason::SendError)),
            _ => Answer::Lost(DropReason::Rejected, Some(Reason::SendError)),
        }
    }
}

fn category(item: &EnvelopeItem) -> RateLimitingCategory {
    match item {
        EnvelopeItem::Event(_) => RateLimitingCategory::Error,
        EnvelopeItem::Transaction(_) => RateLimitingCategory::Transaction,
        EnvelopeItem::SessionUpdate(_) | EnvelopeItem::SessionAggregates(_) => RateLimitingCategory::Session,
        EnvelopeItem::ItemContainer(ItemContainer::Logs(_)) => RateLimitingCategory::LogItem,
        EnvelopeItem::ItemContainer(ItemContainer::Metrics(_)) => RateLimitingCategory::TraceMetric,
        _ => RateLimitingCategory::Any,
    }
}

/// What an item counts for in the delivery report: as one event or transaction, or as what it contains. Sessions and reports
/// about losses count for nothing.
fn count(item: &EnvelopeItem) -> u64 {
    match item {
        EnvelopeItem::Event(_) | EnvelopeItem::Transaction(_) | EnvelopeItem::MonitorCheckIn(_) => 1,
        EnvelopeItem::ItemContainer(items) => items.len() as u64,
        _ => 0,
    }
}

/// What an envelope counts for.
pub(crate) fn items_counted(envelope: &Envelope) -> u64 {
    envelope.items().map(count).sum()
}
