//! What a context records, and where it finds the parent of a step.

use std::future::{IntoFuture as _, pending};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use throughline_core::{
    BoxFuture, InContext as _, MemoryStore, NotRecorded, Propagation, Relation, SagaFailed, Status,
    Throughline, TraceContext, TraceEvent, names,
};
use tokio::sync::Notify;

use crate::support::{ended, open, parents, started};

type Never = std::convert::Infallible;

/// Runs a workflow on a fresh memory store and gives what it recorded.
async fn record<F: Future<Output = ()>>(body: impl FnOnce(TraceContext) -> F) -> Vec<TraceEvent> {
    let (throughline, store) = open();
    throughline.workflow("test").run_infallible(body).await.unwrap();
    throughline.flush(Duration::from_secs(5)).await;
    store.events()
}

#[tokio::test]
async fn a_step_has_a_start_and_an_end_that_share_a_span() {
    let events = record(|ctx| async move {
        let score = ctx.trace("stage:score", async { Ok::<_, Never>(712) }).await.unwrap().unwrap();
        assert_eq!(score, 712);
    })
    .await;
    let (start, end) = (started(&events, "stage:score"), ended(&events, "stage:score"));
    assert_eq!((start.span_id, start.seq, end.seq), (end.span_id, 0, 1));
    assert_eq!((start.status, end.status), (Status::Pending, Status::Success));
    assert!(end.duration_us.is_some() && start.duration_us.is_none());
    assert!(end.order() > start.order());
    assert_eq!(events[0].event_type, names::WORKFLOW_STARTED);
    assert_eq!(events[3].event_type, names::WORKFLOW_COMPLETED);
    assert_eq!(events[0].span_id, events[3].span_id);
}

#[tokio::test]
async fn an_error_is_recorded_with_its_chain_and_given_back_untouched() {
    let events = record(|ctx| async move {
        let source = anyhow::anyhow!("connection reset").context("the bureau did not answer");
        let error = ctx.trace("stage:score", async { Err::<(), _>(source) }).await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the bureau did not answer");
    })
    .await;
    let error = ended(&events, "stage:score").error.unwrap();
    assert_eq!(error.message, "the bureau did not answer");
    assert_eq!(error.chain, ["connection reset"]);
}

#[tokio::test]
async fn the_long_form_keeps_inputs_outputs_tags_attempts_and_links() {
    let events = record(|ctx| async move {
        let route = ctx.decision("ai:route").consider("a", 0.2).consider("b", 0.8).choose("b").await.unwrap();
        ctx.step("stage:score")
            .input(&json!({ "amount": 25_000 }))
            .tag("expensive")
            .attr("tenant", "acme")
            .attempt(2)
            .decided_by(&route)
            .capture_output()
            .run(|ctx| async move {
                ctx.annotate("bureau", "first");
                ctx.trace_infallible("stage:inner", async {}).await.unwrap();
                Ok::<_, Never>(json!({ "score": 712 }))
            })
            .await
            .unwrap()
            .unwrap();
    })
    .await;
    let (start, end) = (started(&events, "stage:score"), ended(&events, "stage:score"));
    assert_eq!(start.data.as_ref().unwrap()["input"]["amount"], 25_000);
    assert_eq!(end.data.as_ref().unwrap()["output"]["score"], 712);
    assert_eq!(start.attempt, Some(2));
    assert!(start.has_tag("expensive") && end.has_tag("expensive"));
    assert_eq!(start.links[0].rel, Relation::DecidedBy);
    assert_eq!(start.links[0].span_id, started(&events, "ai:route").span_id);
    assert_eq!(end.attrs.get("bureau"), Some("first"));
    let inner = started(&events, "stage:inner");
    assert_eq!((inner.attrs.get("tenant"), inner.attrs.get("bureau")), (Some("acme"), None));
}

#[tokio::test]
async fn steps_are_numbered_when_their_number_was_announced() {
    let (throughline, store) = open();
    let run = throughline.workflow("test").steps(3).run_infallible(|ctx| async move {
        for name in ["stage:a", "stage:b"] {
            ctx.trace_infallible(name, async {}).await.unwrap();
        }
        let tried = ctx
            .step("stage:c")
            .retry(3, |_, attempt| async move { if attempt < 3 { Err("not yet") } else { Ok(attempt) } });
        assert_eq!(tried.await.unwrap(), Ok(3));
    });
    run.await.unwrap();
    let events = store.events();
    let c: Vec<_> = events.iter().filter(|event| event.event_type == "stage:c" && event.seq == 0).collect();
    assert_eq!(
        (started(&events, "stage:b").step_index, started(&events, "stage:b").step_total),
        (Some(2), Some(3))
    );
    assert_eq!((c[0].step_index, c[0].attempt), (Some(3), Some(1)));
    assert_eq!((c[1].step_index, c[1].attempt, c[1].links[0].span_id), (None, Some(2), c[0].span_id));
    assert_eq!(c[2].links[0].span_id, c[1].span_id);
}

