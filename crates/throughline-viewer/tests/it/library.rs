//! What the library says of itself: that something does not answer is part of the answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use throughline_core::testing::MemorySpool;
use throughline_core::{Instance, InstanceId, MemoryStore, SpoolConfig as _, Throughline};
use throughline_viewer::{Access, Auth, Viewer};

use crate::http::{PATIENCE, Server};
use crate::story;
use crate::stubborn::Stubborn;

#[tokio::test]
async fn what_waits_for_a_store_that_is_away_is_told_until_it_is_back() {
    let spool = MemorySpool::new().capacity_bytes(1 << 20);
    let (throughline, faults) = story::service_with_outbox(spool);
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let idle = server.ask("library").await["outbox"].take();
    assert_eq!(
        (&idle["usage"]["events"], &idle["oldest"], &idle["error"]),
        (&0.into(), &Value::Null, &Value::Null)
    );

    faults.fail_next(u64::MAX, story::away);
    story::granted_loan(&throughline, "loan-1").await;
    let library = server.ask("library").await;
    let (outbox, store) = (&library["outbox"], &library["delivery"]["destinations"][0]);
    assert!(outbox["usage"]["events"].as_u64() > Some(4), "{library}");
    assert_eq!(outbox["usage"]["events"], store["pending"], "all that is pending waits there");
    assert_eq!(outbox["usage"]["capacity_bytes"], 1 << 20);
    assert_eq!(store["queue"]["waiting"], 0, "nothing waits in memory");
    assert!(store["queue"]["capacity"].as_u64() > Some(100), "{store}");
    assert!(store["last_failure"]["reason"].as_str().unwrap().contains("the disk is gone"), "{store}");
    let oldest = outbox["oldest"].as_str().unwrap();
    assert!(oldest.starts_with("20") && oldest.ends_with('Z'), "{oldest}");
    let patterns = server.ask("patterns").await;
    assert_eq!(patterns["uncounted"], outbox["usage"]["events"], "figures say what is not in them");

    faults.heal();
    assert!(throughline.flush(PATIENCE).await.is_complete());
    assert_eq!(server.ask("patterns").await["uncounted"], 0);
    assert_eq!(server.ask("library").await["outbox"]["usage"]["events"], 0);
}

#[tokio::test]
async fn what_the_store_refused_is_told_to_those_alone_who_see_messages() {
    let spool = MemorySpool::new();
    let open = spool.open(Instance::new(InstanceId::from_u64(7), "loan-service")).await.unwrap();
    let [event, _] = story::short_run();
    open.push(&[Arc::new(event)]).await.unwrap();
    let waiting = open.peek(1).await.unwrap();
    open.set_aside(waiting[0].position, "no column takes ada@example.org").await.unwrap();
    let auth = Auth::hook(|request| match request.headers.contains_key("x-ops") {
        true => Access::All,
        false => Access::WithoutPayloads,
    });
    let viewer = Viewer::over(MemoryStore::new().readers()).outbox(open.reader()).auth(auth);
    let server = Server::of(&viewer.build().unwrap()).await;
    let all = server.send("GET", "/api/library", &[("x-ops", "1")]).await.json();
    assert_eq!(all["outbox"]["usage"]["refused"], 1);
    assert_eq!(all["outbox"]["refused"][0]["event_type"], "workflow:started");
    let reason = all["outbox"]["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("no column takes") && !reason.contains("ada@"), "{reason}");
    let less = server.get("/api/library").await.json();
    assert_eq!(
        (&less["outbox"]["usage"]["refused"], &less["outbox"]["refused"]),
        (&1.into(), &Value::Array(Vec::new()))
    );
}

#[tokio::test]
async fn a_store_a_feed_and_an_outbox_that_do_not_answer_are_told_of_and_the_rest_is_still_there() {
    for (stubborn, part) in [
        (Stubborn::Silent, "did not answer within 0.1 s"),
        (Stubborn::Down, "the disk is gone"),
        (Stubborn::Panicking, "it panicked"),
    ] {
        let viewer = |auth| {
            let viewer =
                Viewer::over(stubborn.readers()).stream(Arc::new(stubborn)).outbox(Arc::new(stubborn));
            viewer.auth(auth).timeout(Duration::from_millis(200)).build().unwrap()
        };
        let server = Server::of(&viewer(Auth::hook(|_| Access::All))).await;
        let library = server.ask("library").await;
        for asked in ["store", "feed", "outbox"] {
            let error = library[asked]["error"].as_str().unwrap();
            assert!(error.contains(part), "{stubborn:?} {asked}: {error}");
            assert!(!error.contains("tulip"), "{error}");
        }
        assert_eq!((&library["free_requests"], &library["most_requests"]), (&31.into(), &32.into()));
        let server = Server::of(&viewer(Auth::hook(|_| Access::WithoutPayloads))).await;
        let library = server.ask("library").await;
        for asked in ["store", "feed", "outbox"] {
            assert_eq!(library[asked]["error"], "(not shown)");
        }
    }
}

#[tokio::test]
async fn a_service_without_a_feed_and_an_outbox_says_that_it_has_none() {
    let throughline = Throughline::builder("alone").store(MemoryStore::new()).build().unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let library = server.ask("library").await;
    assert_eq!((&library["feed"], &library["outbox"]), (&Value::Null, &Value::Null));
    assert_eq!(library["store"]["error"], Value::Null);
}
