//! A service whose file is deleted, moved or replaced while it emits: nothing is acknowledged that is not at the path.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{Request, StatusCode};
use serde_json::json;
use throughline::health::{Check, Health};
use throughline::store::TraceReader as _;
use throughline::{NotRecorded, SqliteStore, Throughline, TraceContext, TraceId};
use tower::ServiceExt as _;

use crate::crash::random_up_to;

const ROUNDS: usize = 10;
const EMITTERS: usize = 8;
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

fn each_file(folder: &Path, mut act: impl FnMut(&Path, &str)) {
    for suffix in SUFFIXES {
        let name = format!("traces.db{suffix}");
        act(&folder.join(&name), &name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_file_is_deleted_acknowledges_nothing_from_then_on() {
    happens_at_random_instants(|folder| {
        each_file(folder, |file, _| std::fs::remove_file(file).unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_file_is_moved_acknowledges_nothing_from_then_on() {
    happens_at_random_instants(|folder| {
        let elsewhere = folder.join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        each_file(folder, |file, name| std::fs::rename(file, elsewhere.join(name)).unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_file_is_replaced_acknowledges_nothing_from_then_on() {
    happens_at_random_instants(|folder| {
        let other = folder.join("other.db");
        SqliteStore::new(&other).open_importer().unwrap().finish().unwrap();
        std::fs::rename(other, folder.join("traces.db")).unwrap();
    })
    .await;
}

async fn happens_at_random_instants(happens: impl Fn(&Path)) {
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let throughline =
            Throughline::builder("loan-service").store(SqliteStore::new(folder.path().join("traces.db")));
        let throughline = throughline.build().unwrap();
        let health =
            Health::builder(&throughline).check(Check::store().keep_for(Duration::ZERO)).build().unwrap();
        assert_eq!(readiness(&health).await, StatusCode::OK);
        // What the service writes to from now on, wherever it is.
        let kept = folder.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        each_file(folder.path(), |file, name| {
            if !name.ends_with("-shm") {
                std::fs::hard_link(file, kept.join(name)).unwrap();
            }
        });

        let (is_gone, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let emitters: Vec<_> = (0..EMITTERS)
            .map(|_| {
                let (is_gone, count) = (Arc::clone(&is_gone), Arc::clone(&count));
                let run = throughline.workflow("loan");
                tokio::spawn(async move {
                    let emitted = run.run(|ctx| async move {
                        Ok::<_, NotRecorded>(emit_until_it_fails(&ctx, &is_gone, &count).await)
                    });
                    // The file may be gone before this run has begun: its start is refused, and nothing of it acknowledged.
                    emitted.await.map_or_else(|_| Vec::new(), Result::unwrap)
                })
            })
            .collect();
        let instant = random_up_to(400);
        while count.load(Ordering::SeqCst) < instant {
            tokio::task::yield_now().await;
        }
        happens(folder.path());
        is_gone.store(true, Ordering::SeqCst);
        let mut acknowledged = Vec::new();
        for emitter in emitters {
            acknowledged.extend(emitter.await.unwrap());
        }
        assert_eq!(readiness(&health).await, StatusCode::SERVICE_UNAVAILABLE);

        let kept = SqliteStore::new(kept.join("traces.db")).open_reader().unwrap();
        for (run, event) in acknowledged {
            let events = kept.trace(run).await.unwrap();
            assert!(events.iter().any(|stored| stored.span_id == event), "an acknowledged event is lost");
        }
        // What the store no longer takes is pending: there is nothing to wait for.
        throughline.shutdown(Duration::ZERO).await;
    }
}

async fn readiness(health: &Health) -> StatusCode {
    let probe = Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
    health.service().oneshot(probe).await.unwrap().status()
}

/// Returns what was acknowledged.
async fn emit_until_it_fails(
    ctx: &TraceContext,
    is_gone: &AtomicBool,
    count: &AtomicUsize,
) -> Vec<(TraceId, throughline::event::SpanId)> {
    let mut acknowledged = Vec::new();
    loop {
        let was_gone = is_gone.load(Ordering::SeqCst);
        match ctx.event("business:noted", json!({ "some": "payload" })).await {
            Ok(span) => {
                assert!(!was_gone, "an event was acknowledged that is not at the path");
                count.fetch_add(1, Ordering::SeqCst);
                acknowledged.push((ctx.trace_id(), span));
            }
            Err(_) => return acknowledged,
        }
    }
}
