//! The worker of a store: groups of events from the queue into the store, one trace beside another where the store
//! takes that, and through a spool if there is one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rustc_hash::FxHashMap;
use throughline_model::{AppendError, Spool, SpoolUsage, TraceId};
use tokio::time::{Instant, Sleep, sleep};

use super::group::{Delivering, GROUP, Undelivered, retry_after};
use super::later_here;
use super::outbox::{Moved, Outbox};
use super::queue::Queued;

/// How often a spool is tried for draining, and kept events are tried again, while nothing else happens.
const RECOVERY_INTERVAL: Duration = Duration::from_millis(500);
/// How often they are tried during a shutdown at most.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

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
    /// Whether those had been tried in vain before.
    is_probe: bool,
    /// Whether it is in the list of those that failed.
    is_listed: bool,
}

/// What was under way and has ended.
enum Ended {
    Group(Lane, Result<(), Undelivered>),
    Moved(Moved),
}

pub(super) struct Worker {
    delivering: Arc<Delivering>,
    outbox: Option<Outbox>,
    lanes: FxHashMap<Lane, Waiting>,
    /// Lanes with fresh events of which nothing is in progress.
    ready: VecDeque<Lane>,
    /// Lanes whose events were all tried in vain, those that have waited longest first. One that has got fresh events
    /// since, or is gone, is skipped when its turn comes.
    failed: VecDeque<Lane>,
    /// How many of these may be tried now: a few once in a while, and as many more as go well. So a store that is back
    /// gets all of them at once, and one that is away is not overrun.
    probes: usize,
    /// Whose turn it is, so that neither fresh events nor those that failed hold up the other.
    is_turn_of_failed: bool,
    /// Whether the spool may be tried again.
    try_spool: bool,
    /// When what was tried in vain is to be tried again.
    recover_at: Instant,
    /// Until when the store asked to be left alone.
    not_before: Instant,
    /// When to look for those who have waited too long.
    look: Pin<Box<Sleep>>,
    look_interval: Duration,
    is_closing: bool,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
}

impl Worker {
    pub(super) fn new(delivering: Arc<Delivering>, spool: Option<(Arc<dyn Spool>, SpoolUsage)>) -> Self {
        let outbox = spool.map(|(spool, usage)| Outbox::new(Arc::clone(&delivering), spool, usage));
        let look_interval = (delivering.retry.longest() / 4).clamp(LEAST_INTERVAL, RECOVERY_INTERVAL);
        Self {
            delivering,
            outbox,
            lanes: FxHashMap::default(),
            ready: VecDeque::new(),
            failed: VecDeque::new(),
            probes: 0,
            is_turn_of_failed: false,
            try_spool: false,
            recover_at: Instant::now() + RECOVERY_INTERVAL,
            not_before: Instant::now(),
            look: Box::pin(sleep(look_interval)),
            look_interval,
            is_closing: false,
            under_way: FuturesUnordered::new(),
        }
    }

    /// Delivers until the queue is closed and nothing waits, or the time for it is over; answers what is left then.
    pub(super) async fn run(mut self) -> Vec<Queued> {
        let queue = Arc::clone(&self.delivering.queue);
        loop {
            self.recover_if_due();
            self.renew_limits();
            let is_spooling = self.outbox.as_ref().is_some_and(Outbox::is_in_use);
            match is_spooling {
                true => self.go_through_the_outbox().await,
                false => self.start_groups(),
            }
            let is_done = self.is_closing && queue.is_done();
            if self.under_way.is_empty() && (is_done || queue.is_out_of_time()) {
                break;
            }
            let takes_more = is_spooling || self.under_way.len() < self.delivering.limits().in_flight;
            let (is_recovering, is_closing) = (self.is_recovering(), self.is_closing);
            let is_waiting = !self.under_way.is_empty();
            tokio::select! {
                biased;
                Some(ended) = self.under_way.next(), if !self.under_way.is_empty() => self.ended(ended).await,
                () = queue.arrival(), if takes_more => {}
                () = tokio::time::sleep_until(self.recover_at), if is_recovering => {}
                () = &mut self.look, if is_waiting => self.look_for_overdue().await,
                () = queue.closing(), if !is_closing => {}
                () = queue.out_of_time(), if is_closing && self.under_way.is_empty() => {}
            }
        }
        self.stop().await
    }

    /// Asks for the limits of a store that was opened late, when no lane holds anything: they say what a lane is.
    fn renew_limits(&mut self) {
        let is_idle = || self.under_way.is_empty() && self.lanes.values().all(|lane| lane.events.is_empty());
        if self.delivering.has_new_limits() && is_idle() {
            self.delivering.renew_limits();
            self.lanes.clear();
        }
    }

