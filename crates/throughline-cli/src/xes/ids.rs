//! The ids of runs and spans. They follow from what happened and when, and not from where it stands in a log, so that
//! importing a log again adds nothing and a later, longer copy of it is recognised.

use std::collections::{HashMap, HashSet};

use hmac_sha256::Hash as Sha256;
use throughline_core::{SpanId, TraceId};

/// The ids of the runs of one log.
#[derive(Debug)]
pub(crate) struct RunIds {
    log: String,
    /// How often each id was asked for.
    asked: HashMap<TraceId, u64>,
}

/// The ids that a run may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunId {
    /// What all copies of the log have in common.
    pub(crate) shared: TraceId,
    /// The one for when the store has another run under the shared id, of another log with the same name.
    pub(crate) of_log: TraceId,
}

impl RunIds {
    pub(crate) fn new(log: impl Into<String>) -> Self {
        Self { log: log.into(), asked: HashMap::new() }
    }

    /// Takes note of a run that has an id of its own.
    pub(crate) fn note(&mut self, id: TraceId) {
        *self.asked.entry(id).or_default() += 1;
    }

    /// The id of the next run that this text identifies. A log may have several traces of one case.
    pub(crate) fn next(&mut self, identity: &str) -> RunId {
        let first = TraceId::from_key(identity);
        let count = self.asked.entry(first).or_default();
        *count += 1;
        // Of a hash, so that no key of a case can be made to look like the second trace of another.
        let shared = if *count == 1 { first } else { TraceId::from_key(&format!("{first}#{count}")) };
        RunId { shared, of_log: TraceId::from_key(&format!("{}#{shared}", self.log)) }
    }
}

/// Gives out the ids of the spans of a run.
pub(crate) struct SpanIds {
    base: Sha256,
    /// How often each hash was asked for.
    asked: HashMap<u64, u64>,
    given: HashSet<SpanId>,
}

impl SpanIds {
    pub(crate) fn new(trace_id: TraceId, workflow: &str) -> Self {
        let mut base = Sha256::new();
        base.update(trace_id.to_bytes());
        base.update(workflow);
        Self { base, asked: HashMap::new(), given: HashSet::new() }
    }

    pub(crate) fn next(&mut self, what: &[&str]) -> SpanId {
        let mut hash = self.base.clone();
        for part in what {
            hash.update([0]);
            hash.update(part);
        }
        let first = number(hash.clone());
        let count = self.asked.entry(first).or_default();
        *count += 1;
        let mut id = first;
        if *count > 1 {
            // The same thing at the same moment happened again.
            hash.update([1]);
            hash.update(count.to_be_bytes());
            id = number(hash);
        }
        loop {
            if let Some(span_id) = SpanId::from_u64(id)
                && self.given.insert(span_id)
            {
                return span_id;
            }
            id = id.wrapping_add(1);
        }
    }
}

fn number(hash: Sha256) -> u64 {
    let digest = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(bytes)
}
