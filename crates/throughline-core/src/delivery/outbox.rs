//! The spool between the queue and the store: filled while the store is away, drained in order when it is back.

use std::collections::VecDeque;
use std::sync::Arc;

use throughline_model::{AppendError, BoxFuture, Spool, SpoolUsage, Spooled, TraceEvent};

use super::DropReason;
use super::group::{Delivering, Undelivered};
use super::queue::Queued;

/// How many events are read from the spool at once. A simulation never fills a large group.
const GROUP: usize = if cfg!(test) { 4 } else { 512 };

pub(super) struct Outbox {
    delivering: Arc<Delivering>,
    spool: Arc<dyn Spool>,
    /// Events in the spool.
    waiting: u64,
    /// The first of them, as far as they have been read.
    read: VecDeque<Spooled>,
    /// Whether the last attempt to drain it succeeded.
    is_draining: bool,
    /// Whether events are on their way to the store.
    is_moving: bool,
    /// How many events were ever set aside in the spool.
    refused: u64,
}

/// How far the first events of the spool came.
pub(super) struct Moved(pub(super) Result<Taken, AppendError>);

/// What the store said of the first events.
pub(super) struct Taken {
    delivered: usize,
    /// Why it refused the one after them, if it did.
    refused: Option<String>,
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

    /// Begins to move the first events to the store, as many as one call takes, unless some are on their way. After a
    /// failure nothing is moved until it is time to `try_again`.
    pub(super) async fn start_moving(&mut self, try_again: bool) -> Option<BoxFuture<'static, Moved>> {
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
        let count = self.delivering.fitting(self.read.iter().map(|spooled| &*spooled.event));
        if count == 0 {
            // The answer to an earlier removal was lost.
            self.leave(self.waiting, 0);
            return None;
        }
        let events: Vec<_> = self.read.iter().take(count).map(|spooled| Arc::clone(&spooled.event)).collect();
        let delivering = Arc::clone(&self.delivering);
        self.is_moving = true;
        Some(Box::pin(async move { Moved(append(&delivering, &events).await) }))
    }

    /// Removes from the spool what the store has taken or refused.
    pub(super) async fn moved(&mut self, Moved(taken): Moved) {
        self.is_moving = false;
        let removed = match taken {
            Ok(taken) => self.remove(&taken).await,
            Err(error) => Err(error),
        };
        self.is_draining = removed.is_ok();
        if let Err(error) = removed {
            self.not_drained(&error);
        }
    }

    async fn remove(&mut self, taken: &Taken) -> Result<(), AppendError> {
        let refused =
            self.read.get(taken.delivered).map(|spooled| spooled.position).zip(taken.refused.as_deref());
        self.remove_first(taken.delivered).await?;
        match refused {
            Some((position, reason)) => self.set_aside(position, reason).await,
            None => Ok(()),
        }
    }

    /// Removes so many events that the store has.
    async fn remove_first(&mut self, count: usize) -> Result<(), AppendError> {
        let Some(last) = count.checked_sub(1).and_then(|last| self.read.get(last)) else { return Ok(()) };
        if let Err(error) = self.in_time(|| self.spool.remove_through(last.position)).await {
            // Whether they are gone is seen by what is left. If they are not, they are appended again, which the store
            // skips, and counted then.
            self.read.clear();
            let usage = self.in_time(|| self.spool.usage()).await?;
            if usage.events + count as u64 > self.waiting {
                return Err(error);
            }
        } else {
            self.read.drain(..count);
        }
        self.leave(count as u64, 0);
        Ok(())
    }

    /// Takes an event that the store refuses out of the queue, and keeps it for those that look into the spool.
    async fn set_aside(&mut self, position: u64, reason: &str) -> Result<(), AppendError> {
        if let Err(error) = self.in_time(|| self.spool.set_aside(position, reason)).await {
            self.read.clear();
            let usage = self.in_time(|| self.spool.usage()).await?;
            if usage.refused <= self.refused {
                return Err(error);
            }
        } else {
            self.read.pop_front_if(|first| first.position == position);
        }
        self.refused += 1;
        self.leave(0, 1);
        Ok(())
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

/// Appends the first events of the spool. One that is refused holds nothing up: all before it go first.
async fn append(delivering: &Delivering, events: &[Arc<TraceEvent>]) -> Result<Taken, AppendError> {
    let mut first = events;
    let mut refused = None;
    loop {
        let error = match first {
            [] => break,
            events => match delivering.append(events).await {
                Ok(()) => break,
                Err(error) => error,
            },
        };
        match error {
            // Of several that are refused the store may name any.
            AppendError::Rejected { index, reason } if index < first.len() => {
                first = &first[..index];
                refused = Some(reason);
            }
            error => return Err(error),
        }
    }
    if let (Some(reason), Some(event)) = (&refused, events.get(first.len())) {
        tracing::warn!(target: "throughline", event = %event.id(), %reason, "the store rejected an event");
    }
    Ok(Taken { delivered: first.len(), refused })
}
