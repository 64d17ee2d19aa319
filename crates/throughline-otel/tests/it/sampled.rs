//! Sampling leaves runs out of what is exported, never out of the store; a run that fails is exported whole, if that is wanted.

use std::time::Duration;

use throughline_core::{BoxError, MemoryStore, Propagation, Throughline};
use throughline_otel::{OpenSpans, Otlp, Sampler};

use crate::collector::{Collector, Says};

async fn run(throughline: &Throughline, fails: bool) {
    let run = throughline.workflow("w").run(|ctx| async move {
        ctx.trace("stage:one", async { Ok::<_, BoxError>(()) }).await??;
        ctx.event("business:noted", "x").await?;
        ctx.trace(
            "stage:two",
            async move { if fails { Err("no funds".into()) } else { Ok::<_, BoxError>(()) } },
        )
        .await?
    });
    let _ = run.await.unwrap();
}

fn otlp(collector: &Collector) -> Otlp {
    Otlp::new().endpoint(collector.endpoint()).open_spans(OpenSpans::Hidden)
}

#[tokio::test]
async fn what_is_not_sampled_is_stored_and_not_exported() {
    let collector = Collector::start(Says::Yes).await;
    let store = MemoryStore::new();
    let otlp = otlp(&collector).sampler(Sampler::AlwaysOff);
    let throughline = Throughline::builder("loans").store(store.clone()).sink(otlp).build().unwrap();
    run(&throughline, true).await;
    let report = throughline.shutdown(Duration::from_secs(10)).await;
    assert!(report.is_complete(), "{report}");
    assert_eq!(report.destinations[1].accepted, 0, "{report}");
    assert_eq!((store.events().len(), collector.spans().len()), (7, 0));
}

#[tokio::test]
async fn a_run_that_fails_is_exported_whole_although_it_was_not_sampled() {
    let collector = Collector::start(Says::Yes).await;
    let store = MemoryStore::new();
    let otlp = otlp(&collector).sampler(Sampler::AlwaysOff).whole_failed_runs(true);
    let throughline = Throughline::builder("loans").store(store.clone()).sink(otlp).build().unwrap();
    run(&throughline, false).await;
    run(&throughline, true).await;
    let report = throughline.shutdown(Duration::from_secs(10)).await;
    assert!(report.is_complete(), "{report}");
    assert_eq!(report.destinations[1].delivered, 7, "{report}");
    let spans = collector.spans();
    let mut names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["stage:one", "stage:two", "workflow:w"]);
    let root = spans.iter().find(|span| span.name == "workflow:w").unwrap();
    assert_eq!(root.events.len(), 1, "with what happened in it: {root:?}");
}

#[tokio::test]
async fn a_ratio_takes_whole_runs_and_about_as_many_as_it_says() {
    let collector = Collector::start(Says::Yes).await;
    let otlp = otlp(&collector).sampler(Sampler::Ratio(0.5));
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
    for _ in 0..200 {
        run(&throughline, false).await;
    }
    let report = throughline.shutdown(Duration::from_secs(10)).await;
    assert!(report.is_complete(), "{report}");
    let spans = collector.spans();
    let runs: std::collections::BTreeSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
    // Of 200 fair throws, fewer than 60 or more than 140 heads come once in 10^8 times.
    assert!((60..=140).contains(&runs.len()), "{} runs", runs.len());
    assert_eq!(spans.len(), runs.len() * 3);
}

fn from(caller: &str) -> Propagation {
    Propagation::from_headers(Some(caller), None, None)
}

#[tokio::test]
async fn a_run_that_its_caller_did_not_sample_is_left_out_with_all_that_it_calls() {
    let collector = Collector::start(Says::Yes).await;
    let store = MemoryStore::new();
    let throughline =
        Throughline::builder("loans").store(store.clone()).sink(otlp(&collector)).build().unwrap();
    for (flag, expected) in [("00", 0), ("01", 3)] {
        let caller = from(&format!("00-0af7651916cd43dd8448eb211c8031{flag}-b7ad6b7169203331-{flag}"));
        let run = throughline.workflow("w").continue_from(caller).run(|ctx| async move {
            ctx.trace("stage:one", async { Ok::<_, BoxError>(()) }).await??;
            let sent = ctx.traceparent();
            assert!(sent.ends_with(flag), "what is called is told the same: {sent}");
            ctx.trace("stage:two", async { Ok::<_, BoxError>(()) }).await?
        });
        run.await.unwrap().unwrap();
        throughline.flush(Duration::from_secs(10)).await;
        assert_eq!(collector.spans().len(), expected, "{flag}");
    }
    assert_eq!(store.events().len(), 12, "the store has both");
}