#[tokio::test]
async fn nested_steps_nest_whichever_context_they_are_started_through() {
    let events = record(|ctx| async move {
        let outer = ctx.clone();
        ctx.step("stage:outer")
            .run_infallible(|inner| async move {
                outer.trace_infallible("stage:by-outer", async {}).await.unwrap();
                inner.trace_infallible("stage:by-inner", async {}).await.unwrap();
                let current = TraceContext::current().unwrap();
                assert_eq!(current.span_id(), inner.span_id());
                current.event("business:noted", json!({ "by": "current" })).await.unwrap();
            })
            .await
            .unwrap();
        ctx.trace_infallible("stage:after", async {}).await.unwrap();
    })
    .await;
    let parents = parents(&events);
    for child in ["stage:by-outer", "stage:by-inner", "business:noted"] {
        assert_eq!(parents[child], "stage:outer", "{child}");
    }
    assert_eq!(parents["stage:after"], names::WORKFLOW_STARTED);
}

#[tokio::test]
async fn concurrent_steps_are_siblings_under_join_and_select() {
    let events = record(|ctx| async move {
        let yielding = || async {
            tokio::task::yield_now().await;
            TraceContext::current().unwrap().event("inside", json!({})).await.unwrap();
        };
        let (a, b) =
            (ctx.trace_infallible("stage:a", yielding()), ctx.trace_infallible("stage:b", yielding()));
        let (a, b) = tokio::join!(a, b);
        a.and(b).unwrap();
        tokio::select! {
            _ = ctx.trace_infallible("stage:slow", pending::<()>()) => unreachable!(),
            done = ctx.trace_infallible("stage:fast", async {}) => done.unwrap(),
        }
    })
    .await;
    let parents = parents(&events);
    for step in ["stage:a", "stage:b", "stage:fast"] {
        assert_eq!(parents[step], names::WORKFLOW_STARTED);
    }
    let inside = events.iter().filter(|event| event.event_type == "inside").map(|event| event.parent_span_id);
    let steps = ["stage:a", "stage:b"].map(|step| Some(started(&events, step).span_id));
    assert_eq!(inside.collect::<std::collections::HashSet<_>>(), steps.into());
    if events.iter().any(|event| event.event_type == "stage:slow") {
        assert_eq!(ended(&events, "stage:slow").status, Status::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spawned_step_hangs_on_its_context_unless_one_is_taken_along() {
    let events = record(|ctx| async move {
        ctx.step("stage:outer")
            .run_infallible(|inner| {
                let root = ctx.clone();
                async move {
                    let bare = tokio::spawn(root.trace_infallible("stage:bare", async {}));
                    let along =
                        tokio::spawn(root.trace_infallible("stage:along", async {}).in_context(&inner));
                    let own = tokio::spawn(inner.trace_infallible("stage:own", async {}));
                    bare.await.unwrap().and(along.await.unwrap()).and(own.await.unwrap()).unwrap();
                }
            })
            .await
            .unwrap();
    })
    .await;
    let parents = parents(&events);
    assert_eq!(parents["stage:bare"], names::WORKFLOW_STARTED);
    assert_eq!(parents["stage:along"], "stage:outer");
    assert_eq!(parents["stage:own"], "stage:outer");
}

#[tokio::test]
async fn a_thread_takes_the_context_along_by_scope() {
    let events = record(|ctx| async move {
        let own = ctx.clone();
        let blocking = tokio::task::spawn_blocking(move || {
            assert!(TraceContext::current().is_none());
            own.scope(|| TraceContext::current().map(|ctx| ctx.span_id()))
        });
        assert_eq!(blocking.await.unwrap(), Some(ctx.span_id()));
    })
    .await;
    assert_eq!(events.len(), 2);
    assert!(TraceContext::current().is_none());
}

#[tokio::test]
async fn the_current_span_of_another_trace_is_no_parent() {
    let (throughline, store) = open();
    let other = throughline.clone();
    let run = throughline.workflow("outer").run_infallible(|outer| async move {
        let inside = other.workflow("inner").key("inner-1").run_infallible(|_inner| async move {
            outer.trace_infallible("stage:of-outer", async {}).await.unwrap();
        });
        inside.await.unwrap();
    });
    run.await.unwrap();
    let events = store.events();
    let roots: Vec<_> = events.iter().filter(|e| e.event_type == names::WORKFLOW_STARTED).collect();
    let step = started(&events, "stage:of-outer");
    assert_eq!((step.trace_id, step.parent_span_id), (roots[0].trace_id, Some(roots[0].span_id)));
    // The keyed run has a trace of its own and says who caused it.
    assert_ne!(roots[1].trace_id, roots[0].trace_id);
    assert_eq!(roots[1].correlation_id.as_deref(), Some("inner-1"));
    assert_eq!(roots[1].parent_trace_id, Some(roots[0].trace_id));
    assert_eq!(
        (roots[1].links[0].rel.clone(), roots[1].links[0].span_id),
        (Relation::CausedBy, roots[0].span_id)
    );
}

#[tokio::test]
async fn a_workflow_without_a_key_stays_in_the_callers_trace_and_a_child_has_its_own() {
    let (throughline, store) = open();
    let other = throughline.clone();
    let run = throughline.workflow("outer").run_infallible(|ctx| async move {
        other.workflow("part").run_infallible(|_| async {}).await.unwrap();
        ctx.child_workflow("child").run_infallible(|_| async {}).await.unwrap();
    });
    run.await.unwrap();
    let events = store.events();
    let start = |workflow: &str| {
        let mut starts = events.iter().filter(|event| event.event_type == names::WORKFLOW_STARTED);
        starts.find(|event| event.workflow.as_deref() == Some(workflow)).unwrap()
    };
    let (outer, part, child) = (start("outer"), start("part"), start("child"));
    assert_eq!((part.trace_id, part.parent_span_id), (outer.trace_id, Some(outer.span_id)));
    assert_ne!(child.trace_id, outer.trace_id);
    assert_eq!((child.parent_trace_id, child.parent_span_id), (Some(outer.trace_id), Some(outer.span_id)));
}

#[tokio::test]
async fn a_dropped_step_is_cancelled_and_its_children_before_it() {
    let (throughline, store) = open();
    let running = Arc::new(Notify::new());
    let notify = Arc::clone(&running);
    let task = tokio::spawn(throughline.workflow("test").run_infallible(|ctx| async move {
        ctx.step("stage:outer")
            .run_infallible(|ctx| async move {
                let hang = async {
                    notify.notify_one();
                    pending::<()>().await;
                };
                ctx.trace_infallible("stage:inner", hang).await
            })
            .await
            .unwrap()
            .unwrap();
    }));
    running.notified().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let report = throughline.flush(Duration::from_secs(5)).await;
    assert!(report.is_complete(), "{report}");
    let events = store.events();
    let cancelled: Vec<_> =
        events.iter().filter(|e| e.status == Status::Cancelled).map(|e| e.event_type.as_str()).collect();
    assert_eq!(cancelled, ["stage:inner", "stage:outer", names::WORKFLOW_CANCELLED]);
}

#[tokio::test]
async fn a_panic_is_recorded_as_failed_and_goes_on() {
    let (throughline, store) = open();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        ctx.trace_infallible("stage:score", async { panic!("no score for you") }).await.unwrap();
    });
    let panicked = tokio::spawn(run).await.unwrap_err().into_panic();
    assert_eq!(panicked.downcast_ref::<&str>(), Some(&"no score for you"));
    let events = store.events();
    for event_type in ["stage:score", names::WORKFLOW_FAILED] {
        let error =
            events.iter().rfind(|event| event.event_type == event_type).unwrap().error.clone().unwrap();
        assert_eq!((error.kind.as_str(), error.message.as_str()), ("panic", "no score for you"));
    }
}

#[test]
fn a_run_works_without_any_runtime_and_on_a_current_thread_one() {
    let run = |executor: fn(BoxFuture<'static, ()>)| {
        executor(Box::pin(async {
            let (throughline, store) = open();
            let run = throughline.workflow("test").run_infallible(|ctx| async move {
                ctx.trace_infallible("stage:a", async {}).await.unwrap();
            });
            run.await.unwrap();
            assert!(throughline.shutdown(Duration::from_secs(5)).await.is_complete());
            assert_eq!(store.events().len(), 4);
        }));
    };
    run(futures_executor);
    run(|future| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future));
    run(|future| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(future);
    });
}