    /// Leaves in the spool, if there is one, what the store did not take in time; answers what is left.
    async fn stop(self) -> Vec<Queued> {
        let mut left: Vec<Queued> = self.lanes.into_values().flat_map(|lane| lane.events).collect();
        if let Some(mut outbox) = self.outbox {
            self.delivering.queue.take(&mut left, usize::MAX);
            left = outbox.push_group(left).await.err().map_or_else(Vec::new, |refused| refused.group);
            outbox.close().await;
        }
        left
    }

    /// Whether something waits for the store to come back.
    fn is_recovering(&self) -> bool {
        !self.failed.is_empty() || self.outbox.as_ref().is_some_and(Outbox::waits_for_the_store)
    }

    /// Looked at in every turn: under constant traffic nothing else would notice that it is time.
    fn recover_if_due(&mut self) {
        if !self.is_closing && self.delivering.queue.stop_by().is_some() {
            (self.is_closing, self.recover_at) = (true, Instant::now());
        }
        if self.is_recovering() && Instant::now() >= self.recover_at {
            self.recover_at = self.next_recovery();
            self.probes = self.delivering.limits().in_flight;
            self.try_spool = true;
        }
    }

    fn next_recovery(&self) -> Instant {
        let pause = if self.is_closing { self.delivering.retry.base_delay } else { RECOVERY_INTERVAL };
        let next = later_here(pause.clamp(LEAST_INTERVAL, RECOVERY_INTERVAL));
        if self.is_closing { next } else { next.max(self.not_before) }
    }

    /// Starts to deliver what has arrived and what is to be tried again, as far as the store takes more at once.
    fn start_groups(&mut self) {
        while self.under_way.len() < self.delivering.limits().in_flight {
            let Some(lane) = self.next_lane() else { break };
            // One that was emptied and has got events since may be listed twice.
            let is_idle = |waiting: &&mut Waiting| !waiting.is_under_way && !waiting.events.is_empty();
            let Some(waiting) = self.lanes.get_mut(&lane).filter(is_idle) else { continue };
            // Events that were kept are tried again with every group, and by themselves once in a while.
            waiting.is_probe = waiting.fresh == 0;
            let attempts = if waiting.is_probe { 1 } else { self.delivering.retry.attempts };
            (waiting.fresh, waiting.is_under_way) = (0, true);
            let group = std::mem::take(&mut waiting.events);
            let delivering = Arc::clone(&self.delivering);
            self.under_way
                .push(Box::pin(async move { Ended::Group(lane, delivering.deliver(group, attempts).await) }));
        }
    }

    fn next_lane(&mut self) -> Option<Lane> {
        self.is_turn_of_failed = !self.is_turn_of_failed;
        if self.is_turn_of_failed
            && let Some(lane) = self.next_failed()
        {
            return Some(lane);
        }
        if self.ready.is_empty() {
            self.take();
        }
        self.ready.pop_front().or_else(|| self.next_failed())
    }

    fn next_failed(&mut self) -> Option<Lane> {
        while self.probes > 0
            && let Some(lane) = self.failed.pop_front()
        {
            let Some(waiting) = self.lanes.get_mut(&lane) else { continue };
            waiting.is_listed = false;
            if !waiting.is_under_way && waiting.fresh == 0 && !waiting.events.is_empty() {
                self.probes -= 1;
                return Some(lane);
            }
        }
        None
    }

    /// Takes a group from the queue and puts each event into its lane.
    fn take(&mut self) {
        if self.delivering.limits().one_trace {
            let mut taken = Vec::new();
            self.delivering.queue.take(&mut taken, GROUP);
            taken.into_iter().for_each(|queued| self.put_into_its_lane(queued));
            return;
        }
        let lane = self.lanes.entry(None).or_default();
        let fresh = self.delivering.queue.take(&mut lane.events, GROUP);
        if fresh > 0 && lane.fresh == 0 && !lane.is_under_way {
            self.ready.push_back(None);
        }
        lane.fresh += fresh;
    }

    fn put_into_its_lane(&mut self, queued: Queued) {
        let key = self.delivering.limits().one_trace.then_some(queued.event.trace_id);
        let lane = self.lanes.entry(key).or_default();
        lane.events.push(queued);
        lane.fresh += 1;
        if lane.fresh == 1 && !lane.is_under_way {
            self.ready.push_back(key);
        }
    }

