//! The spool between the queue and the store: filled while the store is away, drained in order when it is back.

use std::sync::Arc;

use throughline_model::{AppendError, Spool};

use super::group::{Delivering, Undelivered};
use super::queue::Queued;
use super::{DropReason, guarded};

/// How many events are read from the spool at once.
const GROUP: usize = 512;

pub(super) struct Outbox {
    delivering: Arc<Delivering>,
    spool: Arc<dyn Spool>,
    /// Events in the spool.
    waiting: u64,
    /// Whether the last attempt to drain it succeeded.
    is_draining: bool,
}

impl Outbox {
    /// A spool in which so many events wait.
    pub(super) fn new(delivering: Arc<Delivering>, spool: Arc<dyn Spool>, waiting: u64) -> Self {
        Self { delivering, spool, waiting, is_draining: true }
    }

    /// Whether events wait in it: then all others go behind them.
    pub(super) fn is_in_use(&self) -> bool {
        self.waiting > 0
    }

    /// Takes a group that the store did not take. Those who wait are woken: it is safe.
    pub(super) async fn push(&mut self, undelivered: Undelivered) -> Result<(), Undelivered> {
        let Undelivered { group, attempts, error } = undelivered;
        self.is_draining = false;
        self.push_group(group).await.map_err(|refused| Undelivered { group: refused.group, attempts, error })
    }

    /// Takes a group, or says why the spool does not.
    pub(super) async fn push_group(&mut self, group: Vec<Queued>) -> Result<(), Undelivered> {
        let events: Vec<_> = group.iter().map(|queued| Arc::clone(&queued.event)).collect();
        if let Err(error) = guarded(|| self.spool.push(&events)).await {
            tracing::warn!(target: "throughline", spool = self.spool.name(), %error, "the spool did not accept a group of events");
            return Err(Undelivered { group, attempts: 1, error });
        }
        self.waiting += group.len() as u64;
        self.delivering.queue.set_spooled(self.waiting);
        self.delivering.acknowledge(group);
        Ok(())
    }

    /// Moves the first events to the store, as many as one call takes. Answers whether any were moved. After a failure
    /// nothing is tried until it is time to `try_again`.
    pub(super) async fn drain_group(&mut self, try_again: bool) -> bool {
        if self.waiting == 0 || !(self.is_draining || try_again) {
            return false;
        }
        self.is_draining = match self.move_group().await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(target: "throughline", spool = self.spool.name(), %error, "the spool could not be drained");
                false
            }
        };
        self.is_draining
    }

    async fn move_group(&mut self) -> Result<(), AppendError> {
        let spooled = guarded(|| self.spool.peek(GROUP)).await?;
        let Some(first) = spooled.first() else {
            // The answer to an earlier removal was lost.
            self.moved(self.waiting, 0);
            return Ok(());
        };
        let count = self.delivering.fitting(spooled.iter().map(|spooled| &*spooled.event));
        let events: Vec<_> = spooled[..count].iter().map(|spooled| Arc::clone(&spooled.event)).collect();
        let (delivered, rejected) = match self.delivering.append(&events).await {
            Ok(()) => (count, 0),
            Err(AppendError::Rejected { index, reason }) if index < count => {
                // Everything before it goes first, so that one refused event holds nothing up.
                if index > 0 {
                    self.delivering.append(&events[..index]).await?;
                }
                tracing::warn!(target: "throughline", event = %events[index].id(), %reason, "the store rejected an event");
                (index, 1)
            }
            Err(error) => return Err(error),
        };
        let last = spooled.get(delivered + rejected - 1).unwrap_or(first);
        if let Err(error) = guarded(|| self.spool.remove_through(last.position)).await {
            // Whether they are gone is seen by what is left. If they are not, they are appended again, which the store
            // skips, and counted then.
            let usage = guarded(|| self.spool.usage()).await?;
            if usage.events + (delivered + rejected) as u64 > self.waiting {
                return Err(error);
            }
        }
        self.moved(delivered as u64, rejected as u64);
        Ok(())
    }

    fn moved(&mut self, delivered: u64, rejected: u64) {
        self.delivering.counters.deliver(delivered);
        self.delivering.counters.lose(DropReason::Rejected, rejected);
        self.waiting = self.waiting.saturating_sub(delivered + rejected);
        self.delivering.queue.set_spooled(self.waiting);
    }

    /// Gives the spool back, with what waits in it.
    pub(super) async fn close(&self) {
        if let Err(error) = guarded(|| self.spool.close()).await {
            tracing::warn!(target: "throughline", spool = self.spool.name(), %error, "the spool was not closed");
        }
    }
}
