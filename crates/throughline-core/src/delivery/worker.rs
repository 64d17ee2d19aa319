//! The worker of a store: groups of events from the queue into the store, one trace beside another where the store
//! takes that, and through a spool if there is one.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use throughline_model::{Spool, TraceId};

use super::group::{Delivering, Undelivered};
use super::outbox::Outbox;
use super::queue::Queued;

/// How many events are taken from the queue at once.
const GROUP: usize = 512;
/// How often a spool is tried for draining, and kept events are tried again, while nothing else happens.
const RECOVERY_INTERVAL: Duration = Duration::from_millis(500);

/// What keeps its order: a trace, or, in a store that takes groups of any traces, all of them.
type Lane = Option<TraceId>;

/// The events of a lane that are not under way.
#[derive(Default)]
struct Waiting {
    /// In order; those that stay pending because the store failed come first.
    events: Vec<Queued>,
    /// How many of them have not been tried.
    fresh: usize,
    /// Whether earlier events of the lane are in progress.
    is_under_way: bool,
}

pub(super) struct Worker {
    delivering: Arc<Delivering>,
    outbox: Option<Outbox>,
    lanes: HashMap<Lane, Waiting>,
    /// Lanes with fresh events of which nothing is in progress.
    ready: VecDeque<Lane>,
    under_way: FuturesUnordered<BoxFuture<'static, (Lane, Result<(), Undelivered>)>>,
    /// Whether what was tried in vain is to be tried again.
    recover: bool,
}

impl Worker {
    pub(super) fn new(delivering: Arc<Delivering>, spool: Option<(Arc<dyn Spool>, u64)>) -> Self {
        let outbox = spool.map(|(spool, waiting)| Outbox::new(Arc::clone(&delivering), spool, waiting));
        Self {
            delivering,
            outbox,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            recover: false,
        }
    }

    /// Delivers until the queue is closed and nothing waits, or the time for it is over; answers what is left then.
    pub(super) async fn run(mut self) -> Vec<Queued> {
        let queue = Arc::clone(&self.delivering.queue);
        let mut recover_at = Instant::now() + RECOVERY_INTERVAL;
        loop {
            let mut is_draining = false;
            if self.outbox.as_ref().is_some_and(Outbox::is_in_use) {
                is_draining = self.go_through_the_outbox().await;
            } else {
                self.start_groups();
            }
            let is_closing = queue.stop_by().is_some();
            if self.under_way.is_empty() && (queue.is_out_of_time() || (is_closing && queue.is_done())) {
                break;
            }
            if is_draining {
                // Beside new work, not before it.
                tokio::task::yield_now().await;
                continue;
            }
            let is_recovering = self.is_recovering();
            let has_room = self.under_way.len() < self.delivering.limits.in_flight;
            tokio::select! {
                biased;
                Some((lane, result)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.ended(lane, result).await;
                }
                () = queue.arrival(), if has_room && (queue.has_waiting() || !is_closing) => {}
                () = tokio::time::sleep_until(recover_at.into()), if is_recovering || is_closing => {
                    let pause = if is_closing { self.delivering.retry.base_delay } else { RECOVERY_INTERVAL };
                    recover_at = Instant::now() + pause;
                    self.recover = true;
                }
                () = queue.closing(), if !is_closing => recover_at = Instant::now(),
            }
        }
        if let Some(outbox) = &self.outbox {
            outbox.close().await;
        }
        self.lanes.into_values().flat_map(|lane| lane.events).collect()
    }

    /// Whether something waits for the store to come back.
    fn is_recovering(&self) -> bool {
        self.outbox.as_ref().is_some_and(Outbox::is_in_use)
            || self
                .lanes
                .values()
                .any(|lane| !lane.is_under_way && !lane.events.is_empty() && lane.fresh == 0)
    }

