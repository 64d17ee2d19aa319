//! Sagas in handlers that are dropped, on real sockets: because the client hangs up, or a time-out passes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::error_handling::HandleErrorLayer;
use axum::routing::get;
use futures_util::FutureExt as _;
use http::StatusCode;
use throughline_core::{
    BoxError, MemoryStore, NotRecorded, OnCancel, RunState, Saga, SagaFailed, Status, Text, Throughline,
    TraceContext, TraceId, TraceQuery, names,
};
use throughline_tower::{HandlerError, Traced};
use tokio::sync::Notify;
use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;

use crate::support::{Client, Server};

const SOON: Duration = Duration::from_secs(60);
/// Longer than any test: on a clock that stands still until everybody waits, it passes at once.
const TIME_OUT: Duration = Duration::from_secs(600);

/// What the steps of a saga put somewhere, and the places at which a test meets the saga.
#[derive(Clone, Default)]
struct World(Arc<Inside>);

#[derive(Default)]
struct Inside {
    there: Mutex<Vec<&'static str>>,
    /// The saga has done its steps, and waits.
    waits: Notify,
    /// The first compensation has begun, and waits for the other.
    undoing: Notify,
    go_on: Notify,
}

impl World {
    fn there(&self) -> Vec<&'static str> {
        self.0.there.lock().unwrap().clone()
    }

    fn remove(&self, what: &'static str) {
        self.0.there.lock().unwrap().retain(|there| *there != what);
    }

    async fn put(&self, saga: &Saga, name: &'static str, what: &'static str) -> Result<(), NotRecorded> {
        let (put, undo) = (self.clone(), self.clone());
        let step = saga.step(name).input(what).resource(what).compensate(move |what, _| async move {
            if what == "b" {
                undo.0.undoing.notify_one();
                undo.0.go_on.notified().await;
            }
            undo.remove(what);
            Ok::<_, NotRecorded>(())
        });
        let done = async |what, _| {
            put.0.there.lock().unwrap().push(what);
            Ok::<_, NotRecorded>(())
        };
        step.run(done).await?
    }

    /// A saga of two steps, which then waits for ever.
    async fn saga(self, ctx: TraceContext, on_cancel: OnCancel) -> Result<(), HandlerError> {
        let saga = ctx.saga("loan-approval").on_cancel(on_cancel).run(|saga| async move {
            self.put(&saga, "stage:a", "a").await?;
            self.put(&saga, "stage:b", "b").await?;
            self.0.waits.notify_one();
            std::future::pending::<Result<(), NotRecorded>>().await
        });
        Ok(saga.await?.map_err(SagaFailed::into_error)?)
    }

    /// Undoes the saga from elsewhere.
    async fn undo(&self, throughline: &Throughline, run: TraceId) -> Result<SagaFailed<Text>, NotRecorded> {
        let remove = |world: &Self| {
            let world = world.clone();
            move |what, _: TraceContext| async move {
                world.remove(what);
                Ok::<_, NotRecorded>(())
            }
        };
        let undo = throughline.undo(run, "loan-approval").step("stage:a", "a", remove(self));
        undo.step("stage:b", "b", remove(self)).run().await
    }
}

/// A server with this saga as its handler.
async fn server(world: &World, on_cancel: OnCancel) -> Server {
    let world = world.clone();
    let handler = async move |Traced(ctx): Traced| world.clone().saga(ctx, on_cancel).await;
    Server::start(|router| router.route("/", get(handler))).await
}

