//! Exemplars: from a bucket to the run.

use std::time::Duration;

use throughline_core::metrics::catalogue;
use throughline_core::{NotRecorded, names};
use throughline_metrics::ExpositionFormat;

use crate::{lines, quiet, recorded_by};

#[tokio::test]
async fn a_bucket_has_the_run_of_its_latest_value_in_openmetrics_and_not_in_text() {
    let prometheus = quiet();
    let throughline = recorded_by(&prometheus);
    let waits = throughline.meter().histogram(&catalogue::JOB_WAIT);
    let run = throughline.workflow("loan-approval").key("loan-42").run(|ctx| async move {
        ctx.trace_infallible("stage:score", async { waits.with(["loans", "score"]).record(0.02) }).await?;
        Ok::<_, NotRecorded>(ctx.trace_id())
    });
    let trace = run.await.unwrap().unwrap();
    waits_without_a_run(&throughline);

    let page = prometheus.render(ExpositionFormat::OpenMetrics);
    let bucket =
        lines(&page, r#"throughline_job_wait_seconds_bucket{job_type="score",queue="loans",le="0.05"}"#);
    let (value, exemplar) = bucket[0].split_once(" # ").unwrap();
    assert!(value.ends_with(" 1"), "{value}");
    assert!(exemplar.starts_with(&format!("{{trace_id=\"{trace}\",span_id=\"")), "{exemplar}");
    let (_, numbers) = exemplar.split_once("} ").unwrap();
    let (value, time) = numbers.split_once(' ').unwrap();
    assert_eq!(value, "0.02");
    let age = throughline_core::Timestamp::now().as_micros() as f64 / 1e6 - time.parse::<f64>().unwrap();
    assert!((0.0..60.0).contains(&age), "{time}");

    let unsampled =
        lines(&page, r#"throughline_job_wait_seconds_bucket{job_type="score",queue="loans",le="5.0"}"#);
    assert!(unsampled[0].ends_with(" 2"), "a value without a run has no exemplar: {unsampled:?}");
    let runs = lines(&page, "throughline_workflow_duration_seconds_bucket");
    assert!(runs.iter().any(|line| line.contains(&trace.to_string())), "durations of runs have theirs");
    assert!(!prometheus.render(ExpositionFormat::Text).contains(" # "));
    throughline.shutdown(Duration::from_secs(5)).await;
}

fn waits_without_a_run(throughline: &throughline_core::Throughline) {
    throughline.meter().histogram(&catalogue::JOB_WAIT).with(["loans", "score"]).record(3.0);
}

#[tokio::test]
async fn a_request_of_which_nothing_is_recorded_has_no_exemplar() {
    let prometheus = quiet();
    let throughline = recorded_by(&prometheus);
    let requests = throughline.meter().histogram(&catalogue::HTTP_SERVER_REQUEST_DURATION);
    let series = requests.with(["GET", "http", "/loans", "200", "", "1.1"]);
    let request = throughline.request(names::HTTP_REQUEST).open();
    request.context().scope(|| series.record(0.003));
    assert!(!prometheus.render(ExpositionFormat::OpenMetrics).contains("trace_id"));
    request.context().trace("stage:score", async { Ok::<_, NotRecorded>(()) }).await.unwrap().unwrap();
    request.context().scope(|| series.record(0.003));
    let page = prometheus.render(ExpositionFormat::OpenMetrics);
    let bucket = lines(&page, "http_server_request_duration_seconds_bucket");
    assert!(bucket[0].contains(&request.context().trace_id().to_string()), "{}", bucket[0]);
    request.succeed();
    throughline.shutdown(Duration::from_secs(5)).await;
}