#[tokio::test]
async fn what_is_called_by_a_run_that_is_not_sampled_is_told_so() {
    let collector = Collector::start(Says::Yes).await;
    let sampled = async |sampler| {
        let otlp = otlp(&collector).sampler(sampler);
        let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
        let run = throughline.workflow("w").run_infallible(|ctx| async move { ctx.traceparent() });
        run.await.unwrap().chars().last()
    };
    // The second bit says that the id is random.
    assert_eq!(sampled(Sampler::ParentBasedRatio(0.0)).await, Some('2'));
    assert_eq!(sampled(Sampler::ParentBasedRatio(1.0)).await, Some('3'));
}

#[tokio::test]
async fn however_many_runs_were_not_sampled_by_their_callers_each_stays_left_out() {
    let collector = Collector::start(Says::Yes).await;
    let throughline =
        Throughline::builder("loans").store(MemoryStore::new()).sink(otlp(&collector)).build().unwrap();
    let run = |id: u64| {
        let (go_on, waits) = tokio::sync::oneshot::channel();
        let caller = from(&format!("00-0af7651916cd43dd{id:016x}-b7ad6b7169203331-00"));
        let run = throughline.workflow("w").continue_from(caller).run(|ctx| async move {
            let _ = waits.await;
            ctx.trace("stage:one", async { Ok::<_, BoxError>(()) }).await?
        });
        (tokio::spawn(run), go_on)
    };
    let (first, go_on) = run(u64::MAX);
    let others: Vec<_> = (1..=6_000).map(run).collect();
    for (other, go_on) in others {
        go_on.send(()).unwrap();
        other.await.unwrap().unwrap().unwrap();
    }
    go_on.send(()).unwrap();
    first.await.unwrap().unwrap().unwrap();
    throughline.flush(Duration::from_secs(10)).await;
    assert_eq!(collector.spans().len(), 0);
}

/// An exporter with what these variables say.
fn told(collector: &Collector, set: &[(&str, &str)]) -> Otlp {
    let endpoint = collector.endpoint();
    let lookup = |name: &'static str| {
        let set = set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Ok(set.or_else(|| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.clone())))
    };
    Otlp::from_lookup(&lookup).unwrap()
}

#[tokio::test]
async fn where_traces_have_no_exporter_nothing_is_exported_and_what_is_called_is_not_told_so() {
    let collector = Collector::start(Says::Yes).await;
    let otlp = told(&collector, &[("OTEL_TRACES_EXPORTER", "none")]).whole_failed_runs(true);
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
    run(&throughline, true).await;
    let called = throughline.workflow("w").run_infallible(|ctx| async move { ctx.traceparent() });
    assert!(called.await.unwrap().ends_with("-03"), "sampled, with a random id");
    let report = throughline.shutdown(Duration::from_secs(10)).await;
    assert!(report.is_complete(), "{report}");
    let otlp = report.destinations.iter().find(|destination| destination.name == "otlp").unwrap();
    assert_eq!((otlp.accepted, collector.asked().len(), collector.asked_of_records().len()), (0, 0, 0));
}

#[tokio::test]
async fn where_logs_have_no_exporter_spans_are_exported_without_log_records() {
    for (exporter, expected) in [("none", 0), ("otlp", 1)] {
        let collector = Collector::start(Says::Yes).await;
        let otlp = told(&collector, &[("OTEL_LOGS_EXPORTER", exporter)]);
        let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
        run(&throughline, true).await;
        assert!(throughline.shutdown(Duration::from_secs(10)).await.is_complete());
        let exceptions = collector.records().iter().filter(|record| record.event_name == "exception").count();
        assert_eq!((collector.spans().len(), exceptions), (3, expected));
        assert_eq!(collector.asked_of_records().is_empty(), expected == 0);
    }
}

