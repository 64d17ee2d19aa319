//! [`broken_run`], events that no emitter would write.

use std::collections::HashSet;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::names::{SAGA_COMPENSATING, WORKFLOW_STARTED, attrs, tags};
use crate::{InstanceId, Link, Relation, SpanId, Status, Text, Timestamp, TraceEvent, TraceId};

/// The events of one run in which little is as it should be, in the order in which they arrive: starts and ends are
/// missing, times contradict the order within a span, parents go in circles or nowhere, there is no root or there are
/// several, some of them detached, and what tries what again makes no sense. No two events have one identity. They are
/// emitted by these instances (by [`InstanceId::IMPORTED`] if none are named). The same seed gives the same run (except
/// across versions of this library).
pub fn broken_run(seed: u64, instances: &[InstanceId]) -> Vec<TraceEvent> {
    let mut random = StdRng::seed_from_u64(seed);
    let trace = TraceId::from_key(&format!("broken {seed}"));
    let (spans, roots) = (random.random_range(1..8), random.random_range(0.0..0.6));
    let mut ids = HashSet::new();
    let mut events: Vec<_> = (0..random.random_range(1..24))
        .filter_map(|n| event(trace, spans, roots, instances, n, &mut random))
        .filter(|event| ids.insert(event.id()))
        .collect();
    events.shuffle(&mut random);
    events
}

fn event(
    trace: TraceId,
    spans: u64,
    roots: f64,
    instances: &[InstanceId],
    n: u64,
    random: &mut StdRng,
) -> Option<TraceEvent> {
    let mut any = |count: u64| random.random_range(1..=count);
    let (span, parent, retried) = (any(spans), any(spans + 1), any(spans));
    let time = Timestamp::from_micros(1_772_323_200_000_000 + any(30) as i64);
    let event_type = [WORKFLOW_STARTED, "stage:a", "job:b", SAGA_COMPENSATING][any(4) as usize - 1];
    let service = ["loan-service", "batch"][any(2) as usize - 1];
    let mut event = TraceEvent::new(trace, SpanId::from_u64(span)?, event_type, time, service);
    event.seq = any(4) as u32 - 1;
    event.n = n;
    if !instances.is_empty() {
        event.instance = instances[any(instances.len() as u64) as usize - 1];
    }
    let statuses = [Status::Pending, Status::Success, Status::Failed, Status::Cancelled];
    event.status = statuses[any(4) as usize - 1];
    event.duration_us = (event.status != Status::Pending).then(|| any(1000));
    let names = |name: u64| ["a", "b"].get(name as usize - 1).map(|name| Text::literal(name));
    (event.workflow, event.correlation_id) = (names(any(4)), names(any(4)));
    event.attrs = event.attrs.with(attrs::TENANT, ["acme", "globex"][any(2) as usize - 1]);
    if !random.random_bool(roots) {
        event.parent_span_id = SpanId::from_u64(parent);
    }
    for tag in [tags::REMOTE_PARENT, tags::DETACHED, tags::COMPENSATION] {
        if random.random_bool(roots) {
            event.tags.push(Text::literal(tag));
        }
    }
    if random.random_bool(0.3) {
        event.links.push(Link::to(Relation::RetryOf, SpanId::from_u64(retried)?));
    }
    Some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_broken_runs_have_every_fault() {
        let runs: Vec<_> = (0..100).map(|seed| broken_run(seed, &[])).collect();
        assert!(runs.iter().any(|events| events.iter().all(|event| !event.is_root())));
        let spans_of_roots = |events: &[TraceEvent]| -> HashSet<SpanId> {
            events.iter().filter(|event| event.is_root()).map(|event| event.span_id).collect()
        };
        assert!(runs.iter().any(|events| spans_of_roots(events).len() > 2));
        // A span that turns out to be detached when one of its later events is read.
        let turns_out = |events: &Vec<TraceEvent>| {
            events.windows(2).any(|pair| {
                pair[0].span_id == pair[1].span_id && !pair[0].is_detached() && pair[1].is_detached()
            })
        };
        assert!(runs.iter().any(turns_out));
        assert_eq!(broken_run(7, &[]), runs[7]);
    }
}
