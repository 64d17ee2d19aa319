//! Collectors that refuse, hang, die, put off, take half or less at once: what the report says, and how long a shutdown takes.

use std::time::{Duration, Instant};

use throughline_core::{BoxError, DestinationReport, DropReason, MemoryStore, Propagation, Throughline};
use throughline_model::testing::FaultyStore;
use throughline_otel::{OpenSpans, Otlp, Protocol, Sampler};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::collector::{Collector, PATIENCE, Says, nobody};

/// How long a shutdown may take in these tests.
const SHUTDOWN: Duration = Duration::from_secs(2);

fn otlp(endpoint: &str) -> Otlp {
    Otlp::new().endpoint(endpoint).open_spans(OpenSpans::Hidden).delay(Duration::from_millis(20))
}

fn throughline(otlp: Otlp) -> Throughline {
    Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap()
}

/// Runs of two spans each, which is four events.
async fn run(throughline: &Throughline, runs: usize) {
    for _ in 0..runs {
        let run = throughline
            .workflow("w")
            .run(|ctx| async move { ctx.trace("stage:one", async { Ok::<_, BoxError>(()) }).await? });
        run.await.unwrap().unwrap();
    }
}

fn of_otlp(report: &throughline_core::DeliveryReport) -> DestinationReport {
    let otlp = report.destinations.iter().find(|destination| destination.name == "otlp").unwrap();
    assert!(otlp.balances(), "{report}");
    otlp.clone()
}

/// The report of a shutdown, which must not take longer than it may.
async fn shutdown(throughline: &Throughline) -> DestinationReport {
    let began = Instant::now();
    let report = throughline.shutdown(SHUTDOWN).await;
    let took = began.elapsed();
    // A machine that is busy may be late, but not by as much as one that waits for an answer.
    assert!(took < SHUTDOWN + Duration::from_secs(3), "it took {took:?}");
    of_otlp(&report)
}

async fn a_shutdown_says_what_was_not_sent(endpoint: &str) {
    says_what_was_not_sent(otlp(endpoint)).await;
}

async fn says_what_was_not_sent(otlp: Otlp) {
    let throughline = throughline(otlp);
    run(&throughline, 5).await;
    let report = shutdown(&throughline).await;
    assert_eq!((report.accepted, report.delivered, report.pending), (20, 0, 0), "{report:?}");
    assert_eq!(report.dropped, [(DropReason::Shutdown, 20)], "{report:?}");
}

async fn nobody_answers() {
    a_shutdown_says_what_was_not_sent(&format!("http://127.0.0.1:{}", nobody().await)).await;
}

async fn it_hangs() {
    let collector = Collector::start(Says::Nothing).await;
    a_shutdown_says_what_was_not_sent(&collector.endpoint()).await;
}

async fn it_dies_in_mid_export() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut some = [0; 64];
            let _ = socket.read(&mut some).await;
        }
    });
    a_shutdown_says_what_was_not_sent(&endpoint).await;
    server.abort();
}

#[tokio::test]
async fn a_shutdown_is_truthful_where_nobody_answers() {
    nobody_answers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_is_truthful_where_nobody_answers_on_many_threads() {
    nobody_answers().await;
}

#[tokio::test]
async fn a_shutdown_is_truthful_where_the_collector_hangs() {
    it_hangs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_is_truthful_where_the_collector_hangs_on_many_threads() {
    it_hangs().await;
}

#[tokio::test]
async fn a_shutdown_is_truthful_where_the_collector_dies_in_mid_export() {
    it_dies_in_mid_export().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_is_truthful_where_the_collector_dies_in_mid_export_on_many_threads() {
    it_dies_in_mid_export().await;
}

/// Accepts and never answers, or ends each connection after some bytes.
async fn grpc_server(dies: bool) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 64]).await;
            if !dies {
                kept.push(socket);
            }
        }
    });
    (endpoint, server)
}

