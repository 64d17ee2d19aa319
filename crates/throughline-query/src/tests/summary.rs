use std::collections::HashMap;

use crate::TraceQuery;
use throughline_model::testing::sample_log;
use throughline_model::{InstanceId, Liveness, RunSummary, TraceEvent, TraceId};

/// Instance 1 lives, instance 2 is dead.
fn liveness(instance: InstanceId) -> Liveness {
    match instance.to_u64() {
        0 => Liveness::Imported,
        1 => Liveness::Alive,
        _ => Liveness::Dead,
    }
}

#[test]
fn a_query_and_the_stores_mean_the_same_by_a_run() {
    let mut runs: HashMap<TraceId, Vec<TraceEvent>> = HashMap::new();
    for event in sample_log(3, 300, &[1, 2, 0].map(InstanceId::from_u64)) {
        runs.entry(event.trace_id).or_default().push(event);
    }
    // Without a root a query has the first span stand in, which a list of runs has no need of.
    runs.retain(|_, events| events.iter().any(|event| event.is_root() && !event.is_detached()));
    for events in runs.into_values() {
        let listed = RunSummary::of(&events, liveness).unwrap();
        let queried = TraceQuery::new(events).with_liveness(liveness).summary().unwrap();
        assert_eq!(queried, listed);
    }
}
