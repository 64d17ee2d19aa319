//! The parts of a call that are written side by side.

use std::collections::HashMap;
use std::sync::Arc;

use throughline_model::{TraceEvent, TraceId};

use crate::error::Fault;

/// How many events are worth a transaction of their own: fewer are written sooner than another commit is made.
const WORTH: usize = 16;

/// The events of some of the traces of a call.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) events: Vec<Arc<TraceEvent>>,
    /// The place of each in the call.
    places: Vec<usize>,
}

impl Part {
    /// A fault of this part as one of the call.
    pub(crate) fn in_call(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Rejected { index, reason } => {
                Fault::Rejected { index: self.places.get(index).copied().unwrap_or(index), reason }
            }
            other => other,
        }
    }
}

/// The events of a call in at most so many parts, all events of a trace in one of them.
pub(crate) fn parts(events: &[Arc<TraceEvent>], most: usize) -> Vec<Part> {
    let count = (events.len() / WORTH).clamp(1, most);
    let mut parts: Vec<Part> = (0..count).map(|_| Part::default()).collect();
    let mut of_trace: HashMap<TraceId, usize> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        let next = of_trace.len() % count;
        let part = &mut parts[*of_trace.entry(event.trace_id).or_insert(next)];
        part.events.push(Arc::clone(event));
        part.places.push(place);
    }
    parts.retain(|part| !part.events.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use throughline_model::testing::run;

    use super::*;

    /// Events of so many traces in turn, so many of each.
    fn events(traces: usize, of_each: usize) -> Vec<Arc<TraceEvent>> {
        let of_traces: Vec<_> = (0..traces)
            .map(|_| {
                let mut run = run("loan");
                (0..of_each).for_each(|_| {
                    run.point("stage:item");
                });
                run.events().to_vec()
            })
            .collect();
        (0..of_each).flat_map(|at| of_traces.iter().map(move |of| Arc::new(of[at].clone()))).collect()
    }

    #[test]
    fn all_events_of_a_trace_are_in_one_part_in_their_order() {
        let events = events(7, 10);
        let parts = parts(&events, 4);
        assert_eq!(parts.len(), 4);
        let mut seen = HashMap::new();
        for (number, part) in parts.iter().enumerate() {
            assert!(part.places.is_sorted());
            for (event, place) in part.events.iter().zip(&part.places) {
                assert_eq!(event, &events[*place]);
                assert_eq!(*seen.entry(event.trace_id).or_insert(number), number);
            }
        }
        assert_eq!(parts.iter().map(|part| part.events.len()).sum::<usize>(), events.len());
    }

    #[test]
    fn few_events_and_one_trace_are_one_part() {
        assert_eq!(parts(&events(31, 1), 4).len(), 1);
        assert_eq!(parts(&events(1, 100), 4).len(), 1);
        assert_eq!(parts(&events(32, 1), 4).len(), 2);
    }

    #[test]
    fn a_refused_event_is_named_by_its_place_in_the_call() {
        let events = events(64, 1);
        let parts = parts(&events, 4);
        let fault = parts[1].in_call(Fault::Rejected { index: 2, reason: "too large".to_owned() });
        assert!(matches!(fault, Fault::Rejected { index: 9, .. }), "{fault:?}");
    }
}
