//! Functions called over TCP, over a Unix socket and in process.

mod errors;
mod findings;
mod inspected;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use futures_util::FutureExt as _;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use throughline_core::testing::FaultyStore;
use throughline_core::{
    AppendError, Durability, InContext as _, MemoryStore, NotRecorded, Retry, Status, Throughline,
    TraceContext, names,
};
use throughline_tower::transport::{
    CallError, CallOutcome, CallRecord, Caller, Inspector, Part, Profiler, Transport,
};
use throughline_tower::{LayerExt as _, Traced};
use tokio::net::UnixListener;

use crate::side::{Side, serve};

/// How long the function `work` takes.
const WORK: Duration = Duration::from_millis(20);

#[expect(clippy::panic, reason = "one of the functions is there to panic")]
fn functions() -> Router {
    async fn sum(Traced(ctx): Traced, Json(numbers): Json<Vec<u64>>) -> Json<u64> {
        Json(ctx.trace_infallible("stage:sum", async { numbers.iter().sum() }).await.unwrap())
    }
    async fn fail(Traced(_): Traced) {
        panic!("the score of Ada Lovelace is out of range");
    }
    async fn hang(Traced(ctx): Traced) {
        ctx.trace_infallible("stage:hang", std::future::pending::<()>()).await.unwrap();
    }
    let problem = |status, title: &'static str| async move {
        (status, [(CONTENT_TYPE, "application/problem+json")], format!(r#"{{"title":"{title}"}}"#))
    };
    Router::new()
        .route("/functions/sum", post(sum))
        .route("/functions/work", post(async || tokio::time::sleep(WORK).await))
        .route("/functions/panic", post(fail))
        .route("/functions/refuse", post(move || problem(StatusCode::UNPROCESSABLE_ENTITY, "no such loan")))
        .route("/functions/busy", post(move || problem(StatusCode::SERVICE_UNAVAILABLE, "too much to do")))
        .route("/functions/text", post(async || "forty-two"))
        .route("/functions/name", post(async || Json("Ada Lovelace")))
        .route("/functions/large", post(async || Json("x".repeat(10_000))))
        .route("/functions/hang", post(hang))
}

/// The functions of one service, over every transport.
struct Callee {
    callers: Vec<Caller>,
    _sockets: tempfile::TempDir,
}

impl Callee {
    /// Serves a router, and calls it on behalf of `here`.
    async fn serve(here: &Side, router: Router) -> Self {
        let sockets = tempfile::tempdir().unwrap();
        let socket = sockets.path().join("callee.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let served = router.clone();
        tokio::spawn(async move { axum::serve(listener, served).await });
        let callers = vec![
            Caller::http(&here.throughline, &serve(router.clone()).await).unwrap(),
            Caller::ipc(&here.throughline, socket),
            Caller::direct(&here.throughline, router),
        ];
        Self { callers, _sockets: sockets }
    }

    async fn of(here: &Side, there: &Side) -> Self {
        Self::serve(here, functions().layer(there.throughline.layer())).await
    }

    /// The same, with every call kept.
    async fn inspected(here: &Side, router: Router) -> (Self, Arc<Mutex<Vec<CallRecord>>>) {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&calls);
        let inspector = Inspector::new(move |call| keep.lock().unwrap().push(call.record.clone()));
        let mut callee = Self::serve(here, router).await;
        callee.callers = callee.callers.into_iter().map(|caller| caller.inspector(&inspector)).collect();
        (callee, calls)
    }
}

/// Runs a future within a run of a workflow.
async fn within<T>(side: &Side, body: impl Future<Output = T>) -> T {
    side.throughline
        .workflow("test")
        .run(|_| async { Ok::<_, NotRecorded>(body.await) })
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn one_trace_has_both_sides_whatever_the_transport() {
    let there = Side::new("callee");
    let mut told = Vec::new();
    for transport in 0..3 {
        let here = Side::new("caller");
        let callee = Callee::of(&here, &there).await;
        let caller = &callee.callers[transport];
        let sum: u64 = within(&here, caller.call("sum", &[1, 2, 39])).await.unwrap();
        assert_eq!(sum, 42);

        let call = here.end_of(&format!("dependency:{}", caller.transport())).await;
        let events = there.events().await;
        let of_this_call = |event_type: &str| {
            let found = events.iter().find(|event| {
                event.trace_id == call.trace_id && event.event_type == event_type && event.seq == 0
            });
            found.unwrap_or_else(|| panic!("no {event_type} of {} in {events:?}", call.trace_id))
        };
        let (root, step) = (of_this_call(names::HTTP_REQUEST), of_this_call("stage:sum"));
        assert_eq!(root.parent_span_id, Some(call.span_id), "{caller:?}");
        assert_eq!(step.parent_span_id, Some(root.span_id), "{caller:?}");
        let attr = |key| call.attrs.get(key).unwrap().to_owned();
        told.push((call.event_type.to_string(), attr(names::attrs::FUNCTION), attr(names::attrs::TRANSPORT)));
    }
    let want = ["http", "ipc", "direct"].map(|t| (format!("dependency:{t}"), "sum".to_owned(), t.to_owned()));
    assert_eq!(told, want);
}

#[tokio::test]
async fn the_parts_of_a_call_add_up_and_the_callees_work_is_the_callees() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let (callee, calls) = Callee::inspected(&here, functions().layer(there.throughline.layer())).await;
    for caller in &callee.callers {
        let before = Instant::now();
        let () = within(&here, caller.call("work", &())).await.unwrap();
        let seen = before.elapsed();
        let call = calls.lock().unwrap().pop().unwrap();
        let parts: Vec<_> = call.times.parts().collect();
        assert_eq!(parts.iter().map(|(_, took)| *took).sum::<Duration>(), call.times.total());
        assert!(call.times.total() <= seen, "{call:?} in {seen:?}");
        let part = |part| parts.iter().find(|(found, _)| *found == part).unwrap().1;
        // The callee tells whole microseconds.
        assert!(part(Part::Callee) + Duration::from_micros(1) >= WORK, "{call:?}");
        assert!(
            part(Part::Transport) <= call.times.total().saturating_sub(WORK) + Duration::from_micros(1),
            "{call:?}"
        );
    }
}

/// An input that takes a while to write.
struct Slow;

impl serde::Serialize for Slow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        std::thread::sleep(WORK);
        serializer.serialize_unit()
    }
}

