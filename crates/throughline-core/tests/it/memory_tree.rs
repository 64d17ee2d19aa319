//! How a user asserts on a workflow: a memory store captures it, a snapshot of its tree pins it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use throughline_core::testing::{FaultyStore, tree};
use throughline_core::{
    AppendError, Filter, MemoryFeed, MemoryStore, StreamItem, Throughline, TraceStream, WatchRequest,
};
use tokio::sync::Barrier;

use crate::support::{open, trace_of};

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

/// Three concurrent steps that have something to wait for, then one that fails.
async fn approve(throughline: &Throughline, key: &str) {
    let run = throughline.workflow("loan-approval").key(key.to_owned()).run(|ctx| async move {
        let barrier = Arc::new(Barrier::new(3));
        let tasks: Vec<_> = ["stage:credit", "stage:fraud", "stage:identity"]
            .map(|name| {
                let barrier = Arc::clone(&barrier);
                tokio::spawn(ctx.trace_infallible(name, async move {
                    barrier.wait().await;
                }))
            })
            .into();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        ctx.event("business:scored", serde_json::json!({ "score": 17 })).await.unwrap();
        ctx.trace("stage:sign", async { Err::<(), _>(Refused("no signature")) }).await.unwrap()
    });
    assert!(run.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tree_of_a_concurrent_workflow_is_the_same_in_every_run() {
    let (throughline, store) = open();
    for run in 0..50 {
        let key = format!("loan-{run}");
        approve(&throughline, &key).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(tree(&store.trace(trace_of(&store, &key))), @"
            workflow:started > workflow:failed failed [Refused] (failed_by stage:sign)
              stage:credit success
              stage:fraud success
              stage:identity success
              - business:scored
              stage:sign failed [Refused]
            ");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_and_loses_answers_changes_nothing_in_the_tree() {
    let (steady, captured) = open();
    approve(&steady, "loan-1").await;
    let kept = MemoryStore::new();
    let store = FaultyStore::around(kept.clone());
    let faults = store.faults();
    let throughline = Throughline::builder("test").store(store).build().unwrap();
    faults.fail_next(1, || AppendError::Unavailable {
        reason: "away".to_owned(),
        retry_after: Some(Duration::from_millis(1)),
        source: None,
    });
    faults.lose_next(1);
    approve(&throughline, "loan-1").await;
    assert_eq!(
        tree(&kept.trace(trace_of(&kept, "loan-1"))),
        tree(&captured.trace(trace_of(&captured, "loan-1")))
    );
    assert_eq!(kept.events().len(), captured.events().len());
    assert!(faults.attempts() > 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_run_gives_the_tree_that_the_store_has() {
    let (store, feed) = (MemoryStore::new(), MemoryFeed::new());
    let mut watch =
        feed.watch(WatchRequest::new().filter(Filter::new().correlation_id("loan-1"))).await.unwrap();
    let throughline = Throughline::builder("test").store(store.clone()).feed(feed).build().unwrap();
    approve(&throughline, "other").await;
    approve(&throughline, "loan-1").await;
    let stored = store.trace(trace_of(&store, "loan-1"));
    let mut watched = Vec::new();
    while watched.len() < stored.len() {
        match watch.next().await.unwrap().unwrap() {
            StreamItem::Event { event, .. } => watched.push(Arc::unwrap_or_clone(event)),
            missed => panic!("{missed:?}"),
        }
    }
    assert_eq!(tree(&watched), tree(&stored));
}
