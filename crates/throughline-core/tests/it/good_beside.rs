//! Good runs beside one that failed: the last ones, and those before them that began like it.

use throughline_core::beside;
use throughline_core::{MemoryStore, Throughline, TraceId, TraceQuery};

use crate::support::{SOON, open};

/// Runs an order that fails if this says so, and gives its id.
async fn order(
    throughline: &Throughline,
    (country, flag): (&'static str, &'static str),
    fails: bool,
) -> TraceId {
    let order = throughline.workflow("order").input(&country).attr("flag.new-pricing", flag);
    let (told, id) = tokio::sync::oneshot::channel();
    let ran = order.run(|ctx| async move {
        let _ = told.send(ctx.trace_id());
        if fails { Err("no price list") } else { Ok(()) }
    });
    assert_eq!(ran.await.unwrap().is_err(), fails);
    id.await.unwrap()
}

/// What is said to differ from good runs, by name.
async fn differences(throughline: &Throughline, id: TraceId) -> Vec<String> {
    throughline.flush(SOON).await;
    let reader = throughline.reader().unwrap();
    let run = TraceQuery::read(&*reader, id).await.unwrap();
    let comparison = beside::compare(&*reader, &run, &run.explain()).await.unwrap().unwrap();
    assert_eq!(comparison.runs, 5);
    comparison.differences.iter().map(|difference| difference.name.to_string()).collect()
}

async fn played(earlier: (&'static str, &'static str)) -> (Throughline, MemoryStore, TraceId) {
    let (throughline, store) = open();
    order(&throughline, earlier, false).await;
    for _ in 0..6 {
        order(&throughline, ("DE", "off"), false).await;
    }
    let id = order(&throughline, ("JP", "on"), true).await;
    (throughline, store, id)
}

#[tokio::test]
async fn what_an_earlier_good_run_that_began_alike_had_too_is_no_difference() {
    let (throughline, _store, id) = played(("JP", "off")).await;
    assert_eq!(differences(&throughline, id).await, ["flag.new-pricing"]);
    let (throughline, _store, id) = played(("JP", "on")).await;
    assert!(differences(&throughline, id).await.is_empty());
    let (throughline, _store, id) = played(("FR", "off")).await;
    assert_eq!(differences(&throughline, id).await, ["flag.new-pricing", ""]);
}