#[tokio::test]
async fn writing_the_input_is_the_callers_part_even_if_the_call_is_awaited_much_later() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let profiler = Profiler::new();
    let callee = Callee::of(&here, &there).await;
    let call = callee.callers[2].clone().profiler(&profiler).call::<_, u64>("sum", &Slow);
    call.await.unwrap_err();
    let began = Instant::now();
    let call = callee.callers[2].clone().profiler(&profiler).call::<_, ()>("work", &Slow);
    let took = began.elapsed();
    // Whatever happens in between is nobody's part.
    tokio::time::sleep(WORK * 5).await;
    call.await.unwrap();
    let report = profiler.report();
    let profile = report.of("work", Transport::Direct).unwrap();
    let written = profile.part(Part::Serialize).unwrap().times.p50;
    assert!(written >= WORK && written < took + WORK, "{written:?} of {took:?}");
    let errors = &report.of("sum", Transport::Direct).unwrap().outcomes;
    assert_eq!(errors.keys().collect::<Vec<_>>(), [&CallOutcome::Rejected]);
}

#[tokio::test]
async fn the_span_of_a_call_says_where_its_time_went_and_how_much_it_carried() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let callee = Callee::of(&here, &there).await;
    let _: u64 = within(&here, callee.callers[1].call("sum", &[1, 2, 39])).await.unwrap();
    let call = here.end_of("dependency:ipc").await;
    let number = |key: &str| call.attrs.get(key).unwrap().parse::<u64>().unwrap();
    // The input was written before the span began.
    assert!(number("call.serialize_us") > 0);
    let parts = [Part::Transport, Part::Queue, Part::Callee, Part::Deserialize];
    let sum: u64 = parts.iter().map(|part| number(&format!("call.{part}_us"))).sum();
    assert!(sum > 0 && sum <= call.duration_us.unwrap(), "{sum} of {:?}", call.duration_us);
    assert_eq!((number("call.request_bytes"), number("call.response_bytes")), (8, 2));
    assert_eq!(call.attrs.get(names::attrs::HTTP_STATUS), Some("200"));
}

#[tokio::test]
async fn calls_are_measured_by_function_and_transport_within_a_context_and_outside() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let callee = Callee::of(&here, &there).await;
    let caller = &callee.callers[2];
    let _: u64 = within(&here, caller.call("sum", &[1])).await.unwrap();
    let _: u64 = caller.call("sum", &[1]).await.unwrap();
    caller.call::<_, ()>("busy", &()).await.unwrap_err();
    let recorded = here.recorded("throughline_call");
    let series: Vec<_> = recorded.iter().map(|(key, values)| format!("{key} {}", values.len())).collect();
    insta::assert_snapshot!(series.join("\n"), @r"
    throughline_call_duration_seconds{function=busy,transport=direct,outcome=failed} 1
    throughline_call_duration_seconds{function=sum,transport=direct,outcome=success} 2
    throughline_call_part_duration_seconds{function=sum,transport=direct,part=callee} 2
    throughline_call_part_duration_seconds{function=sum,transport=direct,part=deserialize} 2
    throughline_call_part_duration_seconds{function=sum,transport=direct,part=queue} 2
    throughline_call_part_duration_seconds{function=sum,transport=direct,part=serialize} 2
    throughline_call_part_duration_seconds{function=sum,transport=direct,part=transport} 2
    throughline_call_request_size_bytes{function=sum,transport=direct} 2
    throughline_call_response_size_bytes{function=sum,transport=direct} 2
    ");
    assert_eq!(recorded["throughline_call_request_size_bytes{function=sum,transport=direct}"], [3.0, 3.0]);
}

