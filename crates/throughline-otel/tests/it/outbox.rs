//! With an outbox nothing is lost while the collector is away, nor when the process ends meanwhile.

use std::time::Duration;

use throughline_core::{BoxError, DestinationReport, MemoryStore, Throughline};
use throughline_model::testing::{FaultySpool, MemorySpool};
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

/// Leaves a run in the store that failed in a step, with all that there is to be told of it in the outbox.
async fn failed_while_it_was_away(spool: &MemorySpool) {
    let collector = Collector::start(Says::Status(503, None)).await;
    collector.says_of_records(503);
    let throughline = throughline(&collector, spool);
    let run = throughline.workflow("w").run(|ctx| async move {
        ctx.trace("stage:one", async { Err::<(), BoxError>("the bureau is closed".into()) }).await?
    });
    run.await.unwrap().unwrap_err();
    let report = of_otlp(&throughline.shutdown(Duration::from_secs(2)).await);
    assert_eq!((report.pending, report.dropped(), collector.records().len()), (4, 0, 0), "{report:?}");
}

/// The bodies of the exceptions that a collector has got.
fn exceptions(collector: &Collector) -> Vec<String> {
    let records = collector.records();
    let of_exceptions = records.iter().filter(|record| record.event_name == "exception");
    of_exceptions.map(|record| format!("{:?}", record.body)).collect()
}

#[tokio::test]
async fn what_failed_while_the_collector_was_away_is_told_in_full_when_it_is_back() {
    let spool = MemorySpool::new();
    failed_while_it_was_away(&spool).await;
    let collector = Collector::start(Says::Yes).await;
    let report = of_otlp(&throughline(&collector, &spool).flush(PATIENCE).await);
    assert_eq!((report.delivered, collector.spans().len()), (4, 2), "{report:?}");
    let told = exceptions(&collector);
    assert!(told.len() == 1 && told[0].contains("the bureau is closed"), "{told:?}");
}

#[tokio::test]
async fn a_collector_that_takes_spans_before_it_takes_log_records_gets_each_once() {
    let spool = MemorySpool::new();
    failed_while_it_was_away(&spool).await;
    let collector = Collector::start(Says::Yes).await;
    collector.says_of_records(503);
    let throughline = throughline(&collector, &spool);
    while collector.asked_of_records().len() < 2 {
        tokio::task::yield_now().await;
    }
    collector.says_of_records(200);
    let report = of_otlp(&throughline.flush(PATIENCE).await);
    assert_eq!((report.delivered, report.dropped()), (4, 0), "{report:?}");
    assert_eq!((collector.spans().len(), exceptions(&collector).len()), (2, 1));
}

#[tokio::test]
async fn what_a_dead_process_left_open_waits_as_well() {
    let store = MemoryStore::new();
    let dead = Throughline::builder("loans").store(store.clone()).build().unwrap();
    let (is_open, opened) = tokio::sync::oneshot::channel();
    let run = tokio::spawn(dead.workflow("w").run_infallible(|ctx| async move {
        ctx.step("stage:left-open")
            .run_infallible(|ctx| async move {
                ctx.event("business:noted", "x").await.unwrap();
                is_open.send(ctx.trace_id()).unwrap();
                std::future::pending::<()>().await;
            })
            .await
    }));
    let trace = opened.await.unwrap();
    dead.shutdown(Duration::from_secs(30)).await;

    let (collector, spool) = (Collector::start(Says::Status(503, None)).await, MemorySpool::new());
    let exporting = |collector: &Collector| {
        let otlp = Otlp::new().endpoint(collector.endpoint()).open_spans(OpenSpans::Hidden);
        let otlp = otlp.delay(Duration::from_millis(20)).outbox(spool.clone());
        Throughline::builder("loans").store(store.clone()).sink(otlp).build().unwrap()
    };
    let abandoning = exporting(&collector);
    abandoning.abandon(trace, "it is not needed any more").await.unwrap();
    abandoning.shutdown(Duration::from_secs(2)).await;
    run.abort();

    let collector = Collector::start(Says::Yes).await;
    let report = of_otlp(&exporting(&collector).flush(PATIENCE).await);
    assert_eq!((report.pending, report.dropped()), (0, 0), "{report:?}");
    let spans = collector.spans();
    let left_open: Vec<_> = spans.iter().filter(|span| span.name == "stage:left-open").collect();
    assert_eq!((left_open.len(), spans.len()), (1, 2), "{spans:#?}");
    let status = left_open[0].status.as_ref().unwrap();
    assert_eq!((status.code, left_open[0].events.len()), (2, 1), "{left_open:#?}");
    assert!(format!("{left_open:?}").contains("interrupted"));
    assert!(!format!("{spans:?}").contains("otlp.outbox"), "what only the outbox needs to know stays there");
    let ended = spans.iter().find(|span| span.name == "workflow:w").unwrap();
    assert_eq!(left_open[0].end_time_unix_nano, ended.end_time_unix_nano);
}

