//! The spool between the queue and the store: filled while the store is away, drained in order when it is back.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream;
use rustc_hash::FxHashMap;
use throughline_model::{AppendError, BoxFuture, Spool, SpoolUsage, Spooled, TraceId};
use tokio::time::Instant;

use super::DropReason;
use super::group::{Delivering, GROUP, Undelivered, retry_after};
use super::queue::Queued;

pub(super) struct Outbox {
    delivering: Arc<Delivering>,
    spool: Arc<dyn Spool>,
    /// Events in the spool.
    waiting: u64,
    /// The first of them, as far as they have been read.
    read: VecDeque<Spooled>,
    /// Those of them that the store has, at positions behind others that it has not.
    taken: HashSet<u64>,
    /// Whether the last attempt to drain it succeeded.
    is_draining: bool,
    /// Whether events are on their way to the store.
    is_moving: bool,
    /// How many events were ever set aside in the spool.
    refused: u64,
}

/// What the store said of events of the spool, by their positions.
#[derive(Default)]
pub(super) struct Moved {
    taken: Vec<u64>,
    /// Those that it never takes, and why.
    refused: Vec<(u64, String)>,
    /// Why it was not asked for the rest.
    pub(super) error: Option<AppendError>,
}

impl Outbox {
    /// A spool in which so much waits.
    pub(super) fn new(delivering: Arc<Delivering>, spool: Arc<dyn Spool>, usage: SpoolUsage) -> Self {
        let SpoolUsage { events: waiting, refused, .. } = usage;
        Self {
            delivering,
            spool,
            waiting,
            refused,
            read: VecDeque::new(),
            taken: HashSet::new(),
            is_draining: true,
            is_moving: false,
        }
    }

    /// Whether events wait in it: then all others go behind them.
    pub(super) fn is_in_use(&self) -> bool {
        self.waiting > 0
    }

    /// Whether it is drained no more until it is time to try again.
    pub(super) fn waits_for_the_store(&self) -> bool {
        self.is_in_use() && !self.is_draining && !self.is_moving
    }

    /// Takes a group that the store did not take. Those who wait are woken: it is safe.
    pub(super) async fn push(&mut self, undelivered: Undelivered) -> Result<(), Undelivered> {
        let Undelivered { group, attempts, error } = undelivered;
        self.is_draining = false;
        self.push_group(group).await.map_err(|refused| Undelivered { group: refused.group, attempts, error })
    }

    /// Takes a group, or says why the spool does not.
    pub(super) async fn push_group(&mut self, mut group: Vec<Queued>) -> Result<(), Undelivered> {
        self.delivering.drop_orphans(&mut group);
        while !group.is_empty() {
            let events: Vec<_> = group.iter().map(|queued| Arc::clone(&queued.event)).collect();
            match self.in_time(|| self.spool.push(&events)).await {
                Ok(()) => {
                    self.set_waiting(self.waiting + group.len() as u64);
                    self.delivering.acknowledge(std::mem::take(&mut group));
                }
                Err(AppendError::Rejected { index, reason }) if index < group.len() => {
                    self.delivering.reject(group.remove(index), reason);
                }
                Err(error) if self.has_taken(group.len()).await => {
                    self.trouble(&error);
                    self.set_waiting(self.waiting + group.len() as u64);
                    self.delivering.acknowledge(std::mem::take(&mut group));
                }
                Err(error) => {
                    self.trouble(&error);
                    return Err(Undelivered { group, attempts: 1, error });
                }
            }
        }
        Ok(())
    }

    /// Whether the spool has taken so many events, although it did not say so.
    async fn has_taken(&self, count: usize) -> bool {
        let usage = self.in_time(|| self.spool.usage()).await;
        usage.is_ok_and(|usage| usage.events >= self.waiting + count as u64)
    }

    fn trouble(&self, error: &AppendError) {
        let spool = self.spool.name();
        tracing::warn!(target: "throughline", spool, %error, "the spool did not accept a group of events");
    }

