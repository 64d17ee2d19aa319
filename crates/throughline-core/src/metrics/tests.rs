use std::collections::BTreeMap;
use std::num::ParseIntError;
use std::panic::{AssertUnwindSafe, catch_unwind};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use super::*;
use crate::{MemoryFeed, MemoryStore, NotRecorded, Redaction, Throughline};
use throughline_model::names;

/// A handle that measures, and what it measured.
fn measured(shape: impl FnOnce(Metrics) -> Metrics) -> (Throughline, Metrics, Snapshotter) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let metrics = shape(Metrics::to(recorder));
    let throughline = Throughline::builder("loan-service")
        .store(MemoryStore::new())
        .redaction(Redaction::standard().pseudonym_key("sixteen bytes and more"))
        .metrics(metrics.clone())
        .build()
        .unwrap();
    (throughline, metrics, snapshotter)
}

/// `name{label=value}` and what it stands at; of a histogram how often it was recorded.
fn readings(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let series = snapshotter.snapshot().into_vec().into_iter();
    series
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(values) => values.len() as f64,
            };
            (format!("{}{{{}}}", key.key().name(), labels.join(",")), value)
        })
        .collect()
}

#[test]
fn a_flood_of_label_values_makes_as_many_series_as_the_cap_and_one_that_says_how_many_were_folded() {
    let (throughline, _, snapshotter) = measured(|metrics| metrics.label_cap(3));
    let transitions = throughline.meter().counter(&catalogue::TIMERS);
    for tenant in 0..1000 {
        transitions.with([&format!("timer-{tenant}"), "fired"]).increment(1);
    }
    let readings = readings(&snapshotter);
    let timers: Vec<_> = readings.iter().filter(|(name, _)| name.starts_with("throughline_timers")).collect();
    assert_eq!(timers.len(), 4, "{timers:#?}");
    assert_eq!(readings["throughline_timers_total{timer=_overflow,event=fired}"], 997.0);
    let overflow = "throughline_metrics_label_overflow_total{metric=throughline_timers_total,label=timer}";
    assert_eq!(readings[overflow], 997.0);
}

#[tokio::test]
async fn what_is_redacted_is_counted_by_kind_in_the_report_and_as_a_metric() {
    let (throughline, metrics, snapshotter) = measured(|metrics| metrics);
    let data =
        serde_json::json!({ "note": "to ada@example.org and eve@example.org", "pin": 1234, "colour": "red" });
    let run = throughline.workflow("loan").run(async |ctx| ctx.event("mail:sent", data).await);
    run.await.unwrap().unwrap();
    let counts = BTreeMap::from([("email".to_owned(), 2), ("key".to_owned(), 1)]);
    assert_eq!(throughline.delivery_report().redacted, counts);
    metrics.collect();
    let readings = readings(&snapshotter);
    let redacted =
        |kind: &str| readings[&format!("throughline_redacted_total{{service=loan-service,kind={kind}}}")];
    assert_eq!((redacted("email"), redacted("key")), (2.0, 1.0));
}

#[test]
fn labels_that_are_within_their_caps_cannot_multiply_without_bound() {
    let (throughline, _, snapshotter) = measured(|metrics| metrics);
    let transitions = throughline.meter().counter(&catalogue::STATE_TRANSITIONS);
    for at in 0..150 * 150 {
        transitions
            .with(["session", &format!("from-{}", at / 150), &format!("to-{}", at % 150)])
            .increment(1);
    }
    let readings = readings(&snapshotter);
    let series = readings.keys().filter(|name| name.starts_with("throughline_state_transitions")).count();
    assert_eq!(series, 10_001);
    let folded = "throughline_state_transitions_total{machine=_overflow,from=_overflow,to=_overflow}";
    assert_eq!(readings[folded], 12_500.0);
    let overflow =
        "throughline_metrics_label_overflow_total{metric=throughline_state_transitions_total,label=to}";
    assert_eq!(readings[overflow], 12_500.0);
}

#[test]
fn every_health_check_of_a_resource_is_one_that_succeeded_or_one_that_failed() {
    let (throughline, _, snapshotter) = measured(|metrics| metrics.profile(Profile::both("app")));
    let checks = throughline.meter().counter(&catalogue::RESOURCE_HEALTH_CHECKS);
    // A check within a timeout is dropped, which is how most of them fail.
    for outcome in ["success", "failed", "cancelled"] {
        checks.with(["sandbox", outcome]).increment(1);
    }
    let readings = readings(&snapshotter);
    assert_eq!(readings["app_sandbox_health_check_success_total{}"], 1.0);
    assert_eq!(readings["app_sandbox_health_check_failure_total{}"], 2.0);
}

