//! The delivery report: what became of every event, for each destination.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use throughline_model::{DropReason, SinkAccount, Text, Timestamp};

use super::Condition;
use super::queue::Queue;

/// What a destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DestinationKind {
    /// The durable store, which is awaited.
    Store,
    /// A live feed, which is never waited for.
    Feed,
    /// A sink in this process.
    Sink,
}

/// What became of the events of one destination. At any moment, `accepted == delivered + pending + dropped()`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DestinationReport {
    /// The destination's name.
    pub name: String,
    /// What it is.
    pub kind: DestinationKind,
    /// Events that were handed over to it.
    pub accepted: u64,
    /// Events that it acknowledged.
    pub delivered: u64,
    /// Events of which it is not known yet what becomes of them: they wait, in memory or in the spool, or are on their way.
    pub pending: u64,
    /// Events that were dropped, by reason; reasons without events are omitted.
    pub dropped: Vec<(DropReason, u64)>,
    /// How often it panicked. What it was given then is tried again, or counted as dropped.
    pub panics: u64,
    /// Why it takes nothing until somebody repairs it; `None` if it works as far as is known.
    pub broken: Option<Text>,
    /// When it did not take what it was given the last time, whatever became of that afterwards.
    pub last_failure: Option<LastFailure>,
    /// The queue in front of it; `None` for sinks, which have none.
    pub queue: Option<QueueReport>,
    /// How often work failed that a store does on its own, such as removing old runs. It costs no event.
    pub upkeep_failures: u64,
    /// What was wrong the last time.
    pub last_upkeep_failure: Option<String>,
    /// What the service behind a store charged, by operation, in whole units of its own; empty if it charges nothing.
    pub charges: BTreeMap<&'static str, u64>,
}

/// When a destination did not take what it was given, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastFailure {
    /// When that was.
    pub at: Timestamp,
    /// What it said.
    pub reason: Text,
}

/// The queue in front of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueReport {
    /// Events in memory that wait or are on their way.
    pub waiting: u64,
    /// How many events it has room for. A step that has begun has its end put there even if there is no room left.
    pub capacity: u64,
}

impl From<&Queue> for QueueReport {
    fn from(queue: &Queue) -> Self {
        let (waiting, capacity) = queue.filled();
        Self { waiting: waiting as u64, capacity: capacity as u64 }
    }
}

impl DestinationReport {
    /// How many events were dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped.iter().map(|(_, count)| count).sum()
    }

    /// Whether every accepted event is accounted for once, also while events are on their way. What is lost without being
    /// counted stays pending.
    pub fn balances(&self) -> bool {
        self.accepted == self.delivered + self.pending + self.dropped()
    }
}

/// The counters behind a [`DestinationReport`]. An event is accepted before it is delivered or dropped.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    delivered: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl Counters {
    pub(crate) fn accept(&self, count: u64) {
        self.accepted.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn deliver(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Release);
    }

    pub(crate) fn lose(&self, reason: DropReason, count: u64) {
        self.dropped[reason as usize].fetch_add(count, Ordering::Release);
    }

    /// The report of a sink that says by itself what became of what it sends on. What it panicked on adds to that.
    pub(crate) fn report_with(
        &self,
        name: &str,
        condition: &Condition,
        account: SinkAccount,
    ) -> DestinationReport {
        let mut report = self.report(name, DestinationKind::Sink, condition);
        let lost = report.dropped();
        let mut dropped = account.dropped;
        for (reason, count) in std::mem::take(&mut report.dropped) {
            *dropped.entry(reason).or_default() += count;
        }
        report.dropped = dropped.into_iter().filter(|(_, count)| *count > 0).collect();
        report.delivered = account.delivered;
        report.accepted = account.accepted + lost;
        report.pending = report.accepted.saturating_sub(report.delivered + report.dropped());
        report
    }

    pub(crate) fn report(
        &self,
        name: &str,
        kind: DestinationKind,
        condition: &Condition,
    ) -> DestinationReport {
        let count = |reason: DropReason| self.dropped[reason as usize].load(Ordering::Acquire);
        let dropped: Vec<_> = DropReason::ALL
            .into_iter()
            .map(|reason| (reason, count(reason)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let delivered = self.delivered.load(Ordering::Acquire);
        // Read last: all that is delivered or dropped by now was accepted before. What was accepted in between counts as
        // pending, so that the figures belong together without a lock.
        let accepted = self.accepted.load(Ordering::Relaxed);
        let done = delivered + dropped.iter().map(|(_, count)| count).sum::<u64>();
        DestinationReport {
            name: name.to_owned(),
            kind,
            accepted,
            delivered,
            pending: accepted.saturating_sub(done),
            dropped,
            panics: condition.panics(),
            broken: condition.broken(),
            last_failure: condition.last_failure(),
            queue: None,
            upkeep_failures: 0,
            last_upkeep_failure: None,
            charges: BTreeMap::new(),
        }
    }
}

/// What became of the events so far: returned by [`delivery_report`](crate::Throughline::delivery_report),
/// [`flush`](crate::Throughline::flush) and [`shutdown`](crate::Throughline::shutdown).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeliveryReport {
    /// The store first, then feeds, then sinks.
    pub destinations: Vec<DestinationReport>,
    /// How often redaction has put something in place of something sensitive, in events and in labels of metrics, by
    /// [kind](throughline_redact::Redactor::counts).
    pub redacted: BTreeMap<String, u64>,
}

impl DeliveryReport {
    /// Whether nothing is pending and nothing was dropped.
    pub fn is_complete(&self) -> bool {
        self.destinations.iter().all(|destination| destination.pending == 0 && destination.dropped() == 0)
    }
}

impl std::fmt::Display for DeliveryReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, destination) in self.destinations.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            let DestinationReport { name, accepted, delivered, pending, dropped, .. } = destination;
            write!(f, "{separator}{name}: {delivered} of {accepted} delivered, {pending} pending")?;
            for (reason, count) in dropped {
                write!(f, ", {count} dropped ({})", reason.as_str())?;
            }
            if destination.panics > 0 {
                write!(f, ", {} panics", destination.panics)?;
            }
            if let Some(reason) = &destination.broken {
                write!(f, ", broken: {reason}")?;
            }
            if let Some(last) = &destination.last_upkeep_failure {
                write!(
                    f,
                    ", upkeep failed {} times, the last time because {last}",
                    destination.upkeep_failures
                )?;
            }
        }
        Ok(())
    }
}
