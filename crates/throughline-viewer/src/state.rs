//! [`State`], what all requests share, and [`Source`], what they read.

use std::sync::Arc;
use std::time::Duration;

use throughline_core::open::UsualTimes;
use throughline_core::{
    DeliveryReport, Redactor, Shown, SpoolReader, Throughline, TraceAnalytics, TraceReader, TraceStream, Veil,
};
use tokio::sync::Semaphore;

use crate::access::{Access, Auth};
use crate::log_files::LogFiles;
use crate::news::NewsRoom;
use crate::seen::Seen;
use crate::watchers::Watchers;

/// What stands in the place of a reason.
pub(crate) const NOT_SHOWN: &str = "(not shown)";

/// What all requests share.
pub(crate) struct State {
    pub(crate) source: Source,
    pub(crate) auth: Option<Auth>,
    /// The names under which the viewer is reached, in lower case.
    pub(crate) hosts: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) requests: Arc<Semaphore>,
    /// How many places there are among them.
    pub(crate) most_requests: usize,
    pub(crate) watchers: Watchers,
    pub(crate) news: NewsRoom,
    pub(crate) usual_times: UsualTimes,
}

/// Where the answers come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) reader: Arc<dyn TraceReader>,
    pub(crate) analytics: Option<Arc<dyn TraceAnalytics>>,
    pub(crate) stream: Option<Arc<dyn TraceStream>>,
    /// What waits for the store, where that is known.
    pub(crate) outbox: Option<Arc<dyn SpoolReader>>,
    pub(crate) redactor: Redactor,
    /// The log files of the service, where they are known.
    pub(crate) logs: Option<LogFiles>,
    /// The service itself, where the viewer is part of it.
    pub(crate) throughline: Option<Throughline>,
}

impl Source {
    /// The store as somebody with this access may see it.
    pub(crate) fn seen_with(&self, access: Access) -> Seen {
        let shown = if access == Access::All { Shown::All } else { Shown::WithoutPayloads };
        let veil = Veil::new(self.redactor.clone(), shown);
        Seen::new(Arc::clone(&self.reader), self.analytics.clone(), veil)
    }

    /// What became of the events of the service; `None` beside it. Why a destination failed is a message like any other.
    pub(crate) fn delivery(&self, access: Access) -> Option<DeliveryReport> {
        let mut report = self.throughline.as_ref().map(Throughline::delivery_report)?;
        if access != Access::All {
            for destination in &mut report.destinations {
                destination.broken.iter_mut().for_each(|reason| *reason = NOT_SHOWN.into());
                destination.last_upkeep_failure.iter_mut().for_each(|reason| *reason = NOT_SHOWN.into());
                destination.last_failure.iter_mut().for_each(|failure| failure.reason = NOT_SHOWN.into());
            }
        }
        Some(report)
    }
}
