//! What became of the events.

use std::sync::atomic::{AtomicU64, Ordering};

use throughline_model::{DropReason, SinkAccount};

/// Counts every event once; it is accepted before it is anything else.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accepted: AtomicU64,
    delivered: AtomicU64,
    lost: [AtomicU64; DropReason::ALL.len()],
}

impl Ledger {
    pub(crate) fn accept(&self, count: u64) {
        self.accepted.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn deliver(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Release);
    }

    pub(crate) fn lose(&self, why: DropReason, count: u64) {
        self.lost[why as usize].fetch_add(count, Ordering::Release);
    }

    pub(crate) fn account(&self) -> SinkAccount {
        let lost = |why: DropReason| self.lost[why as usize].load(Ordering::Acquire);
        SinkAccount {
            delivered: self.delivered.load(Ordering::Acquire),
            dropped: DropReason::ALL.map(|why| (why, lost(why))).into_iter().collect(),
            // Read last: what is in another figure was accepted before.
            accepted: self.accepted.load(Ordering::Relaxed),
        }
    }
}
