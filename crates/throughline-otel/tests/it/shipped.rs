//! Metrics and log lines at collectors that put off, reject, hang or are gone: each is accounted for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use throughline_core::log::{LogLine, LogLineSink as _};
use throughline_core::metrics::catalogue::Kind;
use throughline_core::metrics::{MetricFamily, MetricSeries, MetricSnapshot, MetricSource, MetricValue};
use throughline_core::{DeliveryReport, DestinationReport, DropReason, MemoryStore, Throughline, Timestamp};
use throughline_otel::{Otlp, OtlpLogs};

use crate::collector::{Collector, PATIENCE, Says, nobody};

/// So many counters, which count how often they were looked at.
struct Looks(u64, Arc<AtomicU64>);

impl MetricSource for Looks {
    fn snapshot(&self) -> MetricSnapshot {
        let looks = self.1.fetch_add(1, Ordering::Relaxed) + 1;
        let family = |at| MetricFamily {
            name: format!("looks_{at}"),
            kind: Kind::Counter,
            unit: None,
            help: String::new(),
            series: vec![MetricSeries { labels: Vec::new(), value: MetricValue::Count(looks) }],
        };
        MetricSnapshot { since: Timestamp::from_micros(1), families: (0..self.0).map(family).collect() }
    }
}

fn measuring(otlp: &Otlp, count: u64, interval: Duration) -> Throughline {
    let metrics = otlp.metrics(Looks(count, Arc::default())).interval(interval);
    Throughline::builder("loans").store(MemoryStore::new()).sink(metrics).build().unwrap()
}

fn of(report: &DeliveryReport, name: &str) -> DestinationReport {
    let found = report.destinations.iter().find(|destination| destination.name == name).unwrap();
    assert!(found.balances(), "{report}");
    found.clone()
}