    async fn ended(&mut self, ended: Ended) {
        let failed = match &ended {
            Ended::Group(_, result) => result.as_ref().err().map(|undelivered| &undelivered.error),
            Ended::Moved(moved) => moved.error.as_ref(),
        };
        if let Some(asked) = failed.and_then(retry_after) {
            self.not_before = later_here(asked.min(self.delivering.retry.max_delay));
        }
        let was_recovering = self.is_recovering();
        match ended {
            Ended::Group(lane, result) => self.group_ended(lane, result).await,
            Ended::Moved(moved) => {
                if let Some(outbox) = &mut self.outbox {
                    outbox.moved(moved).await;
                }
            }
        }
        if !was_recovering && self.is_recovering() {
            self.recover_at = self.next_recovery();
        } else if !self.is_closing {
            self.recover_at = self.recover_at.max(self.not_before);
        }
        // A store that never waits would keep this thread from anything else.
        self.delivering.let_others_run().await;
    }

    async fn group_ended(&mut self, lane: Lane, result: Result<(), Undelivered>) {
        let went_well = result.is_ok();
        let kept = match result {
            Ok(()) => Vec::new(),
            Err(undelivered) => self.keep(undelivered).await,
        };
        let Some(waiting) = self.lanes.get_mut(&lane) else { return };
        waiting.is_under_way = false;
        self.probes += usize::from(went_well && waiting.is_probe);
        if !kept.is_empty() {
            waiting.events.splice(..0, kept);
        }
        if waiting.events.is_empty() {
            self.lanes.remove(&lane);
        } else if waiting.fresh > 0 {
            self.ready.push_back(lane);
        } else if !std::mem::replace(&mut waiting.is_listed, true) {
            self.failed.push_back(lane);
        }
    }

    /// Nobody waits for ever behind calls that take long or fail: what has waited for as long as it may goes into the spool,
    /// or is refused.
    async fn look_for_overdue(&mut self) {
        self.look.as_mut().reset(later_here(self.look_interval));
        let longest = self.delivering.retry.longest();
        let mut overdue = Vec::new();
        self.delivering.queue.take_overdue(&mut overdue, longest);
        overdue.into_iter().for_each(|queued| self.put_into_its_lane(queued));
        if self.outbox.is_none() {
            return self.refuse_overdue(longest);
        }
        let is_overdue = |queued: &Queued| queued.since.elapsed() >= longest;
        if self.lanes.values().any(|lane| !lane.is_under_way && lane.events.first().is_some_and(is_overdue)) {
            self.go_through_the_outbox().await;
        }
    }

    fn refuse_overdue(&mut self, longest: Duration) {
        let delivering = &*self.delivering;
        let reason = format!("it took nothing of what waited for it within {longest:?}");
        let failure =
            delivering.failure(1, AppendError::Unavailable { reason, retry_after: None, source: None });
        for lane in self.lanes.values_mut() {
            let tried = lane.events.len() - lane.fresh;
            delivering.refuse_overdue(&mut lane.events, &failure);
            lane.fresh = lane.events.len() - tried;
        }
        self.lanes.retain(|_, lane| lane.is_under_way || !lane.events.is_empty());
    }

    /// What becomes of a group that the store did not take: answers what stays pending.
    async fn keep(&mut self, mut undelivered: Undelivered) -> Vec<Queued> {
        if let Some(outbox) = &mut self.outbox {
            match outbox.push(undelivered).await {
                Ok(()) => return Vec::new(),
                Err(refused) => undelivered = refused,
            }
        }
        if self.delivering.queue.is_out_of_time() {
            // Nothing is tried any more: what is left is counted when the store is closed.
            return undelivered.group;
        }
        self.delivering.give_up(undelivered)
    }

    /// While the spool holds anything, all that arrives goes behind it, and what is first in it goes to the store. Only
    /// what follows events that are under way waits for these, for they may have to go into the spool before it.
    async fn go_through_the_outbox(&mut self) {
        self.take();
        let Some(outbox) = &mut self.outbox else { return };
        self.ready.clear();
        self.failed.clear();
        let mut group: Vec<Queued> = Vec::new();
        self.lanes.retain(|_, lane| {
            if !lane.is_under_way {
                group.append(&mut lane.events);
            }
            lane.is_listed = false;
            lane.is_under_way
        });
        if let Err(undelivered) = outbox.push_group(group).await {
            for queued in self.delivering.give_up(undelivered) {
                let key = self.delivering.limits().one_trace.then_some(queued.event.trace_id);
                let lane = self.lanes.entry(key).or_default();
                lane.events.push(queued);
                if !std::mem::replace(&mut lane.is_listed, true) {
                    self.failed.push_back(key);
                }
            }
        }
        let is_done = self.is_closing && self.delivering.queue.is_done();
        let at_once = self.delivering.limits().in_flight.saturating_sub(self.under_way.len());
        if !is_done
            && at_once > 0
            && let Some(moving) = outbox.start_moving(std::mem::take(&mut self.try_spool), at_once).await
        {
            self.under_way.push(Box::pin(async move { Ended::Moved(moving.await) }));
        }
        self.delivering.let_others_run().await;
    }
}
