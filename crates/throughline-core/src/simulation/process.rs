//! A process: an emitter with its destinations, and the runs in it.

use std::time::Duration;

use throughline_model::testing::{
    CallFaults, Faults, FaultyFeed, FaultySpool, FaultyStore, FeedFaults, MemorySpool, SpoolFaults,
};
use throughline_model::{AppendError, InstanceId};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::operation::{Fault, Setting};
use super::recorded::Recorded;
use super::tasks::started;
use crate::delivery::{Stop, later_here};
use crate::{DestinationReport, DropReason, MemoryFeed, Redaction, Retry, Throughline};

const TIMEOUT: Duration = Duration::from_millis(20);
const MAX_DELAY: Duration = Duration::from_millis(8);
const ATTEMPTS: u32 = 3;
/// How long a throttled call asks to be left alone.
const RETRY_AFTER: Duration = Duration::from_millis(400);
/// The longest that anybody waits for an answer of the emitter: for room in the queue, for the attempts at what was
/// there before, for the attempts at the event itself, and for the calls of the spool.
pub(super) const PATIENCE: Duration = Duration::from_millis(2 * (3 * 20 + 2 * 8) + 20 + 19 + 12 * 20);

pub(super) struct Process {
    pub(super) throughline: Throughline,
    delivery: Vec<JoinHandle<()>>,
    pub(super) runs: Vec<JoinHandle<()>>,
    pub(super) faults: Faults,
    pub(super) spool: Option<SpoolFaults>,
    pub(super) feed: FeedFaults,
    /// Events that it found in the spool.
    pub(super) inherited: u64,
    pub(super) heartbeats_are_faulty: bool,
}

impl Process {
    pub(super) fn start(setting: Setting, store: &Recorded, spool: &MemorySpool) -> Self {
        let store = FaultyStore::around(store.clone());
        let feed = FaultyFeed::around(MemoryFeed::new());
        let (faults, feed_faults) = (store.faults(), feed.faults());
        let mut builder = Throughline::builder("simulated")
            .store(store)
            .feed(feed)
            .redaction(Redaction::standard())
            .durability(setting.durability)
            .retry(
                Retry::attempts(ATTEMPTS)
                    .delays(Duration::from_millis(2), MAX_DELAY)
                    .attempt_timeout(TIMEOUT),
            )
            .queue_capacity(setting.capacity);
        let mut spool_faults = None;
        if setting.has_spool {
            let faulty = FaultySpool::around(spool.clone());
            spool_faults = Some(faulty.faults());
            builder = builder.spool(faulty);
        }
        let inherited = if setting.has_spool { spool.events().len() as u64 } else { 0 };
        let throughline = builder.build().expect("nothing fails before it is told to");
        Self {
            throughline,
            delivery: started(),
            runs: Vec::new(),
            faults,
            spool: spool_faults,
            feed: feed_faults,
            inherited,
            heartbeats_are_faulty: false,
        }
    }

    pub(super) fn instance(&self) -> InstanceId {
        self.throughline.0.instance
    }

    pub(super) fn reports(&self) -> Vec<DestinationReport> {
        self.throughline.delivery_report().destinations
    }

    /// How many events wait for each destination.
    pub(super) fn waiting(&self) -> Vec<u64> {
        self.throughline.0.queues().map(|queue| queue.pending()).collect()
    }

    /// How many events its store refused for good.
    pub(super) fn refused(&self) -> u64 {
        let dropped = self.reports().into_iter().take(1).flat_map(|report| report.dropped);
        dropped.filter(|(reason, _)| *reason == DropReason::Rejected).map(|(_, count)| count).sum()
    }

    /// All that was planned to fail works from now on.
    pub(super) fn heal(&self) {
        self.faults.heal();
        self.feed.publish().heal();
        if let Some(spool) = &self.spool {
            [spool.push(), spool.peek(), spool.remove_through()].into_iter().for_each(CallFaults::heal);
        }
    }

    /// Dies at whatever instant it is at.
    pub(super) async fn die(&mut self) {
        for task in self.delivery.drain(..).chain(self.runs.drain(..)) {
            task.abort();
            // It ends by being aborted, if it has not ended before.
            let _ = task.await;
        }
    }

    /// As `Throughline::shutdown`, whose waiting takes a thread; answers whether it was in time.
    pub(super) async fn shut_down(&mut self, timeout: Duration) -> bool {
        let begun = Instant::now();
        let stop =
            Stop { deliver_until: later_here(timeout / 20 * 16), close_until: later_here(timeout / 20 * 19) };
        self.throughline.0.queues().for_each(|queue| queue.close(stop));
        // The least that the clock measures is a millisecond.
        let longest = timeout + Duration::from_millis(2);
        while !self.delivery.iter().all(JoinHandle::is_finished) {
            if begun.elapsed() > longest {
                return false;
            }
            sleep(Duration::from_millis(1)).await;
        }
        true
    }
}

/// Plans what the next calls of an operation meet.
pub(super) fn plan(calls: &CallFaults, fault: Fault, times: u64) {
    let unavailable =
        |retry_after| AppendError::Unavailable { reason: "away".to_owned(), retry_after, source: None };
    match fault {
        Fault::Unavailable => calls.fail_next(times, move || unavailable(None)),
        Fault::Throttled => calls.fail_next(times, move || unavailable(Some(RETRY_AFTER))),
        Fault::Broken => {
            calls.fail_next(times, || AppendError::Broken { reason: "broken".to_owned(), source: None });
        }
        Fault::Refused => {
            calls.fail_next(times, || AppendError::Rejected { index: 0, reason: "refused".to_owned() });
        }
        Fault::LostAnswer => calls.lose_next(times),
        Fault::Hangs => calls.never_answer_next(times),
        Fault::Panics => calls.panic_next(times),
    }
}
