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