    /// Takes what has arrived and starts to deliver it, as far as the store takes more at once.
    fn start_groups(&mut self) {
        let in_flight = self.delivering.limits.in_flight;
        while self.under_way.len() < in_flight {
            if self.ready.is_empty() {
                self.take();
            }
            let lane = match self.ready.pop_front() {
                Some(lane) => lane,
                None => match self.to_recover() {
                    Some(lane) => lane,
                    None => break,
                },
            };
            let Some(waiting) = self.lanes.get_mut(&lane) else { continue };
            // Events that were kept are tried again with every group, and by themselves once in a while.
            let attempts = if waiting.fresh == 0 { 1 } else { self.delivering.retry.attempts };
            (waiting.fresh, waiting.is_under_way) = (0, true);
            let group = std::mem::take(&mut waiting.events);
            let delivering = Arc::clone(&self.delivering);
            self.under_way.push(Box::pin(async move { (lane, delivering.deliver(group, attempts).await) }));
        }
        self.recover = false;
    }

    /// Takes a group from the queue and puts each event into its lane.
    fn take(&mut self) {
        let by_trace = self.delivering.limits.one_trace;
        if !by_trace {
            let lane = self.lanes.entry(None).or_default();
            let before = lane.events.len();
            self.delivering.queue.take(&mut lane.events, GROUP);
            lane.fresh = lane.events.len() - before;
            if lane.fresh > 0 && !lane.is_under_way {
                self.ready.push_back(None);
            }
            return;
        }
        let mut taken = Vec::new();
        self.delivering.queue.take(&mut taken, GROUP);
        for queued in taken {
            let key = Some(queued.event.trace_id);
            let lane = self.lanes.entry(key).or_default();
            lane.events.push(queued);
            lane.fresh += 1;
            if lane.fresh == 1 && !lane.is_under_way {
                self.ready.push_back(key);
            }
        }
    }

    /// A lane to try again, if it is time for that.
    fn to_recover(&self) -> Option<Lane> {
        let waits = |lane: &Waiting| !lane.is_under_way && !lane.events.is_empty();
        self.lanes.iter().find(|(_, lane)| self.recover && waits(lane)).map(|(lane, _)| *lane)
    }

    async fn ended(&mut self, lane: Lane, result: Result<(), Undelivered>) {
        let kept = match result {
            Ok(()) => Vec::new(),
            // Nothing is tried any more: what is left is counted when the store is closed.
            Err(Undelivered { group, .. }) if self.delivering.queue.is_out_of_time() => group,
            Err(undelivered) => match &mut self.outbox {
                Some(outbox) => match outbox.push(undelivered).await {
                    Ok(()) => Vec::new(),
                    Err(undelivered) => self.delivering.give_up(undelivered),
                },
                None => self.delivering.give_up(undelivered),
            },
        };
        let Some(waiting) = self.lanes.get_mut(&lane) else { return };
        waiting.is_under_way = false;
        if !kept.is_empty() {
            waiting.events.splice(..0, kept);
        }
        if waiting.events.is_empty() {
            self.lanes.remove(&lane);
        } else if waiting.fresh > 0 {
            self.ready.push_back(lane);
        }
    }

    /// While the spool holds anything, all that arrives goes behind it, and what is first in it goes to the store: a
    /// group of each a turn. Answers whether anything went to the store.
    async fn go_through_the_outbox(&mut self) -> bool {
        while let Some((lane, result)) = self.under_way.next().await {
            self.ended(lane, result).await;
        }
        let Some(outbox) = &mut self.outbox else { return false };
        let mut group: Vec<Queued> = self.lanes.drain().flat_map(|(_, lane)| lane.events).collect();
        self.ready.clear();
        self.delivering.queue.take(&mut group, GROUP);
        if !group.is_empty()
            && let Err(undelivered) = outbox.push_group(group).await
        {
            for queued in self.delivering.give_up(undelivered) {
                let lane = self.delivering.limits.one_trace.then_some(queued.event.trace_id);
                self.lanes.entry(lane).or_default().events.push(queued);
            }
        }
        outbox.drain_group(std::mem::take(&mut self.recover)).await
    }
}
