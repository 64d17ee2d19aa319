//! Questions across a million events.

use std::time::{Duration, Instant};

use throughline_core::{Filter, Page, Scope, Status, TraceAnalytics, TraceReader};

use super::Bench;
use crate::duel::{Samples, by_turns, nanos};
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "analytics";

const PAGE: usize = 100;
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (million, runtime) = bench.million()?;
    let (all, reader) = (Scope::all(), &million.reader);
    let failed = Filter::new().status(Status::Failed).scope(Scope::all().since(million.end.minus(DAY)));
    let [failures] = by_turns(
        "failures of 24 h",
        101,
        [Box::new(|| {
            let started = Instant::now();
            let page = runtime.block_on(reader.events(&failed, &Page::first(PAGE)))?;
            let took = nanos(started.elapsed());
            anyhow::ensure!(page.items.len() == PAGE, "{} failures", page.items.len());
            Ok(took)
        })],
    )?;
    let [slowest] = by_turns(
        "slowest spans",
        101,
        [Box::new(|| {
            let started = Instant::now();
            let spans = runtime.block_on(reader.slowest_spans(&all, 20))?;
            let took = nanos(started.elapsed());
            anyhow::ensure!(spans.len() == 20, "{} spans", spans.len());
            Ok(took)
        })],
    )?;
    let [ours, plain] = by_turns(
        "failure rate by type",
        9,
        [
            Box::new(|| {
                let started = Instant::now();
                let rates = runtime.block_on(reader.failure_rate_by_type(&all))?;
                std::hint::black_box(rates);
                Ok(nanos(started.elapsed()))
            }),
            Box::new(|| {
                let started = Instant::now();
                let rates = million.plain.failure_rate_by_type()?;
                std::hint::black_box(rates);
                Ok(nanos(started.elapsed()))
            }),
        ],
    )?;
    let below_a_millisecond = |what: &str, samples: &Samples| Line {
        what: what.to_owned(),
        ours: time(samples.median()),
        peer: String::new(),
        value: (samples.median() / 1e6).into(),
        target: Target::MillisBelow(1.0),
    };
    Ok(vec![
        below_a_millisecond("the last 100 failures of 24 h, of 1,000,000 events", &failures),
        Line {
            what: "failure rate by type, of 1,000,000 events".to_owned(),
            ours: time(ours.median()),
            peer: format!("plain query over an index: {}", time(plain.median())),
            value: ours.ratio_to(&plain),
            target: Target::RatioAtMost(0.025),
        },
        below_a_millisecond("the slowest 20 spans of 1,000,000 events", &slowest),
    ])
}