/// An executor that is no runtime at all: a thread that parks.
fn futures_executor(mut future: BoxFuture<'static, ()>) {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    while future.as_mut().poll(&mut cx).is_pending() {
        std::thread::park();
    }
}

#[tokio::test]
async fn an_emitter_that_is_off_runs_everything_and_records_nothing() {
    let throughline = Throughline::builder("test").disabled(true).build().unwrap();
    let run = throughline.workflow("test").key("loan-42").run(|ctx| async move {
        ctx.trace_infallible("stage:a", async {}).await?;
        let saga = ctx.saga("saga").run(|saga| async move {
            let step = saga.step("stage:b").input(7).compensate(|_, _| async { Ok::<_, NotRecorded>(()) });
            step.run(|input, ctx| async move { ctx.step("stage:c").run(|_| async move { Ok(input) }).await? })
                .await?
        });
        saga.await?.map_err(SagaFailed::<NotRecorded>::into_error)
    });
    assert_eq!(run.await.unwrap().unwrap(), 7);
    assert!(throughline.delivery_report().destinations.is_empty());
}

#[tokio::test]
async fn a_context_crosses_into_another_process_as_headers() {
    let (throughline, store) = open();
    let run = throughline.workflow("producer").key("loan-42").run_infallible(|ctx| async move {
        ctx.trace_infallible("stage:enqueue", async {
            let sent = TraceContext::current().unwrap().propagation();
            let parent = sent.traceparent.map(|parent| parent.to_string());
            (parent, sent.tracestate.clone(), sent.baggage_header())
        })
        .await
        .unwrap()
    });
    let (parent, state, baggage) = run.await.unwrap();
    let context = Propagation::from_headers(parent.as_deref(), state.as_deref(), baggage.as_deref());
    throughline.workflow("consumer").continue_from(context).run_infallible(|_| async {}).await.unwrap();
    let events = store.events();
    let consumer = events.iter().find(|event| event.workflow.as_deref() == Some("consumer")).unwrap();
    let enqueue = started(&events, "stage:enqueue");
    assert_eq!((consumer.trace_id, consumer.parent_span_id), (enqueue.trace_id, Some(enqueue.span_id)));
    assert!(consumer.is_root() && consumer.has_tag(names::tags::REMOTE_PARENT));
    assert_eq!(consumer.correlation_id.as_deref(), Some("loan-42"));
}

