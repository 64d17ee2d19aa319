//! The kinds of trouble around a service: with what it calls, what it creates, and what watches it.

use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use throughline::LayerExt as _;
use throughline::metrics::{Prometheus, catalogue};
use throughline::transport::Caller;
use throughline_core::{BoxError, Instance, InstanceId, SpoolConfig as _, Throughline};
use throughline_sqlite::{SqliteSpool, SqliteStore};

use super::troubles::{Bureau, ask, in_trouble, latest};
use super::{Trouble, assert_shown};
use crate::doctor::well_kept;
use crate::outbox;
use crate::sandbox::Sandbox;
use crate::services::{end, service, stay, stay_in_saga, succeed};

/// The page of metrics of a service, with its process or without.
async fn with_page(
    sandbox: &Sandbox,
    process: bool,
    set: impl FnOnce(&Throughline),
) -> (Throughline, String, impl Send + 'static) {
    let metrics = Prometheus::builder().process(process).build().unwrap();
    let loans = Throughline::builder("loan-service")
        .store(SqliteStore::new(sandbox.path("traces.db")))
        .metrics(&metrics)
        .build()
        .unwrap();
    set(&loans);
    let page = metrics.serve(([127, 0, 0, 1], 0)).await.unwrap();
    (loans, format!("http://{}/metrics", page.local_addr()), page)
}

#[tokio::test]
async fn pages_about_calls_of_functions_lead_to_the_function_that_fails_or_is_slow() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let rate = |Json(loan): Json<u64>| async move {
        // The one that succeeds is the slowest of all.
        tokio::time::sleep(Duration::from_millis(if loan == 0 { 20 } else { 300 })).await;
        if loan == 0 { Err(axum::http::StatusCode::BAD_GATEWAY) } else { Ok(Json(loan)) }
    };
    let functions = Router::new().route("/functions/rate", post(rate)).layer(loans.layer());
    let caller = Caller::direct(&loans, functions);
    for loan in [42_u64, 0, 0] {
        let caller = caller.clone();
        let run = loans.workflow("loan-approval").key(format!("loan-{loan}")).run(|ctx| async move {
            ctx.trace("stage:rate", async {
                caller.call::<_, u64>("rate", &loan).await.map_err(BoxError::from)
            })
            .await?
        });
        assert_eq!(run.await.unwrap().is_err(), loan == 0);
    }
    let run = latest(&sandbox);
    assert_shown("calls of functions fail", &in_trouble(sandbox, run, loans));
}

#[tokio::test]
async fn pages_about_resources_lead_to_what_could_not_be_created() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "sessions");
    for (key, has_room) in [("session-1", true), ("session-2", false), ("session-3", false)] {
        let run = loans.workflow("session").key(key).run(|ctx| async move {
            ctx.trace("stage:boot-sandbox", async {
                tokio::time::sleep(Duration::from_millis(60)).await;
                if has_room { Ok(()) } else { Err(BoxError::from("the pool has no machine left")) }
            })
            .await?
        });
        assert_eq!(run.await.unwrap().is_ok(), has_room);
    }
    let run = latest(&sandbox);
    assert_shown("resources are not created", &in_trouble(sandbox, run, loans));
}

#[tokio::test]
async fn pages_about_events_that_were_dropped_lead_to_what_the_store_refused() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    succeed(loans.workflow("loan-approval").key("loan-41")).await;
    let file = sandbox.path("outbox.db");
    outbox::leave(&file, &outbox::failed("loan-42")).await;
    let spool =
        SqliteSpool::new(&file).open(Instance::new(InstanceId::random(), "loan-service")).await.unwrap();
    for spooled in spool.peek(2).await.unwrap() {
        spool.set_aside(spooled.position, "it is too large").await.unwrap();
    }
    spool.remove_through(u64::MAX).await.unwrap();
    assert_shown("events are dropped", &in_trouble(sandbox, "loan-41".into(), (loans, spool)));
}

#[tokio::test]
async fn the_page_about_a_service_that_is_not_reached_says_what_its_end_interrupted() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    ask(&loans, Bureau::IsWell, 1).await;
    let (_, left) = stay_in_saga(&loans, "loan-42").await;
    end(loans).await;
    assert_shown("the service is gone", &in_trouble(sandbox, "loan-42".into(), left));
}

// The service answers while a command asks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_about_probes_that_fail_say_that_the_service_is_well() {
    let sandbox = Sandbox::empty();
    let (loans, url) = well_kept(&sandbox).await;
    ask(&loans, Bureau::IsWell, 2).await;
    let run = latest(&sandbox);
    let trouble = in_trouble(sandbox, run, loans);
    assert_shown("the way to the service is broken", &Trouble { url: format!("{url}/metrics"), ..trouble });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_about_a_single_worker_says_how_many_there_are_and_that_it_works() {
    let sandbox = Sandbox::empty();
    let (loans, url, page) = with_page(&sandbox, false, |loans| {
        loans.meter().gauge(&catalogue::QUEUE_DEPTH).with(["mail"]).set(3.0);
        loans.meter().gauge(&catalogue::WORKERS_ACTIVE).with(["mail"]).set(1.0);
    })
    .await;
    succeed(loans.workflow("loan-approval").key("loan-41")).await;
    let trouble = in_trouble(sandbox, "loan-41".into(), (loans, page));
    assert_shown("one worker is left", &Trouble { url, ..trouble });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_about_memory_says_what_the_process_uses_and_what_a_restart_would_cut_short() {
    let sandbox = Sandbox::empty();
    // Of the process that asks for it: no number is made up.
    let (loans, url, page) = with_page(&sandbox, true, |_| {}).await;
    let waits = stay(loans.workflow("loan-approval").key("loan-42")).await;
    let trouble = in_trouble(sandbox, "loan-42".into(), (loans, waits, page));
    assert_shown("memory is used up", &Trouble { url, ..trouble });
}