fn grpc(endpoint: &str) -> Otlp {
    let otlp = Otlp::new().protocol(Protocol::Grpc).endpoint(endpoint);
    otlp.open_spans(OpenSpans::Hidden).delay(Duration::from_millis(20))
}

#[tokio::test]
async fn a_shutdown_is_truthful_over_grpc_where_nobody_answers() {
    says_what_was_not_sent(grpc(&format!("http://127.0.0.1:{}", nobody().await))).await;
}

#[tokio::test]
async fn a_shutdown_is_truthful_over_grpc_where_the_collector_hangs() {
    let (endpoint, server) = grpc_server(false).await;
    says_what_was_not_sent(grpc(&endpoint)).await;
    server.abort();
}

#[tokio::test]
async fn a_shutdown_is_truthful_over_grpc_where_the_collector_dies_in_mid_export() {
    let (endpoint, server) = grpc_server(true).await;
    says_what_was_not_sent(grpc(&endpoint)).await;
    server.abort();
}

#[tokio::test]
async fn what_a_collector_rejects_in_part_is_counted() {
    let collector = Collector::start(Says::Half).await;
    let throughline = throughline(otlp(&collector.endpoint()).delay(PATIENCE));
    run(&throughline, 4).await;
    let report = shutdown(&throughline).await;
    assert_eq!((report.accepted, report.delivered), (16, 8), "{report:?}");
    assert_eq!(report.dropped, [(DropReason::Rejected, 8)], "{report:?}");
    assert_eq!(collector.spans().len(), 4);
}