#[tokio::test]
async fn ctx_methods_give_futures_that_can_be_spawned() {
    fn spawnable<T: Send + 'static>(value: T) -> T {
        value
    }
    let (throughline, _store) = open();
    let ctx = throughline.request("test").open().context().clone();
    let step = spawnable(ctx.trace("stage:a", async { Ok::<_, Never>(()) }));
    let event = spawnable(ctx.event("b", json!({})).into_future());
    let saga = spawnable(ctx.saga("c").run(|_saga| async { Ok::<_, Never>(()) }));
    drop(ctx);
    step.await.unwrap().unwrap();
    event.await.unwrap();
    saga.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_dependency_is_named_by_kind_and_target() {
    let events = record(|ctx| async move {
        let call = ctx.dependency("db", "postgres", async { Err::<(), _>("too many connections") });
        assert_eq!(call.await.unwrap(), Err("too many connections"));
    })
    .await;
    let end = ended(&events, "dependency:db");
    assert_eq!((end.attrs.get("dependency"), end.status), (Some("postgres"), Status::Failed));
    assert!(end.has_tag(names::tags::DEPENDENCY));
}

#[test]
fn nonsense_is_refused_at_build_with_the_way_to_fix_it() {
    let error = |builder: throughline_core::ThroughlineBuilder| builder.build().unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            error(Throughline::builder("service")),
            error(Throughline::builder(" ").store(MemoryStore::new())),
            error(Throughline::builder("service").store(MemoryStore::new()).queue_capacity(0)),
        ]
        .join("\n"),
        @r#"
    nothing would be recorded: add .store(..), .feed(..), .sink(..) or .metrics(..), or say .disabled(true)
    the service has no name: give one, as in Throughline::builder("loan-service")
    queue_capacity must be between 1 and 2305843009213693951, got 0
    "#
    );
}

/// Something with methods that borrow it.
struct Bank;

impl Bank {
    async fn reserve(&self, amount: u64) -> Result<u64, Never> {
        Ok(amount)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_whose_closures_borrow_can_be_spawned() {
    let (throughline, _) = open();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        let bank = Bank;
        let reserved = tokio::spawn(async move {
            let bank = &bank;
            let by_closure = ctx.step("stage:a").run(|_| bank.reserve(1)).await.unwrap().unwrap();
            let by_block =
                ctx.step("stage:b").run(|_| async { bank.reserve(2).await }).await.unwrap().unwrap();
            let alone = ctx.trace("stage:c", bank.reserve(3)).await.unwrap().unwrap();
            by_closure + by_block + alone
        });
        assert_eq!(reserved.await.unwrap(), 6);
    });
    run.await.unwrap();
}
