//! Whether two runs are copies of one run, of which one may have gone further.

use std::collections::HashMap;

use throughline_core::names::{data, tags};
use throughline_core::{Timestamp, TraceEvent};

/// What a run of a log is to one of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It has all that the store has, and more or something else about it.
    Extended,
    /// The store has all that it has.
    Contained,
    /// Each has what the other lacks: they are two runs.
    Other,
}

/// Compares a run of the store, which may be empty, with one of a log.
pub(crate) fn relation(known: &[TraceEvent], new: &[TraceEvent]) -> Relation {
    let mut difference: HashMap<_, i64> = HashMap::new();
    for (events, sign) in [(known, -1), (new, 1)] {
        for event in events.iter().filter(|event| !event.has_tag(tags::SYNTHESISED)) {
            *difference.entry(what(event)).or_default() += sign;
        }
    }
    let lacks = |sign: i64| difference.values().any(|count| count.signum() == sign);
    match (lacks(-1), lacks(1)) {
        (true, true) => Relation::Other,
        (true, false) => Relation::Contained,
        (false, true) => Relation::Extended,
        (false, false) if same(known, new) => Relation::Contained,
        // The same happened, and the log says more about it: how the run ended, say.
        (false, false) => Relation::Extended,
    }
}

/// What happened and when, whatever else is said about it.
fn what(event: &TraceEvent) -> (&str, Timestamp, Option<&str>) {
    let transition = event.data.as_ref().and_then(|data| data.get(data::LIFECYCLE_TRANSITION));
    (&event.event_type, event.timestamp, transition.and_then(|transition| transition.as_str()))
}

fn same(known: &[TraceEvent], new: &[TraceEvent]) -> bool {
    let by_identity = |events: &[TraceEvent]| {
        let mut events: Vec<_> = events.iter().map(|event| (event.id(), event.clone())).collect();
        events.sort_by_key(|(id, _)| *id);
        events
    };
    known.len() == new.len() && by_identity(known) == by_identity(new)
}

#[cfg(test)]
mod tests {
    use throughline_core::{SpanId, Status, TraceId};

    use super::*;

    fn run(events: &[(&str, i64)]) -> Vec<TraceEvent> {
        let event = |(number, (name, second)): (usize, &(&str, i64))| {
            let span = SpanId::from_u64(number as u64 + 1).unwrap();
            TraceEvent::new(
                TraceId::from_key("1"),
                span,
                (*name).to_owned(),
                Timestamp::from_micros(*second),
                "import",
            )
        };
        events.iter().enumerate().map(event).collect()
    }

    #[test]
    fn a_run_is_a_copy_of_another_if_one_has_all_that_the_other_has() {
        let [short, long, other] = [&[("a", 1)][..], &[("a", 1), ("b", 2)], &[("a", 1), ("c", 2)]].map(run);
        assert_eq!(relation(&short, &long), Relation::Extended);
        assert_eq!(relation(&long, &short), Relation::Contained);
        assert_eq!(relation(&long, &long), Relation::Contained);
        assert_eq!(relation(&long, &other), Relation::Other);
        assert_eq!(relation(&[], &long), Relation::Extended);
        let twice = run(&[("a", 1), ("a", 1)]);
        assert_eq!(relation(&short, &twice), Relation::Extended);
        assert_eq!(relation(&twice, &short), Relation::Contained);
    }

    #[test]
    fn a_run_of_which_something_else_is_said_takes_the_place_of_its_copy() {
        let known = run(&[("a", 1), ("b", 2)]);
        let mut new = known.clone();
        new[1].status = Status::Failed;
        assert_eq!(relation(&known, &new), Relation::Extended);
        new.reverse();
        assert_eq!(relation(&new, &new.iter().rev().cloned().collect::<Vec<_>>()), Relation::Contained);
    }
}