/// The names of the attributes of the resources whose spans have this name.
fn resource_of(collector: &Collector, name: &str) -> Vec<(String, String)> {
    let of_span = |resource: &&opentelemetry_proto::tonic::trace::v1::ResourceSpans| {
        resource.scope_spans.iter().flat_map(|scope| &scope.spans).any(|span| span.name == name)
    };
    let resources = collector.resources();
    let attributes = resources.iter().find(of_span).unwrap().resource.clone().unwrap().attributes;
    attributes.into_iter().map(|pair| (pair.key, format!("{:?}", pair.value))).collect()
}

#[tokio::test]
async fn a_span_of_another_process_has_what_the_store_knows_of_that_and_nothing_of_this_one() {
    let store = MemoryStore::new();
    let dead = Throughline::builder("loans").version("1.3.9").store(store.clone()).build().unwrap();
    let (is_open, opened) = tokio::sync::oneshot::channel();
    let run = tokio::spawn(dead.workflow("w").run_infallible(|ctx| async move {
        ctx.step("stage:left-open")
            .run_infallible(|ctx| async move {
                is_open.send(ctx.trace_id()).unwrap();
                std::future::pending::<()>().await;
            })
            .await
    }));
    let trace = opened.await.unwrap();
    dead.shutdown(Duration::from_secs(30)).await;

    let collector = Collector::start(Says::Yes).await;
    let otlp =
        otlp(&collector).resource("host.name", "node-9").resource("deployment.environment.name", "prod");
    let throughline = Throughline::builder("loans").version("1.4.1").store(store).sink(otlp).build().unwrap();
    throughline.abandon(trace, "it is not needed any more").await.unwrap();
    assert!(throughline.shutdown(Duration::from_secs(10)).await.is_complete());
    run.abort();

    let of = |name: &str| {
        let found = resource_of(&collector, name);
        move |key: &str| found.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    };
    let (here, there) = (of("workflow:w"), of("stage:left-open"));
    assert!(
        here("service.version").unwrap().contains("1.4.1") && here("host.name").unwrap().contains("node-9")
    );
    assert!(there("service.version").unwrap().contains("1.3.9"), "{:?}", there("service.version"));
    assert_ne!(there("service.instance.id"), here("service.instance.id"));
    assert!(there("deployment.environment.name").is_some() && there("service.name").is_some());
    // The host of that process is this machine; what an operator said of this process is not said of another one.
    assert!(!there("host.name").unwrap_or_default().contains("node-9"));
    assert!(there("process.executable.name").is_none() && there("container.id").is_none());
}

#[tokio::test]
async fn a_ratio_is_told_to_what_is_called_and_to_who_counts_the_spans() {
    let collector = Collector::start(Says::Yes).await;
    let otlp = otlp(&collector).sampler(Sampler::ParentBasedRatio(0.5));
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
    let sent = async |caller: Propagation| {
        let run = throughline.workflow("w").continue_from(caller);
        run.run_infallible(|ctx| async move { ctx.propagation() }).await.unwrap()
    };
    let mut seen = [false; 2];
    while seen != [true; 2] {
        let sent = sent(Propagation::default()).await;
        let is_sampled = sent.traceparent.unwrap().sampled;
        assert_eq!(sent.tracestate.as_deref(), is_sampled.then_some("ot=th:8"));
        seen[usize::from(is_sampled)] = true;
    }
    let said = "a=1,ot=th:c;rv:f0000000000000";
    let parent = "00-0af7651916cd43dd8448eb211c803100-b7ad6b7169203331-01";
    let followed = sent(Propagation::from_headers(Some(parent), Some(said), None)).await;
    assert_eq!(followed.tracestate.as_deref(), Some(said), "its caller decides, and says so");

    assert!(throughline.shutdown(Duration::from_secs(10)).await.is_complete());
    let spans = collector.spans();
    let (theirs, ours): (Vec<_>, Vec<_>) =
        spans.iter().partition(|span| span.trace_id == followed.traceparent.unwrap().trace_id.to_bytes());
    assert_eq!(
        theirs.iter().map(|span| &*span.trace_state).collect::<Vec<_>>(),
        ["ot=th:c;rv:f0000000000000"]
    );
    assert!(!ours.is_empty() && ours.iter().all(|span| span.trace_state == "ot=th:8"), "{ours:#?}");
    assert!(!format!("{spans:?}").contains("tracestate.ot"), "it is no attribute");
}
