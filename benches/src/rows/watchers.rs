//! A writer whose feed has many watchers, beside one whose feed has none.

use futures_util::StreamExt as _;
use throughline_core::{MemoryFeed, Throughline, TraceId, TraceStream as _, WatchRequest};

use super::Bench;
use crate::duel::{by_turns, nanos_each};
use crate::load::{EVENTS_OF_A_RUN, Meter};
use crate::ours;
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "watchers";

const WATCHERS: usize = 10_000;
const EMITS: usize = 5_000 * EVENTS_OF_A_RUN;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (watched, unwatched) = (MemoryFeed::new(), MemoryFeed::new());
    let writer = |feed: &MemoryFeed| Throughline::builder("bench").feed(feed.clone()).build();
    let writers = (writer(&watched)?, writer(&unwatched)?);
    // As somebody does who has the page of one run open.
    for _ in 0..WATCHERS {
        let mut watch = bench.single.block_on(watched.watch(WatchRequest::new().trace(TraceId::random())))?;
        bench.many.spawn(async move { while watch.next().await.is_some() {} });
    }
    let runtime = &bench.single;
    let emit = |writer: &Throughline| {
        let writer = writer.clone();
        move || {
            nanos_each(EMITS, || {
                runtime.block_on(ours::emit_runs(writer.clone(), Meter::new(EMITS))).map(drop)
            })
        }
    };
    let [ours, peer] = by_turns(NAME, 11, [Box::new(emit(&writers.0)), Box::new(emit(&writers.1))])?;
    let dropped = |writer: &Throughline| {
        let feeds = writer.delivery_report().destinations;
        let (dropped, accepted) = feeds
            .iter()
            .fold((0, 0), |(dropped, accepted), feed| (dropped + feed.dropped(), accepted + feed.accepted));
        format!("{:.0} % dropped", 100.0 * dropped as f64 / accepted as f64)
    };
    Ok(vec![Line {
        what: format!("an emit to a feed that {WATCHERS} watch, each a run of its own"),
        ours: format!("{}, {}", time(ours.median()), dropped(&writers.0)),
        peer: format!("that nobody watches: {}, {}", time(peer.median()), dropped(&writers.1)),
        value: ours.ratio_to(&peer),
        target: Target::RatioAtMost(1.05),
    }])
}
