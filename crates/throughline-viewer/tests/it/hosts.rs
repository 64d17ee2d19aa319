//! The service that the viewer is nested in answers its own requests, whatever the viewer has to do.

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use throughline_core::{
    BoxFuture, Cursor, EventStream, MemoryStore, ReadError, StreamItem, TraceStream, WatchRequest,
};
use throughline_viewer::Viewer;

use crate::http::{PATIENCE, Server, until};
use crate::story;
use crate::stubborn::Stubborn;

/// A service with a route of its own, and the viewer under `/ops`.
async fn hosting(viewer: &Viewer) -> Server {
    let host = Router::new().route("/own", get(|| async { "as ever" }));
    Server::router(host.nest("/ops", viewer.router())).await
}

#[tokio::test]
async fn while_a_large_run_is_read_a_service_of_one_thread_answers_its_own_requests() {
    let throughline = story::service_with(MemoryStore::new().capacity(1_000_000));
    let (id, events) = story::large_run(20_000);
    throughline.ingest(events).await.unwrap();
    let host = hosting(&Viewer::of(&throughline).timeout(PATIENCE).build().unwrap()).await;
    let address = format!("/ops/api/runs/{id}");
    let mut reading = pin!(host.get(&address));
    let mut own = 0;
    let story = loop {
        tokio::select! {
            story = &mut reading => break story,
            answer = host.get("/own") => {
                assert_eq!((answer.status, &*answer.text()), (200, "as ever"));
                own += 1;
            }
        }
    };
    assert_eq!(story.status, 200, "{}", story.text());
    assert!(own > 20, "only {own} of its own requests were answered meanwhile");
}

/// A feed that panics once a page watches it.
struct Panicking;

impl TraceStream for Panicking {
    fn watch(&self, _: WatchRequest) -> BoxFuture<'_, Result<EventStream, ReadError>> {
        let event = Arc::new(story::beginning());
        let first = StreamItem::Event { event, cursor: Cursor::new("1") };
        let then = stream::poll_fn(|_| panic!("the password is tulip"));
        Box::pin(async move { Ok(Box::pin(stream::iter([Ok(first)]).chain(then)) as EventStream) })
    }
}

#[tokio::test]
async fn a_feed_that_panics_ends_the_connection_of_the_page_and_nothing_else() {
    let readers = || MemoryStore::new().readers();
    let later = hosting(&Viewer::over(readers()).stream(Arc::new(Panicking)).build().unwrap()).await;
    let answer = later.get("/ops/api/live").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("tulip"), "{}", answer.text());
    until(async || later.get("/ops/api/library").await.json(), |library| library["free_watchers"] == 100)
        .await;

    let at_once = Viewer::over(readers()).stream(Arc::new(Stubborn::Panicking)).build().unwrap();
    let at_once = hosting(&at_once).await;
    let answer = at_once.get("/ops/api/live").await;
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("tulip"), "{}", answer.text());
    for host in [later, at_once] {
        assert_eq!(&*host.get("/own").await.text(), "as ever");
    }
}
