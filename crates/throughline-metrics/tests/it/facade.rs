//! What third parties measure through the façade `metrics`.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use throughline_metrics::{ExpositionFormat, Prometheus};

use crate::{lines, quiet};

/// As a crate that knows nothing of us measures.
fn measure() {
    describe_counter!("pool.acquired", "Connections taken from the pool.\nSecond \"line\".");
    describe_gauge!("pool.memory_bytes", Unit::Bytes, "Memory.");
    describe_histogram!("pool.wait_seconds", Unit::Seconds, "How long it took.");
    counter!("pool.acquired", "pool" => "main", "db.name" => "C:\\loans \"x\"\n").increment(3);
    gauge!("pool.memory_bytes").set(1_048_576.0);
    gauge!("pool.ratio").set(f64::NAN);
    histogram!("pool.wait_seconds", "le" => "mine").record(0.02);
    histogram!("pool.wait_seconds", "le" => "mine").record(7.0);
}

fn page(format: ExpositionFormat) -> String {
    let prometheus =
        Prometheus::builder().process(false).buckets("pool.wait_seconds", [0.01, 0.1, 1.0]).build().unwrap();
    metrics::with_local_recorder(&prometheus.recorder(), measure);
    prometheus.render(format)
}

#[test]
fn a_page_of_text() {
    insta::assert_snapshot!(page(ExpositionFormat::Text), @r#"
    # HELP pool_acquired_total Connections taken from the pool.\nSecond "line".
    # TYPE pool_acquired_total counter
    pool_acquired_total{db_name="C:\\loans \"x\"\n",pool="main"} 3
    # HELP pool_memory_bytes Memory.
    # TYPE pool_memory_bytes gauge
    pool_memory_bytes 1.048576e+06
    # HELP pool_ratio Not described by the code that records it.
    # TYPE pool_ratio gauge
    pool_ratio NaN
    # HELP pool_wait_seconds How long it took.
    # TYPE pool_wait_seconds histogram
    pool_wait_seconds_bucket{exported_le="mine",le="0.01"} 0
    pool_wait_seconds_bucket{exported_le="mine",le="0.1"} 1
    pool_wait_seconds_bucket{exported_le="mine",le="1.0"} 1
    pool_wait_seconds_bucket{exported_le="mine",le="+Inf"} 2
    pool_wait_seconds_sum{exported_le="mine"} 7.02
    pool_wait_seconds_count{exported_le="mine"} 2
    "#);
}

#[test]
fn a_page_of_openmetrics() {
    insta::assert_snapshot!(page(ExpositionFormat::OpenMetrics), @r#"
    # HELP pool_acquired Connections taken from the pool.\nSecond \"line\".
    # TYPE pool_acquired counter
    pool_acquired_total{db_name="C:\\loans \"x\"\n",pool="main"} 3
    # HELP pool_memory_bytes Memory.
    # TYPE pool_memory_bytes gauge
    # UNIT pool_memory_bytes bytes
    pool_memory_bytes 1.048576e+06
    # HELP pool_ratio Not described by the code that records it.
    # TYPE pool_ratio gauge
    pool_ratio NaN
    # HELP pool_wait_seconds How long it took.
    # TYPE pool_wait_seconds histogram
    # UNIT pool_wait_seconds seconds
    pool_wait_seconds_bucket{exported_le="mine",le="0.01"} 0
    pool_wait_seconds_bucket{exported_le="mine",le="0.1"} 1
    pool_wait_seconds_bucket{exported_le="mine",le="1.0"} 1
    pool_wait_seconds_bucket{exported_le="mine",le="+Inf"} 2
    pool_wait_seconds_sum{exported_le="mine"} 7.02
    pool_wait_seconds_count{exported_le="mine"} 2
    # EOF
    "#);
}

#[test]
fn a_recorder_is_installed_by_request_and_once() {
    let prometheus = quiet();
    prometheus.install_global().unwrap();
    counter!("installed").increment(1);
    assert_eq!(lines(&prometheus.render(ExpositionFormat::Text), "installed_total"), ["installed_total 1"]);
    let error = quiet().install_global().unwrap_err().to_string();
    insta::assert_snapshot!(error, @"the process has a metrics recorder already: install only one, or hand that one to Throughline with Metrics::global()");
}

#[test]
fn a_name_of_another_type_is_not_measured_and_the_page_stays_valid() {
    let prometheus = quiet();
    metrics::with_local_recorder(&prometheus.recorder(), || {
        histogram!("work").record(1.0);
        gauge!("work_count").set(7.0);
        counter!("work").increment(1);
    });
    let page = prometheus.render(ExpositionFormat::Text);
    assert_eq!(lines(&page, "# TYPE"), ["# TYPE work histogram"]);
    assert_eq!(lines(&page, "work_count"), ["work_count 1"]);
}

#[test]
fn what_makes_no_sense_is_refused_when_it_is_built() {
    let error = |builder: throughline_metrics::PrometheusBuilder| builder.build().unwrap_err().to_string();
    let buckets = error(Prometheus::builder().buckets("a", [2.0, 1.0]));
    insta::assert_snapshot!(buckets, @"`a` can't have the buckets [2.0, 1.0]: use 1 to 100 finite upper bounds in ascending order; infinity is added");
    insta::assert_snapshot!(error(Prometheus::builder().series_cap(0)), @"series_cap must be at least 1");
}