#[test]
fn a_name_that_a_profile_gives_twice_is_measured_once() {
    let (throughline, _, snapshotter) = measured(|metrics| metrics.profile(Profile::both("throughline")));
    throughline.meter().counter(&catalogue::WEB_REPORTS).with(["accepted"]).increment(1);
    throughline.meter().gauge(&catalogue::QUEUE_DEPTH).with(["loans"]).increment(1.0);
    let readings = readings(&snapshotter);
    assert_eq!(readings["throughline_web_reports_total{outcome=accepted}"], 1.0);
    assert_eq!(readings["throughline_queue_depth{queue=loans}"], 1.0);
}

#[test]
fn all_who_measure_the_same_share_its_bounds() {
    let (throughline, _, snapshotter) = measured(|metrics| metrics.label_cap(2));
    for timer in 0..10 {
        throughline
            .meter()
            .counter(&catalogue::TIMERS)
            .with([&format!("timer-{timer}"), "fired"])
            .increment(1);
    }
    let readings = readings(&snapshotter);
    assert_eq!(readings.keys().filter(|name| name.starts_with("throughline_timers_total")).count(), 3);
}

#[test]
fn routes_are_not_capped_for_the_services_own_code_bounds_them() {
    let (throughline, _, snapshotter) = measured(|metrics| metrics.label_cap(2));
    let sockets = throughline.meter().gauge(&catalogue::HTTP_SERVER_WEBSOCKETS);
    (0..10).for_each(|route| sockets.with([&format!("/v1/{route}")]).set(1.0));
    assert_eq!(readings(&snapshotter).len(), 10);
}

#[test]
fn label_values_are_redacted_and_cut_and_empty_ones_are_left_out() {
    let (throughline, _, snapshotter) = measured(|metrics| metrics);
    let depth = throughline.meter().gauge(&catalogue::QUEUE_DEPTH);
    depth.with(["queue of ada@example.org"]).set(1.0);
    depth.with([&"é".repeat(100)]).set(2.0);
    depth.with([""]).set(3.0);
    let readings = readings(&snapshotter);
    assert_eq!(readings.len(), 3, "{readings:#?}");
    assert!(readings.keys().all(|name| !name.contains("ada")), "{readings:#?}");
    assert_eq!(readings[&format!("throughline_queue_depth{{queue={}}}", "é".repeat(64))], 2.0);
    assert_eq!(readings["throughline_queue_depth{}"], 3.0);
}

#[test]
fn a_profile_gives_the_names_of_before_alone_or_beside_todays() {
    let names_under = |profile| {
        let (throughline, _, snapshotter) = measured(|metrics| metrics.profile(profile));
        let meter = throughline.meter();
        let requests = meter.histogram(&catalogue::HTTP_SERVER_REQUEST_DURATION);
        requests.with(["GET", "http", "/loans/{id}", "404", "", "1.1"]).record(0.25);
        meter.counter(&catalogue::STATE_TRANSITIONS).with(["session", "idle", "starting"]).increment(2);
        meter.counter(&catalogue::TIMERS).with(["auto-pause", "fired"]).increment(1);
        readings(&snapshotter).into_keys().collect::<Vec<_>>()
    };
    let standard = names_under(Profile::standard());
    let before = names_under(Profile::aliases("acme"));
    insta::assert_snapshot!(before.join("\n"), @r#"
        acme_api_latency_seconds{method=GET,path=/loans/{id}}
        acme_api_requests_errors_total{method=GET,path=/loans/{id},status=404}
        acme_api_requests_total{method=GET,path=/loans/{id},status=404}
        acme_http_request_duration_seconds{method=GET,path=/loans/{id}}
        acme_http_requests_total{method=GET,path=/loans/{id},status=404}
        acme_session_state_transitions_total{from=idle,to=starting}
        throughline_timers_total{timer=auto-pause,event=fired}
        "#);
    let mut both = names_under(Profile::both("acme"));
    both.retain(|name| !before.contains(name) || standard.contains(name));
    assert_eq!(both, standard);
    assert!(
        names_under(Profile::aliases(""))
            .contains(&"session_state_transitions_total{from=idle,to=starting}".to_owned())
    );
}

#[tokio::test]
async fn runs_steps_retries_sagas_compensations_dependencies_and_points_are_measured_from_their_events() {
    let (throughline, _, snapshotter) = measured(|metrics| metrics);
    let run =
        throughline.workflow("loan-approval").attr(names::attrs::TENANT, "acme").run(|ctx| async move {
            ctx.trace_infallible("stage:score", async {}).await?;
            ctx.step("stage:offer")
                .attr(names::attrs::STEP_TYPE, "script")
                .attempt(2)
                .run_infallible(|_| async {})
                .await?;
            ctx.dependency("db", "postgres", async { Err::<(), _>("down".parse::<u8>().unwrap_err()) })
                .await?
                .ok();
            ctx.event("business:approved", serde_json::json!({})).await?;
            let saga = ctx.saga("booking").run(|saga| async move {
                let reserve =
                    saga.step("stage:reserve").compensate(|(), _| async { Ok::<_, ParseIntError>(()) });
                reserve.run(|(), _| async { Ok::<_, ParseIntError>(()) }).await??;
                "no room".parse::<u8>()?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            });
            drop(saga.await);
            Ok::<_, NotRecorded>(())
        });
    run.await.unwrap().unwrap();
    insta::assert_snapshot!(
        readings(&snapshotter).iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join("\n"),
        @r#"
        throughline_compensation_duration_seconds{workflow=loan-approval,status=success} 1
        throughline_dependency_duration_seconds{kind=db,target=postgres,status=failed} 1
        throughline_point_events_total{event_type=business:approved} 1
        throughline_point_events_total{event_type=saga:compensating} 1
        throughline_retries_total{workflow=loan-approval,step_type=script,status=success} 1
        throughline_saga_duration_seconds{saga=booking,status=failed} 1
        throughline_step_duration_seconds{tenant=acme,workflow=loan-approval,step_type=script,status=success} 1
        throughline_step_duration_seconds{tenant=acme,workflow=loan-approval,step_type=stage:reserve,status=success} 1
        throughline_step_duration_seconds{tenant=acme,workflow=loan-approval,step_type=stage:score,status=success} 1
        throughline_workflow_duration_seconds{tenant=acme,workflow=loan-approval,status=success} 1
        "#
    );
}

#[tokio::test]
async fn the_ledger_is_measured_when_somebody_looks_and_no_longer_than_the_handle_lives() {
    let (throughline, metrics, snapshotter) = measured(|metrics| metrics);
    throughline.workflow("loan-approval").run_infallible(|_| async {}).await.unwrap();
    metrics.collect();
    assert_eq!(
        readings(&snapshotter)["throughline_events_delivered_total{service=loan-service,destination=memory}"],
        2.0
    );
    assert_eq!(metrics.collectors.len(), 1);
    throughline.shutdown(std::time::Duration::from_secs(5)).await;
    drop(throughline);
    assert_eq!(metrics.collectors.len(), 0);
}

#[test]
fn destinations_of_one_name_are_told_apart() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let metrics = Metrics::to(recorder);
    let builder = Throughline::builder("loan-service").store(MemoryStore::new()).metrics(metrics.clone());
    let throughline = builder.feed(MemoryFeed::new()).feed(MemoryFeed::new()).build().unwrap();
    let accounts = throughline.delivery_report().destinations;
    let names: Vec<_> = accounts.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["memory", "memory-2", "memory-3", "metrics"]);
    metrics.collect();
    let readings = readings(&snapshotter);
    let accepted = readings.keys().filter(|name| name.starts_with("throughline_events_accepted_total"));
    assert_eq!(accepted.count(), 4);
}