#[tokio::test]
async fn many_spans_are_put_into_the_outbox_at_once() {
    let collector = Collector::start(Says::Nothing).await;
    let spool = FaultySpool::around(MemorySpool::new());
    let faults = spool.faults();
    let otlp = Otlp::new().endpoint(collector.endpoint()).open_spans(OpenSpans::Hidden).outbox(spool);
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
    run(&throughline, 100).await;
    let report = of_otlp(&throughline.shutdown(Duration::from_secs(2)).await);
    assert_eq!((report.pending, report.dropped()), (500, 0), "{report:?}");
    assert!(faults.push().attempts() < 10, "{} commits for 200 spans", faults.push().attempts());
}

#[tokio::test]
async fn of_many_spans_as_many_are_kept_as_the_outbox_has_room_for() {
    let collector = Collector::start(Says::Nothing).await;
    let spool = MemorySpool::new().capacity_bytes(20_000);
    let throughline = throughline(&collector, &spool);
    run(&throughline, 100).await;
    let report = of_otlp(&throughline.shutdown(Duration::from_secs(2)).await);
    assert_eq!(report.accepted, 500, "{report:?}");
    assert!(report.pending > 20 && report.dropped() > 0, "{report:?}");
    assert_eq!(report.pending, spool.events().len() as u64);
}

#[tokio::test]
async fn with_an_outbox_a_collector_that_is_busy_for_long_is_left_alone_for_as_long_as_it_says() {
    let collector = Collector::start(Says::Status(503, Some(3600))).await;
    let spool = MemorySpool::new();
    let otlp = Otlp::new().endpoint(collector.endpoint()).open_spans(OpenSpans::Hidden);
    let otlp =
        otlp.delay(Duration::from_millis(20)).patience(Duration::from_millis(100)).outbox(spool.clone());
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
    run(&throughline, 1).await;
    while spool.events().is_empty() {
        tokio::task::yield_now().await;
    }
    run(&throughline, 1).await;
    // As long as five times the patience, nobody is asked.
    let report = of_otlp(&throughline.shutdown(Duration::from_millis(500)).await);
    assert_eq!((report.pending, collector.asked().len()), (10, 1), "{report:?}");
}

#[tokio::test]
async fn an_outbox_that_takes_nothing_is_not_asked_once_for_each_span() {
    let collector = Collector::start(Says::Nothing).await;
    let spool = FaultySpool::around(MemorySpool::new().capacity_bytes(1));
    let faults = spool.faults();
    let otlp = Otlp::new().endpoint(collector.endpoint()).open_spans(OpenSpans::Hidden).outbox(spool);
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
    run(&throughline, 100).await;
    let report = of_otlp(&throughline.shutdown(Duration::from_secs(2)).await);
    assert_eq!((report.pending, report.dropped()), (0, 500), "{report:?}");
    assert!(faults.push().attempts() < 30, "{} commits for 200 spans", faults.push().attempts());
}
