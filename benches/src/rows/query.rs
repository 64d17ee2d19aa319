//! Making a `TraceQuery` of one large run, and explaining it.

use std::collections::HashMap;
use std::time::Instant;

use throughline_core::{SpanId, TraceEvent, TraceQuery};

use super::Bench;
use crate::duel::{by_turns, nanos};
use crate::load::{failing_run, large_run};
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "query";

const EVENTS: usize = 10_000;

pub(super) fn measure(_: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let events = large_run(EVENTS, 7);
    let [ours, peer] = by_turns(
        NAME,
        41,
        [
            Box::new(|| {
                // The query owns its events: the copy is made before the clock starts.
                let owned = events.clone();
                let started = Instant::now();
                let query = TraceQuery::new(owned);
                let took = nanos(started.elapsed());
                std::hint::black_box(&query);
                Ok(took)
            }),
            Box::new(|| {
                let started = Instant::now();
                let maps = hash_maps(&events);
                let took = nanos(started.elapsed());
                std::hint::black_box((&maps.timeline, &maps.spans, &maps.children));
                Ok(took)
            }),
        ],
    )?;
    let [large, small] = [200_000, 30].map(|events| {
        let query = TraceQuery::new(failing_run(events));
        move || {
            let started = Instant::now();
            std::hint::black_box(query.explain());
            Ok(nanos(started.elapsed()))
        }
    });
    let [large, small] = by_turns(NAME, 11, [Box::new(large), Box::new(small)])?;
    let explained = |what: &str, took: f64, most| Line {
        what: what.to_owned(),
        ours: time(took),
        peer: String::new(),
        value: (took / 1e6).into(),
        target: Target::MillisBelow(most),
    };
    Ok(vec![
        explained("`explain`, 100,000 spans", large.median(), 300.0),
        explained("`explain`, 15 spans", small.median(), 5.0),
        Line {
            what: "`TraceQuery::new`, 10,000 events".to_owned(),
            ours: time(ours.median()),
            peer: format!("hash maps that borrow: {}", time(peer.median())),
            value: ours.ratio_to(&peer),
            target: Target::RatioAtMost(0.35),
        },
        Line {
            what: "the same".to_owned(),
            ours: time(ours.median()),
            peer: String::new(),
            value: (ours.median() / 1e6).into(),
            target: Target::MillisBelow(1.0),
        },
    ])
}

/// What one writes at first, and what the same questions need: the events in order, those of each span, and the
/// children of each span in the order in which they began.
struct HashMaps<'a> {
    timeline: Vec<&'a TraceEvent>,
    spans: HashMap<SpanId, Vec<&'a TraceEvent>>,
    children: HashMap<SpanId, Vec<SpanId>>,
}

fn hash_maps(events: &[TraceEvent]) -> HashMaps<'_> {
    let mut timeline: Vec<_> = events.iter().collect();
    timeline.sort_by_key(|event| event.order());
    let (mut spans, mut children) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
    for event in &timeline {
        spans.entry(event.span_id).or_default().push(*event);
        if let (Some(parent), 0) = (event.parent_span_id, event.seq) {
            children.entry(parent).or_default().push(event.span_id);
        }
    }
    HashMaps { timeline, spans, children }
}