#[test]
fn a_gauge_that_is_held_goes_back_when_its_holder_panics() {
    let (throughline, _, snapshotter) = measured(|metrics| metrics);
    let active = throughline.meter().gauge(&catalogue::WORKERS_ACTIVE).with(["loans"]);
    let kept = active.hold();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _held = active.hold();
        std::panic::resume_unwind(Box::new("the worker"));
    }));
    assert!(panicked.is_err());
    assert_eq!(readings(&snapshotter)["throughline_workers_active{queue=loans}"], 1.0);
    drop(kept);
    // A snapshot of this recorder starts it anew.
    assert_eq!(readings(&snapshotter)["throughline_workers_active{queue=loans}"], -1.0);
}

#[tokio::test]
async fn an_exemplar_is_of_the_current_run_and_only_if_something_of_it_is_recorded() {
    let (throughline, _, _) = measured(|metrics| metrics);
    assert_eq!(Exemplar::current(), None);
    let request = throughline.request(names::HTTP_REQUEST).open();
    let context = request.context().clone();
    assert_eq!(context.scope(Exemplar::current), None, "nothing hangs on the request");
    request.ensure_recorded();
    assert_eq!(context.scope(Exemplar::current).map(|run| run.trace_id), Some(context.trace_id()));
    request.succeed();
}

#[test]
fn what_makes_no_sense_is_refused_when_it_is_built() {
    let error_of = |metrics: Metrics| {
        let builder = Throughline::builder("loan-service").store(MemoryStore::new());
        builder.metrics(metrics).build().unwrap_err().to_string()
    };
    let metrics = || Metrics::to(::metrics::NoopRecorder);
    insta::assert_snapshot!(error_of(metrics().label_cap(0)), @"label_cap must be at least 1");
    insta::assert_snapshot!(error_of(metrics().profile(Profile::both("9 lives"))), @"`9 lives` can't begin a metric's name: use letters, digits and underscores, and no digit at the beginning");
}

#[test]
fn without_metrics_nothing_is_measured() {
    let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build().unwrap();
    assert!(!throughline.meter().is_on());
    throughline.meter().counter(&catalogue::TIMERS).with(["auto-pause", "fired"]).increment(1);
    assert!(throughline.delivery_report().destinations.iter().all(|account| account.name != "metrics"));
}