#[tokio::test]
async fn what_a_collector_never_takes_is_rejected_at_once() {
    let collector = Collector::start(Says::Status(400, None)).await;
    let throughline = throughline(otlp(&collector.endpoint()));
    run(&throughline, 4).await;
    let report = of_otlp(&throughline.flush(PATIENCE).await);
    assert_eq!(report.dropped, [(DropReason::Rejected, 16)], "{report:?}");
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_when_it_wants_to_be() {
    for status in [429, 503] {
        let collector = Collector::start_with([Says::Status(status, Some(1)), Says::Yes]).await;
        let throughline = throughline(otlp(&collector.endpoint()).delay(PATIENCE));
        run(&throughline, 4).await;
        let report = of_otlp(&throughline.flush(PATIENCE).await);
        assert_eq!((report.delivered, report.dropped()), (16, 0), "{report:?}");
        let [first, second] = collector.asked()[..] else { panic!("{:?}", collector.asked()) };
        assert!(second - first >= Duration::from_secs(1), "{:?}", second - first);
    }
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved_until_it_fits() {
    let collector = Collector::start(Says::AtMost(3)).await;
    let throughline = throughline(otlp(&collector.endpoint()).delay(PATIENCE));
    run(&throughline, 10).await;
    let report = of_otlp(&throughline.flush(PATIENCE).await);
    assert_eq!((report.delivered, report.dropped()), (40, 0), "{report:?}");
    let mut ids: Vec<_> = collector.spans().into_iter().map(|span| span.span_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert!(collector.sizes().iter().all(|size| *size <= 3), "{:?}", collector.sizes());
}

#[tokio::test]
async fn a_span_that_is_too_large_by_itself_is_rejected_and_the_others_are_not() {
    let collector = Collector::start(Says::AtMost(0)).await;
    let throughline = throughline(otlp(&collector.endpoint()).delay(PATIENCE));
    run(&throughline, 4).await;
    let report = of_otlp(&throughline.flush(PATIENCE).await);
    assert_eq!(report.dropped, [(DropReason::Rejected, 16)], "{report:?}");
}

#[tokio::test]
async fn what_nobody_takes_is_dropped_when_patience_ends() {
    let endpoint = format!("http://127.0.0.1:{}", nobody().await);
    let throughline = throughline(otlp(&endpoint).patience(Duration::from_millis(300)));
    run(&throughline, 4).await;
    let report = of_otlp(&throughline.flush(PATIENCE).await);
    assert_eq!(report.dropped, [(DropReason::Unavailable, 16)], "{report:?}");
}

#[tokio::test]
async fn memory_is_bounded_while_nobody_answers() {
    let collector = Collector::start(Says::Nothing).await;
    let throughline = throughline(otlp(&collector.endpoint()).capacity(100));
    run(&throughline, 1000).await;
    let report = shutdown(&throughline).await;
    assert_eq!((report.accepted, report.delivered, report.pending), (4000, 0, 0), "{report:?}");
    let of = |why| report.dropped.iter().find(|(reason, _)| *reason == why).map_or(0, |(_, count)| *count);
    assert!(of(DropReason::QueueFull) > 3000, "{report:?}");
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_it_missed() {
    let collector = Collector::start(Says::Status(503, None)).await;
    let throughline = throughline(otlp(&collector.endpoint()));
    run(&throughline, 4).await;
    while collector.asked().len() < 2 {
        tokio::task::yield_now().await;
    }
    collector.says(Says::Yes);
    let report = of_otlp(&throughline.flush(PATIENCE).await);
    assert_eq!((report.delivered, report.dropped(), collector.spans().len()), (16, 0, 8), "{report:?}");
}

#[tokio::test]
async fn a_span_that_is_open_at_the_end_is_counted() {
    let collector = Collector::start(Says::Yes).await;
    let throughline = throughline(otlp(&collector.endpoint()));
    let (is_open, opened) = tokio::sync::oneshot::channel();
    let run = tokio::spawn(throughline.workflow("w").run_infallible(|_ctx| async move {
        is_open.send(()).unwrap();
        std::future::pending::<()>().await;
    }));
    opened.await.unwrap();
    let report = shutdown(&throughline).await;
    assert_eq!(report.dropped, [(DropReason::Shutdown, 1)], "{report:?}");
    run.abort();
}

#[tokio::test]
async fn a_collector_that_takes_no_log_records_is_asked_for_that_less_and_less_often() {
    let collector = Collector::start(Says::Yes).await;
    collector.says_of_records(404);
    let otlp = Otlp::new().endpoint(collector.endpoint()).delay(Duration::from_millis(20));
    let throughline = throughline(otlp);
    // Each fails, which is told in a record, long enough after the one before to be a batch of its own.
    for _ in 0..10 {
        let before = collector.spans().len();
        let failing = throughline.workflow("w").run(|_| async { Err::<(), BoxError>("no funds".into()) });
        failing.await.unwrap().unwrap_err();
        while collector.spans().len() == before {
            tokio::task::yield_now().await;
        }
    }
    let asked = collector.asked_of_records().len();
    assert!((1..=2).contains(&asked), "{asked} times");
    assert_eq!(shutdown(&throughline).await.delivered, 20);
}

#[tokio::test]
async fn a_store_that_hangs_holds_up_nothing_that_needs_no_answer_of_it() {
    let collector = Collector::start(Says::Yes).await;
    let store = FaultyStore::around(MemoryStore::new());
    let faults = store.faults();
    let otlp = otlp(&collector.endpoint()).sampler(Sampler::ParentBasedAlwaysOn).whole_failed_runs(true);
    let throughline = Throughline::builder("loans").store(store).sink(otlp).build().unwrap();
    faults.read().never_answer_next(u64::MAX);
    // Failed, and not sampled by its caller: it is looked up.
    let caller = Propagation::from_headers(
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
        None,
        None,
    );
    let failing = throughline.workflow("w").continue_from(caller);
    let failed = failing.run(|_| async { Err::<(), BoxError>("no funds".into()) });
    failed.await.unwrap().unwrap_err();
    while faults.read().attempts() == 0 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    run(&throughline, 1).await;
    while collector.spans().len() < 2 {
        tokio::task::yield_now().await;
    }
    // A store may take five seconds to answer.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let report = shutdown(&throughline).await;
    assert_eq!((report.delivered, report.dropped()), (4, 0), "{report:?}");
}