/// A client that asks and hangs up once the saga waits.
async fn hang_up(server: &Server, world: &World) -> TraceId {
    let mut client: Client = server.connect().await;
    client.send(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    world.0.waits.notified().await;
    drop(client);
    let end = server.request_end().await;
    assert_eq!(end.status, Status::Cancelled);
    end.trace_id
}

async fn state(store: &MemoryStore, run: TraceId) -> RunState {
    MemoryStore::readers(store).reader.run(run).await.unwrap().unwrap().state
}

/// The saga is being undone without its handler: until that is done, the run is running, and a shutdown waits. Then it has
/// ended like this.
async fn is_undone_alone(server: &Server, world: &World, run: TraceId, ends: RunState) {
    world.0.undoing.notified().await;
    assert_eq!(world.there(), ["a", "b"]);
    assert_eq!(state(&server.store, run).await, RunState::Running, "it is being undone");
    let reader = server.throughline.reader().unwrap();
    assert!(!reader.safe_to_deploy(SOON).await.unwrap().is_safe());
    let refused = world.undo(&server.throughline, run).await.unwrap_err();
    assert!(matches!(refused, NotRecorded::AtWork { trace_id, .. } if trace_id == run), "{refused}");

    let mut shutdown = Box::pin(server.throughline.shutdown(SOON));
    assert!((&mut shutdown).now_or_never().is_none());
    world.0.go_on.notify_one();
    // An emitter that had closed by now could not begin the second compensation.
    assert!(shutdown.await.is_complete());
    assert_eq!(world.there(), [""; 0]);
    assert_eq!(state(&server.store, run).await, ends);

    let events = server.store.trace(run);
    let happened = |name: &str, status| {
        let mut found = events.iter().filter(|event| event.event_type == name && event.status == status);
        let found = found.next().unwrap_or_else(|| panic!("{name} {status:?}"));
        (found.timestamp, found.n)
    };
    let order = [
        happened(names::SAGA_DETACHED, Status::Pending),
        happened("compensate:b", Status::Success),
        happened("compensate:a", Status::Success),
        happened(names::SAGA_CANCELLED, Status::Cancelled),
    ];
    assert!(order.is_sorted(), "{order:?}");
    let readers = MemoryStore::readers(&server.store);
    let query = TraceQuery::read(&*readers.reader, run).await.unwrap();
    assert!(query.problems().is_empty(), "{:?}", query.problems());
    let ledger = query.compensation_ledger();
    assert!(ledger.is_clean() && !ledger.is_empty(), "{ledger:?}");
    assert!(readers.reader.safe_to_deploy(SOON).await.unwrap().is_safe());
}

#[tokio::test]
async fn a_client_that_hangs_up_in_mid_saga_leaves_nothing_behind() {
    let world = World::default();
    let server = server(&world, OnCancel::Compensate).await;
    let run = hang_up(&server, &world).await;
    is_undone_alone(&server, &world, run, RunState::Cancelled).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_time_out_around_the_saga_passes_answers_while_the_saga_is_being_undone() {
    let world = World::default();
    let inside = world.clone();
    let handler = async move |Traced(ctx): Traced| {
        let saga = inside.clone().saga(ctx, OnCancel::Compensate);
        let in_time = tokio::time::timeout(TIME_OUT, saga).await;
        in_time.unwrap_or_else(|_| Err(HandlerError::new(StatusCode::GATEWAY_TIMEOUT, "too slow")))
    };
    let server = Server::start(|router| router.route("/", get(handler))).await;
    assert_eq!(server.get("/").await.status(), StatusCode::GATEWAY_TIMEOUT);
    let end = server.request_end().await;
    assert_eq!(end.status, Status::Failed);
    is_undone_alone(&server, &world, end.trace_id, RunState::Failed).await;
}

#[tokio::test(start_paused = true)]
async fn a_time_out_layer_around_a_handler_leaves_nothing_of_its_saga_behind() {
    let world = World::default();
    let inside = world.clone();
    let handler = async move |Traced(ctx): Traced| inside.clone().saga(ctx, OnCancel::Compensate).await;
    let server = Server::start(|router| {
        let too_slow = HandleErrorLayer::new(async |_: BoxError| StatusCode::GATEWAY_TIMEOUT);
        let time_out = ServiceBuilder::new().layer(too_slow).layer(TimeoutLayer::new(TIME_OUT));
        router.route("/", get(handler)).layer(time_out)
    })
    .await;
    assert_eq!(server.get("/").await.status(), StatusCode::GATEWAY_TIMEOUT);
    let end = server.request_end().await;
    assert_eq!(end.status, Status::Failed);
    is_undone_alone(&server, &world, end.trace_id, RunState::Failed).await;
}

#[tokio::test]
async fn a_saga_that_is_left_open_when_its_client_hangs_up_waits_to_be_undone_by_another_process() {
    let world = World::default();
    let server = server(&world, OnCancel::LeaveOpen).await;
    let run = hang_up(&server, &world).await;
    let left = server.store.trace(run).into_iter().find(|event| event.event_type == names::SAGA_LEFT_OPEN);
    assert_eq!(left.unwrap().status, Status::Pending);
    assert_eq!(world.there(), ["a", "b"]);
    let reader = server.throughline.reader().unwrap();
    let summary = reader.run(run).await.unwrap().unwrap();
    // Nobody resumes a request.
    assert_eq!((summary.state, summary.waits_to_be_resumed()), (RunState::Interrupted, false));
    let check = reader.safe_to_deploy(SOON).await.unwrap();
    assert_eq!((check.is_safe(), check.interrupted.len()), (true, 1));
    let resumed = server.throughline.resume(run).run(|_| async { Ok::<_, NotRecorded>(()) }).await;
    assert!(matches!(resumed, Err(NotRecorded::NotResumable { .. })), "{resumed:?}");
    assert!(server.throughline.shutdown(SOON).await.is_complete(), "nobody is waited for");

    let another = Throughline::builder("test").store(server.store.clone()).build().unwrap();
    assert!(!another.query(run).await.unwrap().compensation_ledger().is_clean());
    assert!(world.undo(&another, run).await.unwrap().is_undone());
    assert_eq!(world.there(), [""; 0]);
    assert_eq!(state(&server.store, run).await, RunState::Cancelled);
    assert!(another.query(run).await.unwrap().compensation_ledger().is_clean());
}

#[tokio::test]
async fn a_run_that_another_one_under_its_key_keeps_from_starting_answers_409_with_the_id_of_that() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let unique = async move |Traced(ctx): Traced| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        let run = ctx.child_workflow("loan").key("loan-42").unique().run(|ctx| async move {
            tell.notify_one();
            wait.notified().await;
            Ok::<_, NotRecorded>(ctx.trace_id().to_string())
        });
        Ok::<_, HandlerError>(run.await??)
    };
    let once = async |Traced(ctx): Traced| {
        let run = ctx.child_workflow("loan").key("loan-42").once();
        run.run_infallible(|_| async {}).await?;
        Ok::<_, HandlerError>(())
    };
    let routes = |router: axum::Router| router.route("/unique", get(unique)).route("/once", get(once));
    let server = Server::start(routes).await;
    let first = tokio::spawn(crate::support::http().get(server.url("/unique")).send());
    begun.notified().await;
    let told = [refusal(server.get("/unique").await).await, refusal(server.get("/once").await).await];
    go_on.notify_one();
    let run = first.await.unwrap().unwrap().text().await.unwrap();
    for (detail, retry_after) in told {
        assert!(detail.starts_with(&format!("the run {run} is at work, in the instance ")), "{detail}");
        assert_eq!(retry_after.as_deref(), Some("5"), "it pays to come back");
    }
    let (detail, retry_after) = refusal(server.get("/once").await).await;
    assert_eq!(detail, format!("not started: the run {run} under the same key has succeeded"));
    assert_eq!(retry_after, None, "it does not pay to come back");
}

/// What a client is told that may not start a run, and when it may come back.
async fn refusal(answer: reqwest::Response) -> (String, Option<String>) {
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let problem: serde_json::Value = answer.json().await.unwrap();
    (problem["detail"].as_str().unwrap().to_owned(), retry_after)
}
