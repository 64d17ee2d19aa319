//! Nothing grows, scraped or not.

use metrics::{Key, Label, Level, Metadata, Recorder};
use throughline_core::metrics::catalogue;
use throughline_metrics::{ExpositionFormat, Prometheus};

use crate::{lines, quiet, recorded_by};

const METADATA: Metadata<'static> = Metadata::new("elsewhere", Level::INFO, None);

#[test]
fn a_million_records_that_nobody_scrapes_allocate_nothing() {
    let prometheus = quiet();
    let histogram = prometheus.recorder().register_histogram(&Key::from_name("waits_seconds"), &METADATA);
    let counter = prometheus.recorder().register_counter(&Key::from_name("hits"), &METADATA);
    let counted = allocation_counter::measure(|| {
        for n in 0..1_000_000 {
            histogram.record(f64::from(n) / 1e5);
            counter.increment(1);
        }
    });
    assert_eq!(counted.count_total, 0);
    let page = prometheus.render(ExpositionFormat::Text);
    assert_eq!(lines(&page, "waits_seconds_count"), ["waits_seconds_count 1000000"]);
}

#[test]
fn a_series_of_our_own_that_is_asked_for_each_time_allocates_nothing_either() {
    let prometheus = quiet();
    let throughline = recorded_by(&prometheus);
    let waits = throughline.meter().histogram(&catalogue::JOB_WAIT);
    waits.with(["loans", "score"]).record(0.5);
    let counted = allocation_counter::measure(|| {
        (0..100_000).for_each(|_| waits.with(["loans", "score"]).record(0.5));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn four_hundred_thousand_tenants_make_as_many_series_as_the_cap_and_one() {
    let prometheus = Prometheus::builder().process(false).label_cap(50).build().unwrap();
    let throughline = recorded_by(&prometheus);
    let active = throughline.meter().gauge(&catalogue::WORKFLOWS_ACTIVE);
    let flood = |from: u32| {
        for tenant in from..from + 200_000 {
            active.with([&format!("tenant-{tenant}"), "loan-approval"]).increment(1.0);
        }
    };
    flood(0);
    let page = prometheus.render(ExpositionFormat::Text);
    assert_eq!(lines(&page, "throughline_workflows_active{").len(), 51);
    let counted = allocation_counter::measure(|| flood(200_000));
    assert!(counted.bytes_current.abs() < 1024, "{counted:?}");
    let page = prometheus.render(ExpositionFormat::Text);
    assert_eq!(lines(&page, "throughline_workflows_active{").len(), 51);
    assert_eq!(
        lines(&page, "throughline_metrics_label_overflow_total"),
        [
            r#"throughline_metrics_label_overflow_total{label="tenant",metric="throughline_workflows_active"} 399950"#
        ]
    );
}

#[test]
fn third_parties_are_bounded_as_well_and_what_is_folded_is_counted() {
    let prometheus = Prometheus::builder().process(false).series_cap(100).build().unwrap();
    let recorder = prometheus.recorder();
    let flood = |from: u32| {
        for path in from..from + 100_000 {
            let key = Key::from_parts("hits", vec![Label::new("path", format!("/{path}"))]);
            recorder.register_counter(&key, &METADATA).increment(1);
        }
    };
    flood(0);
    let counted = allocation_counter::measure(|| flood(100_000));
    assert!(counted.bytes_current.abs() < 1024, "{counted:?}");
    let page = prometheus.render(ExpositionFormat::Text);
    assert_eq!(lines(&page, "hits_total{").len(), 101);
    assert_eq!(lines(&page, r#"hits_total{path="_overflow"}"#), [r#"hits_total{path="_overflow"} 199900"#]);
    assert_eq!(
        lines(&page, "throughline_metrics_label_overflow_total"),
        [r#"throughline_metrics_label_overflow_total{metric="hits"} 199900"#]
    );
}

#[test]
fn one_series_spelt_in_many_ways_is_remembered_in_few() {
    let prometheus = Prometheus::builder().process(false).series_cap(100).build().unwrap();
    let recorder = prometheus.recorder();
    let spell = |from: u32| {
        for way in from..from + 10_000 {
            // The first of two labels of one name does not count.
            let labels = vec![Label::new("path", format!("/{way}")), Label::new("path", "/")];
            recorder.register_counter(&Key::from_parts("hits", labels), &METADATA).increment(1);
        }
    };
    spell(0);
    let counted = allocation_counter::measure(|| spell(10_000));
    assert!(counted.bytes_current.abs() < 1024, "{counted:?}");
    assert_eq!(
        lines(&prometheus.render(ExpositionFormat::Text), "hits_total"),
        [r#"hits_total{path="/"} 20000"#]
    );
}

#[test]
fn a_secret_in_a_label_value_is_on_no_page() {
    let prometheus = quiet();
    let throughline = recorded_by(&prometheus);
    let depth = throughline.meter().gauge(&catalogue::QUEUE_DEPTH);
    for secret in ["ada@example.org", "4111 1111 1111 1111", "postgres://app:hunter2@db/loans"] {
        depth.with([secret]).set(1.0);
    }
    for format in [ExpositionFormat::Text, ExpositionFormat::OpenMetrics] {
        let page = prometheus.render(format);
        assert!(!lines(&page, "throughline_queue_depth{").is_empty());
        for secret in ["ada@", "4111", "hunter2"] {
            assert!(!page.contains(secret), "{secret} in\n{page}");
        }
    }
}
