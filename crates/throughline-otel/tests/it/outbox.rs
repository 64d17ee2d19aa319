//! With an outbox nothing is lost while the collector is away, nor when the process ends meanwhile.

use std::time::Duration;

use throughline_core::{BoxError, DestinationReport, MemoryStore, Throughline};
use throughline_model::testing::MemorySpool;
use throughline_otel::{OpenSpans, Otlp};

use crate::collector::{Collector, PATIENCE, Says};

fn throughline(collector: &Collector, spool: &MemorySpool) -> Throughline {
    let otlp = Otlp::new()
        .endpoint(collector.endpoint())
        .open_spans(OpenSpans::Hidden)
        .delay(Duration::from_millis(20))
        .outbox(spool.clone());
    Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap()
}

async fn run(throughline: &Throughline, runs: usize) {
    for _ in 0..runs {
        let run = throughline.workflow("w").run(|ctx| async move {
            ctx.event("business:noted", "x").await?;
            ctx.trace("stage:one", async { Ok::<_, BoxError>(()) }).await?
        });
        run.await.unwrap().unwrap();
    }
}

fn of_otlp(report: &throughline_core::DeliveryReport) -> DestinationReport {
    let otlp = report.destinations.iter().find(|destination| destination.name == "otlp").unwrap();
    assert!(otlp.balances(), "{report}");
    otlp.clone()
}

fn each_once(collector: &Collector, spans: usize) {
    let mut ids: Vec<_> = collector.spans().into_iter().map(|span| span.span_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), collector.spans().len()), (spans, spans));
    let points: usize = collector.spans().iter().map(|span| span.events.len()).sum();
    assert_eq!(points, spans / 2);
}

#[tokio::test]
async fn what_a_collector_does_not_take_waits_and_is_sent_when_it_is_back() {
    let collector = Collector::start(Says::Status(503, None)).await;
    let spool = MemorySpool::new();
    let throughline = throughline(&collector, &spool);
    run(&throughline, 10).await;
    while spool.events().is_empty() {
        tokio::task::yield_now().await;
    }
    run(&throughline, 10).await;
    collector.says(Says::Yes);
    let report = of_otlp(&throughline.flush(PATIENCE).await);
    assert_eq!((report.accepted, report.delivered, report.pending), (100, 100, 0), "{report:?}");
    assert!(spool.events().is_empty());
    each_once(&collector, 40);
}

#[tokio::test]
async fn what_waits_when_a_process_ends_is_sent_by_the_next() {
    let collector = Collector::start(Says::Nothing).await;
    let spool = MemorySpool::new();
    let first = throughline(&collector, &spool);
    run(&first, 10).await;
    let report = of_otlp(&first.shutdown(Duration::from_secs(2)).await);
    assert_eq!((report.accepted, report.pending, report.dropped()), (50, 50, 0), "{report:?}");
    assert_eq!(spool.events().len(), 50);

    let collector = Collector::start(Says::Yes).await;
    let second = throughline(&collector, &spool);
    let report = of_otlp(&second.flush(PATIENCE).await);
    assert_eq!((report.accepted, report.delivered), (50, 50), "{report:?}");
    each_once(&collector, 20);
}

#[tokio::test]
async fn what_waits_is_sent_in_smaller_batches_to_one_that_takes_no_larger_ones() {
    let collector = Collector::start_with([Says::Status(503, None), Says::AtMost(3)]).await;
    let spool = MemorySpool::new();
    let throughline = throughline(&collector, &spool);
    run(&throughline, 20).await;
    let report = of_otlp(&throughline.flush(PATIENCE).await);
    assert_eq!((report.accepted, report.delivered), (100, 100), "{report:?}");
    each_once(&collector, 40);
}

#[tokio::test]
async fn what_was_sent_before_the_collector_went_away_again_is_counted_once() {
    let says = [
        Says::Status(503, None),
        Says::AtMost(4),
        Says::AtMost(4),
        Says::AtMost(4),
        Says::Yes,
        Says::Status(503, None),
        Says::Yes,
    ];
    let collector = Collector::start_with(says).await;
    let spool = MemorySpool::new();
    let throughline = throughline(&collector, &spool);
    run(&throughline, 10).await;
    let report = of_otlp(&throughline.flush(PATIENCE).await);
    assert_eq!((report.accepted, report.delivered), (50, 50), "{report:?}");
    each_once(&collector, 20);
}