#[tokio::test]
async fn outside_of_every_context_the_callee_begins_a_trace_of_its_own() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let callee = Callee::of(&here, &there).await;
    let _: u64 = callee.callers[1].call("sum", &[1]).await.unwrap();
    let root = there.end_of(names::HTTP_REQUEST).await;
    assert_eq!((root.parent_span_id, here.events().await), (None, vec![]));
}

#[tokio::test]
async fn a_round_trip_without_server_timing_is_not_split() {
    let here = Side::new("caller");
    let bare = Router::new()
        .route("/functions/sum", post(async |Json(numbers): Json<Vec<u64>>| Json(numbers.len())));
    let (callee, calls) = Callee::inspected(&here, bare).await;
    for caller in &callee.callers {
        let profiler = Profiler::new();
        let caller = caller.clone().profiler(&profiler);
        let _: usize = caller.call("sum", &[1]).await.unwrap();
        let call = calls.lock().unwrap().pop().unwrap();
        assert_eq!(call.times.callee, None);
        let report = profiler.report();
        let parts: Vec<_> = report.functions[0].parts.iter().map(|part| part.part).collect();
        assert_eq!(parts, [Part::Serialize, Part::RoundTrip, Part::Deserialize]);
    }
}

#[tokio::test]
async fn a_queue_in_front_of_the_callee_is_neither_its_work_nor_the_transports() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let (entered, release) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (told, wait) = (Arc::clone(&entered), Arc::clone(&release));
    let hold = move || {
        let (told, wait) = (Arc::clone(&told), Arc::clone(&wait));
        async move {
            told.notify_one();
            wait.notified().await;
        }
    };
    let one_at_a_time = tower::limit::GlobalConcurrencyLimitLayer::new(1);
    let work = Router::new().route("/functions/hold", post(hold));
    let service = tower::Layer::layer(&one_at_a_time, work);
    let service = tower::Layer::layer(&there.throughline.layer(), service);
    let calls = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&calls);
    let inspector = Inspector::new(move |call| keep.lock().unwrap().push(call.record.clone()));
    let caller = Caller::direct(&here.throughline, service).inspector(&inspector);
    let first = tokio::spawn({
        let caller = caller.clone();
        async move { caller.call::<_, ()>("hold", &()).await }
    });
    entered.notified().await;
    let mut second = caller.call::<_, ()>("hold", &());
    // The second waits for its turn from now on; the first is at work.
    assert!((&mut second).now_or_never().is_none());
    let began = Instant::now();
    let second = tokio::spawn(second);
    tokio::time::sleep(WORK).await;
    let waited = began.elapsed();
    release.notify_one();
    first.await.unwrap().unwrap();
    entered.notified().await;
    release.notify_one();
    second.await.unwrap().unwrap();
    let calls = calls.lock().unwrap();
    let queued: Vec<_> = calls.iter().map(|call| call.times.callee.unwrap().queue).collect();
    // The header has microseconds.
    assert!(
        queued[0].is_zero() && queued[1] + Duration::from_micros(1) >= waited,
        "{queued:?} of {waited:?}"
    );
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_on_both_sides() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let callee = Callee::of(&here, &there).await;
    let profiler = Profiler::new();
    for caller in &callee.callers {
        let caller = caller.clone().profiler(&profiler);
        let call = caller.call::<_, ()>("hang", &());
        let given_up = within(&here, tokio::time::timeout(Duration::from_millis(50), call)).await;
        assert!(given_up.is_err());
        let end = here.end_of(&format!("dependency:{}", caller.transport())).await;
        assert_eq!(end.status, Status::Cancelled);
    }
    assert_eq!(there.end_of(names::HTTP_REQUEST).await.status, Status::Cancelled);
    for profile in &profiler.report().functions {
        assert_eq!(profile.outcomes.keys().collect::<Vec<_>>(), [&CallOutcome::Cancelled]);
    }
}

#[tokio::test]
async fn a_call_whose_start_cannot_be_recorded_is_not_made() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let callee = Callee::of(&here, &there).await;
    let result = within(&here, async {
        here.throughline.shutdown(Duration::from_secs(5)).await;
        callee.callers[2].call::<_, u64>("sum", &[1]).await
    });
    assert!(matches!(result.await, Err(CallError::NotStarted { .. })));
    assert_eq!(there.events().await, []);
    let outcome = "throughline_call_duration_seconds{function=sum,transport=direct,outcome=not_sent}";
    assert!(here.recorded("call_duration").contains_key(outcome));
}