/// Waits until this is so.
async fn once(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// How often the metrics had been looked at which a collector has got.
fn looks(collector: &Collector) -> Vec<u64> {
    let value = |metric: &opentelemetry_proto::tonic::metrics::v1::Metric| match &metric.data {
        Some(Data::Sum(sum)) => match sum.data_points[0].value {
            Some(Value::AsInt(looks)) => u64::try_from(looks).unwrap(),
            _ => panic!("{metric:?}"),
        },
        _ => panic!("{metric:?}"),
    };
    collector.metrics().iter().map(value).collect()
}

#[tokio::test]
async fn metrics_are_sent_again_and_again_and_whenever_somebody_flushes() {
    let collector = Collector::start(Says::Yes).await;
    let otlp = Otlp::new().endpoint(collector.endpoint());
    let throughline = measuring(&otlp, 1, Duration::from_millis(10));
    once(|| collector.metrics().len() >= 3).await;
    let seen = looks(&collector);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    throughline.shutdown(PATIENCE).await;

    let rarely = measuring(&otlp, 1, Duration::MAX);
    let before = collector.metrics().len();
    rarely.flush(PATIENCE).await;
    assert_eq!(looks(&collector)[before..], [1]);
    let report = of(&rarely.shutdown(PATIENCE).await, "otlp_metrics");
    assert_eq!((report.accepted, report.delivered), (2, 2));
    assert_eq!(looks(&collector)[before..], [1, 2], "the last values, too");
}

#[tokio::test]
async fn metrics_that_a_collector_puts_off_or_finds_too_many_are_sent_all_the_same() {
    let says = [Says::Status(503, None), Says::AtMost(3), Says::AtMost(3), Says::AtMost(3), Says::Yes];
    let collector = Collector::start_with(says).await;
    let throughline = measuring(&Otlp::new().endpoint(collector.endpoint()), 10, Duration::MAX);
    let report = of(&throughline.shutdown(PATIENCE).await, "otlp_metrics");
    assert_eq!((report.accepted, report.delivered, report.dropped()), (10, 10, 0), "{report:?}");
    assert_eq!(collector.metrics().len(), 10);
}

#[tokio::test]
async fn metrics_that_a_collector_rejects_are_counted() {
    for (says, rejected) in [(Says::Half, 5), (Says::Status(400, None), 10)] {
        let collector = Collector::start(says).await;
        let throughline = measuring(&Otlp::new().endpoint(collector.endpoint()), 10, Duration::MAX);
        let report = of(&throughline.shutdown(PATIENCE).await, "otlp_metrics");
        assert_eq!(
            (report.delivered, report.dropped),
            (10 - rejected, vec![(DropReason::Rejected, rejected)])
        );
    }
}

fn line(lines: &OtlpLogs, message: &str) {
    lines.on_line(LogLine {
        at: Timestamp::from_micros(7),
        level: tracing::Level::WARN,
        message: message.to_owned(),
        target: "loans".to_owned(),
        trace: None,
        span: None,
        ids: Vec::new(),
        error: None,
        metadata: serde_json::Map::new(),
    });
}

fn logging(otlp: &Otlp) -> (Throughline, OtlpLogs) {
    let lines = otlp.log_lines();
    let builder = Throughline::builder("loans").store(MemoryStore::new());
    (builder.sink(lines.clone()).build().unwrap(), lines)
}

#[tokio::test]
async fn log_lines_wait_for_a_collector_that_is_busy_and_arrive_once_and_in_order() {
    let collector = Collector::start(Says::Yes).await;
    collector.says_of_records(503);
    let (throughline, lines) = logging(&Otlp::new().endpoint(collector.endpoint()));
    (0..100).for_each(|at| line(&lines, &at.to_string()));
    once(|| !collector.asked_of_records().is_empty()).await;
    collector.says_of_records(200);
    let report = of(&throughline.shutdown(PATIENCE).await, "otlp_logs");
    assert_eq!((report.accepted, report.delivered), (100, 100), "{report:?}");
    let records = collector.records();
    assert_eq!(records.len(), 100);
    assert!(records.iter().all(|record| record.time_unix_nano == 7_000 && record.severity_number == 13));
    let said = |at: usize| format!("{:?}", records[at].body);
    assert!(said(0).contains("\"0\"") && said(99).contains("\"99\""), "{}", said(99));
}

#[tokio::test]
async fn a_snapshot_is_sent_whole_however_large_and_replaces_what_waits_of_the_last_one() {
    let collector = Collector::start(Says::Yes).await;
    let otlp = Otlp::new().endpoint(collector.endpoint()).capacity(3);
    let report = of(&measuring(&otlp, 10, Duration::MAX).shutdown(PATIENCE).await, "otlp_metrics");
    assert_eq!((report.accepted, report.delivered, report.dropped()), (10, 10, 0), "{report:?}");
    assert_eq!(collector.metrics().len(), 10);

    let busy = Collector::start_with([Says::Status(503, Some(60)), Says::Yes]).await;
    let otlp = Otlp::new().endpoint(busy.endpoint()).capacity(3);
    let throughline = measuring(&otlp, 10, Duration::MAX);
    throughline.flush(Duration::from_secs(1)).await;
    let report = of(&throughline.shutdown(Duration::from_secs(1)).await, "otlp_metrics");
    let dropped = vec![(DropReason::Unavailable, 10), (DropReason::Shutdown, 10)];
    assert_eq!((report.accepted, report.delivered, report.dropped), (20, 0, dropped));
}

#[tokio::test]
async fn a_collector_that_takes_no_lines_at_all_is_not_asked_for_each_batch() {
    let collector = Collector::start(Says::Yes).await;
    collector.says_of_records(404);
    let (throughline, lines) = logging(&Otlp::new().endpoint(collector.endpoint()));
    for message in ["first", "second"] {
        line(&lines, message);
        throughline.flush(Duration::from_secs(1)).await;
    }
    assert_eq!(collector.asked_of_records().len(), 1);
    let report = of(&throughline.shutdown(Duration::from_secs(1)).await, "otlp_logs");
    let dropped = vec![(DropReason::Rejected, 1), (DropReason::Shutdown, 1)];
    assert_eq!((report.delivered, report.dropped), (0, dropped));
}

#[tokio::test]
async fn a_second_emitter_that_is_given_the_same_lines_does_not_close_those_of_the_first() {
    let collector = Collector::start(Says::Yes).await;
    let (throughline, lines) = logging(&Otlp::new().endpoint(collector.endpoint()));
    let second = Throughline::builder("cards").store(MemoryStore::new()).sink(lines.clone()).build();
    let error = second.map(drop).unwrap_err();
    assert!(error.to_string().contains("open already"), "{error}");
    // The thread of a worker that was started and refused would have ended by the time of this flush.
    throughline.flush(PATIENCE).await;
    (0..10).for_each(|at| line(&lines, &at.to_string()));
    let report = of(&throughline.shutdown(PATIENCE).await, "otlp_logs");
    assert_eq!((report.accepted, report.delivered, report.dropped()), (10, 10, 0), "{report:?}");
}

#[tokio::test]
async fn log_lines_that_find_no_room_or_nobody_are_counted_and_hold_nothing_up() {
    let set = [
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "10".to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", { format!("http://127.0.0.1:{}", nobody().await) }),
    ];
    let lookup =
        |name: &'static str| Ok(set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()));
    let (throughline, lines) = logging(&Otlp::from_lookup(&lookup).unwrap());
    (0..100).for_each(|_| line(&lines, "x"));
    let report = of(&throughline.shutdown(Duration::from_secs(1)).await, "otlp_logs");
    assert_eq!((report.accepted, report.delivered, report.pending), (100, 0, 0), "{report:?}");
    let dropped =
        |why| report.dropped.iter().find(|(reason, _)| *reason == why).map_or(0, |(_, count)| *count);
    assert!((1..=20).contains(&dropped(DropReason::Shutdown)), "{report:?}");
    assert_eq!(dropped(DropReason::Shutdown) + dropped(DropReason::QueueFull), 100, "{report:?}");
    line(&lines, "after the end");
    assert_eq!(of(&throughline.delivery_report(), "otlp_logs").pending, 0);
}