    /// Begins to move the first events to the store, in so many calls at a time, unless some are on their way. After a failure
    /// nothing is moved until it is time to `try_again`.
    pub(super) async fn start_moving(
        &mut self,
        try_again: bool,
        at_once: usize,
    ) -> Option<BoxFuture<'static, Moved>> {
        if self.is_moving || !self.is_in_use() || !(self.is_draining || try_again) {
            return None;
        }
        if self.read.is_empty() {
            match self.in_time(|| self.spool.peek(GROUP)).await {
                Ok(read) => self.read = read.into(),
                Err(error) => {
                    self.not_drained(&error);
                    return None;
                }
            }
        }
        if self.read.is_empty() {
            // The answer to an earlier removal was lost.
            self.leave(self.waiting, 0);
            return None;
        }
        let (lanes, delivering) = (self.lanes(), Arc::clone(&self.delivering));
        self.is_moving = true;
        Some(Box::pin(async move {
            let brake = Brake::new(at_once);
            let calls = lanes.into_iter().map(|lane| move_lane(&delivering, &brake, lane));
            let all = Moved::default();
            stream::iter(calls)
                .buffer_unordered(at_once)
                .fold(all, |all, lane| std::future::ready(all.and(lane)))
                .await
        }))
    }

    /// The events that were read and that the store does not have: those that keep their order, beside each other.
    fn lanes(&self) -> Vec<Vec<Spooled>> {
        let one_trace = self.delivering.limits().one_trace;
        let mut lanes: Vec<Vec<Spooled>> = Vec::new();
        let mut places: FxHashMap<Option<TraceId>, usize> = FxHashMap::default();
        for spooled in self.read.iter().filter(|spooled| !self.taken.contains(&spooled.position)) {
            let lane = one_trace.then_some(spooled.event.trace_id);
            let place = *places.entry(lane).or_insert_with(|| {
                lanes.push(Vec::new());
                lanes.len() - 1
            });
            lanes[place].push(spooled.clone());
        }
        lanes
    }

    /// Removes from the spool what the store has taken or refused.
    pub(super) async fn moved(&mut self, Moved { taken, refused, error }: Moved) {
        self.is_moving = false;
        self.taken.extend(taken);
        let removed = match (self.remove(refused).await, error) {
            (Ok(()), Some(error)) => Err(error),
            (removed, _) => removed,
        };
        self.is_draining = removed.is_ok();
        if let Err(error) = removed {
            self.not_drained(&error);
        }
    }

    async fn remove(&mut self, refused: Vec<(u64, String)>) -> Result<(), AppendError> {
        for (position, reason) in refused {
            self.set_aside(position, &reason).await?;
        }
        let is_taken = |spooled: &&Spooled| self.taken.contains(&spooled.position);
        let count = self.read.iter().take_while(is_taken).count();
        self.remove_first(count).await
    }

    /// Removes so many events that the store has.
    async fn remove_first(&mut self, count: usize) -> Result<(), AppendError> {
        let Some(last) = count.checked_sub(1).and_then(|last| self.read.get(last)) else { return Ok(()) };
        if let Err(error) = self.in_time(|| self.spool.remove_through(last.position)).await {
            // Whether they are gone is seen by what is left. If they are not, they are appended again, which the store
            // skips, and counted then.
            self.forget();
            let usage = self.in_time(|| self.spool.usage()).await?;
            if usage.events + count as u64 > self.waiting {
                return Err(error);
            }
        } else {
            for spooled in self.read.drain(..count) {
                self.taken.remove(&spooled.position);
            }
        }
        self.leave(count as u64, 0);
        Ok(())
    }

    /// Takes an event that the store refuses out of the queue, and keeps it for those that look into the spool.
    async fn set_aside(&mut self, position: u64, reason: &str) -> Result<(), AppendError> {
        if let Err(error) = self.in_time(|| self.spool.set_aside(position, reason)).await {
            self.forget();
            let usage = self.in_time(|| self.spool.usage()).await?;
            if usage.refused <= self.refused {
                return Err(error);
            }
        } else {
            self.read.retain(|spooled| spooled.position != position);
        }
        self.refused += 1;
        self.leave(0, 1);
        Ok(())
    }

    /// What is in the spool is to be read again.
    fn forget(&mut self) {
        self.read.clear();
        self.taken.clear();
    }

    /// So many of the first events are gone. There may be more of them in the spool than were counted: of those that it
    /// took without saying so.
    fn leave(&mut self, delivered: u64, refused: u64) {
        let refused = refused.min(self.waiting);
        let delivered = delivered.min(self.waiting - refused);
        self.delivering.counters.deliver(delivered);
        self.delivering.counters.lose(DropReason::Rejected, refused);
        self.set_waiting(self.waiting - delivered - refused);
    }

    fn set_waiting(&mut self, waiting: u64) {
        self.waiting = waiting;
        self.delivering.queue.set_spooled(waiting);
    }

    fn not_drained(&mut self, error: &AppendError) {
        self.is_draining = false;
        tracing::debug!(target: "throughline", spool = self.spool.name(), %error, "the spool was not drained");
    }

    /// A call of the spool, which must hold up neither delivery nor a shutdown.
    async fn in_time<'a, T>(
        &'a self,
        call: impl FnOnce() -> BoxFuture<'a, Result<T, AppendError>>,
    ) -> Result<T, AppendError> {
        let Delivering { queue, condition, retry, .. } = &*self.delivering;
        let late = |reason| Err(AppendError::Unavailable { reason, retry_after: None, source: None });
        let deadline = retry.attempt_timeout;
        tokio::select! {
            biased;
            answer = condition.guard(call) => answer,
            () = tokio::time::sleep(deadline) => late(format!("the spool did not answer within {deadline:?}")),
            () = queue.time_is_up() => late("the spool did not answer before the shutdown's deadline".to_owned()),
        }
    }

    /// Gives the spool back, with what waits in it.
    pub(super) async fn close(&self) {
        if let Err(error) = self.in_time(|| self.spool.close()).await {
            tracing::warn!(target: "throughline", spool = self.spool.name(), %error, "the spool was not closed");
        }
    }
}

