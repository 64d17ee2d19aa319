//! What became of the events.

use std::sync::atomic::{AtomicU64, Ordering};

use throughline_model::SinkAccount;

/// Counts every event once; it is accepted before it is anything else.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accepted: AtomicU64,
    delivered: AtomicU64,
    lost: [AtomicU64; 4],
}

/// Why an event was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    QueueFull,
    Unavailable,
    Rejected,
    Shutdown,
}

impl Ledger {
    pub(crate) fn accept(&self, count: u64) {
        self.accepted.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn deliver(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Release);
    }

    pub(crate) fn lose(&self, why: Lost, count: u64) {
        self.lost[why as usize].fetch_add(count, Ordering::Release);
    }

    pub(crate) fn account(&self) -> SinkAccount {
        let lost = |why: Lost| self.lost[why as usize].load(Ordering::Acquire);
        let delivered = self.delivered.load(Ordering::Acquire);
        SinkAccount {
            delivered,
            queue_full: lost(Lost::QueueFull),
            unavailable: lost(Lost::Unavailable),
            rejected: lost(Lost::Rejected),
            shutdown: lost(Lost::Shutdown),
            // Read last: what is in another figure was accepted before.
            accepted: self.accepted.load(Ordering::Relaxed),
        }
    }
}