#[tokio::test]
async fn a_spawned_call_belongs_to_the_context_that_it_is_given() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let caller = Callee::of(&here, &there).await.callers.remove(2);
    within(&here, async {
        let context = TraceContext::current().unwrap();
        let call = async move { caller.call::<_, u64>("sum", &[1, 2]).await };
        assert_eq!(tokio::spawn(call.in_context(&context)).await.unwrap().unwrap(), 3);
    })
    .await;
    let events = here.events().await;
    let root = events.iter().find(|event| event.is_root()).unwrap();
    assert_eq!(here.end_of("dependency:direct").await.parent_span_id, Some(root.span_id));
}

#[tokio::test]
async fn functions_may_be_served_under_another_path() {
    let here = Side::new("caller");
    let router = Router::new().route("/v1/{function}/invoke", post(async || Json(1)));
    let caller = Caller::direct(&here.throughline, router);
    let routed = caller.clone().route("/v1/{function}/invoke").unwrap();
    assert_eq!(routed.call::<_, u64>("sum", &()).await.unwrap(), 1);
    assert!(caller.route("no path").is_err());
    assert_eq!(routed.transport(), Transport::Direct);
}

#[tokio::test]
async fn calls_may_go_through_your_own_client_whose_error_is_shown() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let app = functions().layer(there.throughline.layer());
    let client = tower::service_fn(move |request: http::Request<_>| {
        assert_eq!(request.uri().scheme_str(), Some("https"));
        tower::ServiceExt::oneshot(app.clone(), request)
    });
    let caller = Caller::http_through(&here.throughline, "https://api.test:8443", client).unwrap();
    assert_eq!(within(&here, caller.call::<_, u64>("sum", &[1, 2])).await.unwrap(), 3);
    let call = here.end_of("dependency:http").await;
    let attr = |key| call.attrs.get(key).unwrap();
    assert_eq!((attr(names::attrs::SERVER_ADDRESS), attr(names::attrs::SERVER_PORT)), ("api.test", "8443"));

    type Answer = http::Response<axum::body::Body>;
    let broken =
        tower::service_fn(async |_: http::Request<_>| Err::<Answer, _>("the certificate has expired"));
    let caller = Caller::http_through(&here.throughline, "https://api.test", broken).unwrap();
    let error = caller.call::<_, u64>("sum", &[1]).await.unwrap_err();
    assert!(matches!(error, CallError::BrokenOff { .. }), "nobody knows how far it came: {error}");
    insta::assert_snapshot!(error, @"`sum` over http at https://api.test sent an incomplete response: the certificate has expired; did the callee crash?");

    let refused = async |_: http::Request<_>| {
        Err::<Answer, _>(throughline_core::BoxError::from(std::io::Error::from(
            std::io::ErrorKind::ConnectionRefused,
        )))
    };
    let caller =
        Caller::http_through(&here.throughline, "https://api.test", tower::service_fn(refused)).unwrap();
    let error = caller.call::<_, u64>("sum", &[1]).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
}

/// Pipelined, a call goes out before its start is durable: when that fails in the end, it has been made.
#[tokio::test]
async fn a_call_whose_start_turns_out_not_to_be_recorded_is_made_once_and_its_result_kept() {
    let store = FaultyStore::around(MemoryStore::new());
    let faults = store.faults();
    let here = Throughline::builder("caller").store(store).durability(Durability::Pipelined);
    let here = here.retry(Retry::attempts(1)).build().unwrap();
    let (asked, profiler) = (Arc::new(AtomicU32::new(0)), Profiler::new());
    let count = Arc::clone(&asked);
    let counting = post(async move || Json(count.fetch_add(1, Ordering::SeqCst)));
    let caller = Caller::direct(&here, Router::new().route("/functions/count", counting)).profiler(&profiler);
    let run = here.workflow("test").run(async |_: TraceContext| {
        here.flush(Duration::from_secs(10)).await;
        let gone = || AppendError::Unavailable { reason: "away".to_owned(), retry_after: None, source: None };
        faults.fail_next(u64::MAX, gone);
        let result = caller.call::<_, u32>("count", &()).await;
        faults.heal();
        Ok::<_, NotRecorded>(result)
    });
    assert_eq!(run.await.unwrap().unwrap().unwrap(), 0);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let outcomes: Vec<_> =
        profiler.report().functions.into_iter().flat_map(|profile| profile.outcomes).collect();
    assert_eq!(outcomes, [(CallOutcome::Success, 1)]);
}