impl Moved {
    fn and(mut self, other: Self) -> Self {
        self.taken.extend(other.taken);
        self.refused.extend(other.refused);
        self.error = self.error.or(other.error);
        self
    }
}

/// Ends an attempt to drain the spool early where the store itself is away: of hundreds of traces each would be tried in vain.
struct Brake {
    is_on: AtomicBool,
    /// Calls that failed since the last one that was answered.
    failures: AtomicUsize,
    /// So many of them say that it is not about some traces.
    at_most: usize,
}

impl Brake {
    fn new(at_once: usize) -> Self {
        // One failure may be that of a trace alone.
        Self { is_on: AtomicBool::new(false), failures: AtomicUsize::new(0), at_most: at_once.max(2) }
    }

    fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    fn failed(&self, error: &AppendError, was_late: bool) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if was_late || retry_after(error).is_some() || failures >= self.at_most {
            self.is_on.store(true, Ordering::Relaxed);
        }
    }
}

/// Appends events in order, in as many calls as the limits ask for, until the store turns out to be away. One that is refused
/// holds nothing up.
async fn move_lane(delivering: &Delivering, brake: &Brake, lane: Vec<Spooled>) -> Moved {
    let mut moved = Moved::default();
    let mut rest = &lane[..];
    while !rest.is_empty() {
        let count = delivering.fitting(rest.iter().map(|spooled| &*spooled.event));
        let (mut first, mut refused) = (&rest[..count], None);
        while !first.is_empty() {
            if brake.is_on() {
                // The lane that failed says why.
                return moved;
            }
            let began = Instant::now();
            let events: Vec<_> = first.iter().map(|spooled| Arc::clone(&spooled.event)).collect();
            match delivering.append(&events).await {
                Ok(()) => {
                    brake.answered();
                    break;
                }
                // Of several that are refused the store may name any: all before it go first.
                Err(AppendError::Rejected { index, reason }) if index < first.len() => {
                    brake.answered();
                    first = &first[..index];
                    refused = Some(reason);
                }
                Err(error) => {
                    brake.failed(&error, began.elapsed() >= delivering.retry.attempt_timeout);
                    moved.error = Some(error);
                    return moved;
                }
            }
        }
        moved.taken.extend(first.iter().map(|spooled| spooled.position));
        rest = &rest[first.len()..];
        if let (Some(reason), Some((spooled, others))) = (refused, rest.split_first()) {
            tracing::warn!(target: "throughline", event = %spooled.event.id(), %reason, "the store rejected an event");
            moved.refused.push((spooled.position, reason));
            rest = others;
        }
        delivering.let_others_run().await;
    }
    moved
}
