//! What a reviewer who wanted to break runs, keys, resumption and sagas tried.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_core::testing::FaultyStore;
use throughline_core::{
    InContext, Instance, InstanceId, MemoryStore, NotRecorded, OnCancel, Relation, RunState, Saga,
    StoreConfig, Throughline, TraceContext, TraceEvent, TraceId,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::support::{open, start_endless, trace_of};

const SOON: Duration = Duration::from_secs(60);

/// What was undone, in order.
#[derive(Clone, Default)]
struct Undone(Arc<Mutex<Vec<&'static str>>>);

impl Undone {
    fn add(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn seen(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }

    /// A step that succeeded and can be undone.
    async fn step(&self, saga: &Saga, name: &'static str, what: &'static str) {
        let undone = self.clone();
        let step = saga.step(name).input(what).compensate(move |what, _| async move {
            undone.add(what);
            Ok::<_, NotRecorded>(())
        });
        step.run(|_, _| async { Ok::<_, NotRecorded>(()) }).await.unwrap().unwrap();
    }
}

fn emitter(store: &MemoryStore) -> Throughline {
    Throughline::builder("test").store(store.clone()).build().unwrap()
}

async fn state(throughline: &Throughline, run: TraceId) -> RunState {
    throughline.reader().unwrap().run(run).await.unwrap().unwrap().state
}

/// What this emitter left open is interrupted from now on.
fn die(store: &MemoryStore, run: TraceId) {
    store.abandon(store.trace(run).pop().unwrap().instance);
}

/// A process that does this in a run, and dies where it hangs.
async fn die_in<F: Future<Output = ()> + Send + 'static>(
    store: &MemoryStore,
    body: impl FnOnce(TraceContext, oneshot::Sender<()>) -> F + Send + 'static,
) -> TraceId {
    let throughline = emitter(store);
    let (hangs, hung) = oneshot::channel();
    let run = throughline.workflow("loan").key("loan-42").steps(3);
    tokio::spawn(run.run_infallible(|ctx| body(ctx, hangs)));
    hung.await.unwrap();
    let run = trace_of(store, "loan-42");
    die(store, run);
    run
}

/// Resumes a run with this, in a process that dies where it hangs.
async fn die_again_in<F: Future<Output = ()> + Send + 'static>(
    store: &MemoryStore,
    run: TraceId,
    body: impl FnOnce(TraceContext, oneshot::Sender<()>) -> F + Send + 'static,
) {
    let throughline = emitter(store);
    let (hangs, hung) = oneshot::channel();
    tokio::spawn(throughline.resume(run).run(|ctx| async move {
        body(ctx, hangs).await;
        Ok::<_, String>(())
    }));
    hung.await.unwrap();
    die(store, run);
}

async fn hang(hangs: oneshot::Sender<()>) {
    hangs.send(()).unwrap();
    pending::<()>().await;
}

/// Name, number and attempt of each step that was started.
fn starts<'e>(events: &'e [TraceEvent], name: &str) -> Vec<(&'e str, Option<u32>, Option<u32>)> {
    let starts = events.iter().filter(|event| event.seq == 0 && event.event_type.starts_with(name));
    starts.map(|start| (start.event_type.as_str(), start.step_index, start.attempt)).collect()
}

#[test]
fn a_saga_whose_runtime_ends_can_be_undone_while_the_process_lives() {
    let (throughline, store) = open();
    let undone = Undone::default();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ends = runtime();
    let (hangs, hung) = oneshot::channel();
    let inside = undone.clone();
    ends.spawn(throughline.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
        let saga = ctx.saga("approval").run(|saga| async move {
            inside.step(&saga, "stage:a", "a").await;
            hang(hangs).await;
            Ok::<_, NotRecorded>(())
        });
        saga.await.unwrap().unwrap();
    }));
    ends.block_on(hung).unwrap();
    drop(ends);
    assert_eq!(undone.seen(), [""; 0]);
    runtime().block_on(async {
        let run = trace_of(&store, "loan-42");
        assert_eq!(state(&throughline, run).await, RunState::Interrupted);
        let again = undone.clone();
        let undoing = throughline.undo(run, "approval").step("stage:a", "a", move |what, _| async move {
            again.add(what);
            Ok::<_, NotRecorded>(())
        });
        assert!(undoing.run().await.unwrap().is_undone());
    });
    assert_eq!(undone.seen(), ["a"]);
}

#[tokio::test]
async fn of_steps_of_one_name_each_is_undone_with_its_own_input_also_the_second_time() {
    let (throughline, store) = open();
    let undone = Undone::default();
    let inside = undone.clone();
    let run = throughline.workflow("loan").key("loan-42").run(|ctx| async move {
        let saga = ctx.saga("approval").run(|saga| async move {
            for what in ["a", "b", "c"] {
                let undone = inside.clone();
                let step = saga.step("stage:reserve").input(what).compensate(move |what, _| async move {
                    if what == "b" {
                        return Err("it is stuck");
                    }
                    undone.add(what);
                    Ok(())
                });
                step.run(|_, _| async { Ok::<_, NotRecorded>(()) }).await.unwrap().unwrap();
            }
            Err::<(), _>("no funds")
        });
        saga.await.unwrap()
    });
    run.await.unwrap().unwrap_err();
    assert_eq!(undone.seen(), ["c", "a"]);
    let mut undoing = throughline.undo(trace_of(&store, "loan-42"), "approval");
    for what in ["a", "b", "c"] {
        let undone = undone.clone();
        undoing = undoing.step("stage:reserve", what, move |what, _| async move {
            undone.add(what);
            Ok::<_, NotRecorded>(())
        });
    }
    assert!(undoing.run().await.unwrap().is_undone());
    assert_eq!(undone.seen(), ["c", "a", "b"]);
}

#[tokio::test]
async fn a_step_whose_name_is_redacted_is_known_again() {
    const NAME: &str = "stage:mail anna@example.com";
    let store = MemoryStore::new();
    let undone = Undone::default();
    let inside = undone.clone();
    let run = die_in(&store, |ctx, hangs| async move {
        let saga = ctx.saga("approval").run(|saga| async move {
            inside.step(&saga, NAME, "a").await;
            hang(hangs).await;
            Ok::<_, NotRecorded>(())
        });
        saga.await.unwrap().unwrap();
    })
    .await;
    assert!(store.trace(run).iter().all(|event| !event.event_type.contains("anna@")));
    let throughline = emitter(&store);
    let resumed = throughline
        .resume(run)
        .run(|ctx| async move { Err::<(), _>(ctx.completed_before(NAME).to_string()) });
    assert_eq!(resumed.await.unwrap().unwrap_err(), "true");
    // Its saga was not reached again.
    let undoing =
        throughline.undo(run, "approval").step(NAME, "a", |_, _| async { Ok::<_, NotRecorded>(()) });
    assert!(undoing.run().await.unwrap().is_undone());
}

#[tokio::test]
async fn the_steps_of_a_third_life_are_third_attempts() {
    let store = MemoryStore::new();
    let body = |ctx: TraceContext, hangs| async move {
        ctx.trace_infallible("stage:a", hang(hangs)).await.unwrap();
    };
    let run = die_in(&store, body).await;
    die_again_in(&store, run, body).await;
    die_again_in(&store, run, body).await;
    let events = store.trace(run);
    assert_eq!(
        starts(&events, "stage:a"),
        [("stage:a", Some(1), None), ("stage:a", Some(1), Some(2)), ("stage:a", Some(1), Some(3))]
    );
    let spans: Vec<_> = events.iter().filter(|event| event.event_type == "stage:a").collect();
    let link = &spans[2].links[0];
    assert_eq!((link.rel.clone(), link.span_id), (Relation::RetryOf, spans[1].span_id));
}

#[tokio::test]
async fn a_step_that_is_tried_several_times_goes_on_in_a_second_life() {
    let store = MemoryStore::new();
    let run = die_in(&store, |ctx, hangs| async move {
        ctx.trace_infallible("stage:a", async {}).await.unwrap();
        let mut hangs = Some(hangs);
        let step = ctx.step("stage:b").retry(3, |_, attempt| {
            let hangs = hangs.take_if(|_| attempt == 2);
            async move {
                if let Some(hangs) = hangs {
                    hang(hangs).await;
                }
                Err::<(), _>("busy")
            }
        });
        step.await.unwrap().unwrap_err();
    })
    .await;
    let throughline = emitter(&store);
    let resumed = throughline.resume(run).run(|ctx| async move {
        let step = ctx.step("stage:b").retry(2, |_, attempt| async move {
            match attempt {
                1 => Err("busy"),
                _ => Ok(()),
            }
        });
        step.await.unwrap().unwrap();
        ctx.trace_infallible("stage:c", async {}).await.unwrap();
        Ok::<_, String>(())
    });
    resumed.await.unwrap().unwrap();
    let events = store.trace(run);
    assert_eq!(
        starts(&events, "stage:"),
        [
            ("stage:a", Some(1), None),
            ("stage:b", Some(2), Some(1)),
            ("stage:b", None, Some(2)),
            ("stage:b", Some(2), Some(3)),
            ("stage:b", None, Some(4)),
            ("stage:c", Some(3), None),
        ]
    );
}

#[tokio::test]
async fn a_step_of_a_step_goes_on_in_a_second_life() {
    let store = MemoryStore::new();
    let run = die_in(&store, |ctx, hangs| async move {
        ctx.trace_infallible("stage:a", async {}).await.unwrap();
        let inner = ctx.step("stage:b").steps(1).run_infallible(|ctx| async move {
            ctx.trace_infallible("stage:b-1", hang(hangs)).await.unwrap();
        });
        inner.await.unwrap();
    })
    .await;
    let throughline = emitter(&store);
    let resumed = throughline.resume(run).run(|ctx| async move {
        let inner = ctx.step("stage:b").steps(1).run_infallible(|ctx| async move {
            ctx.trace_infallible("stage:b-1", async {}).await.unwrap();
        });
        inner.await.unwrap();
        Ok::<_, String>(())
    });
    resumed.await.unwrap().unwrap();
    assert_eq!(
        starts(&store.trace(run), "stage:b")[2..],
        [("stage:b", Some(2), Some(2)), ("stage:b-1", Some(1), Some(2))]
    );
}

#[tokio::test]
async fn a_keyless_workflow_within_a_run_goes_on_in_a_second_life() {
    let store = MemoryStore::new();
    let first = emitter(&store);
    let inner = first.clone();
    let (hangs, hung) = oneshot::channel();
    tokio::spawn(first.workflow("loan").key("loan-42").steps(2).run_infallible(|_| async move {
        let inner = inner.workflow("score").steps(1).run_infallible(|ctx| async move {
            ctx.trace_infallible("stage:b-1", hang(hangs)).await.unwrap();
        });
        inner.await.unwrap();
    }));
    hung.await.unwrap();
    let run = trace_of(&store, "loan-42");
    die(&store, run);
    let throughline = emitter(&store);
    let inner = throughline.clone();
    let resumed = throughline.resume(run).run(|ctx| async move {
        let inner = inner.workflow("score").steps(1).run_infallible(|ctx| async move {
            ctx.trace_infallible("stage:b-1", async {}).await.unwrap();
        });
        inner.await.unwrap();
        ctx.trace_infallible("stage:c", async {}).await.unwrap();
        Ok::<_, String>(())
    });
    resumed.await.unwrap().unwrap();
    let events = store.trace(run);
    assert_eq!(
        starts(&events, "stage:"),
        [("stage:b-1", Some(1), None), ("stage:b-1", Some(1), Some(2)), ("stage:c", Some(2), None)]
    );
    assert!(throughline.query(run).await.unwrap().problems().is_empty());
}

#[tokio::test]
async fn work_starts_although_the_run_before_it_can_not_be_closed() {
    let store = MemoryStore::new();
    let first = emitter(&store);
    let before = start_endless(&first, "loan-42").await;
    die(&store, before);
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).build().unwrap();
    faults.claim().hold();
    let run = throughline.workflow("loan").key("loan-42").run_infallible(|_| async {});
    timeout(Duration::from_secs(6), run).await.expect("it waits for two seconds at most").unwrap();
    faults.claim().release();
}

#[tokio::test]
async fn a_unique_run_does_not_start_beside_one_that_is_about_to_be_resumed() {
    let store = MemoryStore::new();
    let first = emitter(&store);
    let before = start_endless(&first, "loan-42").await;
    die(&store, before);
    // Another process has the claim, and has not said yet that it resumes the run.
    let other = InstanceId::random();
    let claims = StoreConfig::open(&store, Instance::new(other, "test")).await.unwrap();
    claims.claim(before).await.unwrap();
    let throughline = emitter(&store);
    let run = throughline.workflow("loan").key("loan-42").unique().run_infallible(|_| async {});
    match timeout(SOON, run).await.unwrap() {
        Err(NotRecorded::AtWork { trace_id, instance }) => assert_eq!((trace_id, instance), (before, other)),
        started => panic!("{started:?}"),
    }
}

#[tokio::test]
async fn a_saga_that_goes_on_after_its_request_has_ended_is_not_undone_by_others() {
    let (throughline, store) = open();
    let undone = Undone::default();
    let inside = undone.clone();
    let (hangs, hung) = oneshot::channel();
    let run = throughline.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
        let saga = ctx.saga("approval").run(|saga| async move {
            inside.step(&saga, "stage:a", "a").await;
            hang(hangs).await;
            Ok::<_, NotRecorded>(())
        });
        tokio::spawn(saga.in_context(&ctx));
    });
    run.await.unwrap();
    hung.await.unwrap();
    let run = trace_of(&store, "loan-42");
    assert_eq!(state(&throughline, run).await, RunState::Succeeded);
    let other = emitter(&store);
    let again = undone.clone();
    let undoing = other.undo(run, "approval").step("stage:a", "a", move |what, _| async move {
        again.add(what);
        Ok::<_, NotRecorded>(())
    });
    let refused = undoing.run().await;
    assert!(matches!(refused, Err(NotRecorded::AtWork { .. })), "{refused:?}");
    assert_eq!(undone.seen(), [""; 0]);
}

#[tokio::test]
async fn a_saga_whose_dropping_panics_is_undone_all_the_same() {
    struct Bug;
    impl Drop for Bug {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("a bug of the workflow"));
            }
        }
    }
    let (throughline, store) = open();
    let undone = Undone::default();
    let inside = undone.clone();
    let (hangs, hung) = oneshot::channel();
    let dropped =
        tokio::spawn(throughline.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
            let saga = ctx.saga("approval").run(|saga| async move {
                inside.step(&saga, "stage:a", "a").await;
                let _bug = Bug;
                hang(hangs).await;
                Ok::<_, NotRecorded>(())
            });
            saga.await.unwrap().unwrap();
        }));
    hung.await.unwrap();
    dropped.abort();
    let _ = dropped.await;
    throughline.shutdown(SOON).await;
    assert_eq!(undone.seen(), ["a"]);
    let after = emitter(&store);
    assert_eq!(state(&after, trace_of(&store, "loan-42")).await, RunState::Cancelled);
}

#[tokio::test]
async fn what_a_run_left_open_by_choice_is_interrupted_only_once_it_has_ended() {
    let (throughline, store) = open();
    let undone = Undone::default();
    let inside = undone.clone();
    let own = throughline.clone();
    let run = throughline.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
        let (hangs, hung) = oneshot::channel();
        let saga = ctx.saga("approval").on_cancel(OnCancel::LeaveOpen).run(|saga| async move {
            inside.step(&saga, "stage:a", "a").await;
            hang(hangs).await;
            Ok::<_, NotRecorded>(())
        });
        tokio::select! {
            _ = saga => unreachable!(),
            hung = hung => hung.unwrap(),
        }
        state(&own, ctx.trace_id()).await
    });
    assert_eq!(run.await.unwrap(), RunState::Running);
    assert_eq!(state(&throughline, trace_of(&store, "loan-42")).await, RunState::Interrupted);
}

#[test]
fn what_a_dead_process_left_is_looked_through_in_no_time() {
    use throughline_core::{SpanId, Status, Timestamp};
    let run = TraceId::from_key("loan-42");
    let event = |at: u64, parent: Option<u64>, name: &'static str, status| {
        let span = SpanId::from_u64(at).unwrap();
        let mut event = TraceEvent::new(run, span, name, Timestamp::from_micros(at as i64), "test");
        event.parent_span_id = parent.and_then(SpanId::from_u64);
        event.status = status;
        event
    };
    let mut events = vec![event(1, None, "workflow:started", Status::Pending)];
    for saga in (2..8_000).step_by(2) {
        let mut started = event(saga, Some(1), "saga:started", Status::Pending);
        started.attrs = started.attrs.with("saga", "approval".to_owned());
        events.push(started);
        events.push(event(saga + 1, Some(saga), "stage:a", Status::Success));
    }
    let history = throughline_core::fold::History::of(&events);
    let before = std::time::Instant::now();
    assert!(!history.has_standing_steps());
    let took = before.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn what_is_resumed_undone_or_abandoned_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let (throughline, _store) = open();
    let run = TraceId::from_key("loan-42");
    let undo = |_: &str, _: TraceContext| async { Ok::<_, NotRecorded>(()) };
    is_send(throughline.workflow("a").key("b").once().run_or_resume(|_| async { Ok::<_, NotRecorded>(()) }));
    is_send(throughline.resume(run).run(|_| async { Ok::<_, NotRecorded>(()) }));
    is_send(throughline.undo(run, "a").step("b", "c", undo).run());
    is_send(throughline.abandon(run, "it is old"));
    is_send(throughline.shutdown(SOON));
}

#[tokio::test]
async fn two_sagas_of_one_name_go_on_in_a_second_life_each_in_its_own_span() {
    let store = MemoryStore::new();
    let run = die_in(&store, |ctx, hangs| async move {
        let outer = ctx.saga("item").run(|_| async {
            let inner = ctx.saga("item").run(|_| async {
                hang(hangs).await;
                Ok::<_, NotRecorded>(())
            });
            inner.await.unwrap().unwrap();
            Ok::<_, NotRecorded>(())
        });
        outer.await.unwrap().unwrap();
    })
    .await;
    let throughline = emitter(&store);
    let resumed = throughline.resume(run).run(|ctx| async move {
        for _ in 0..3 {
            let saga = ctx.saga("item").run(|saga| async move {
                saga.trace_infallible("stage:a", async {}).await?;
                Ok::<_, NotRecorded>(())
            });
            saga.await.unwrap().unwrap();
        }
        Ok::<_, String>(())
    });
    resumed.await.unwrap().unwrap();
    let events = store.trace(run);
    let of_type = |name: &str| events.iter().filter(|event| event.event_type == name).count();
    assert_eq!((of_type("saga:started"), of_type("saga:resumed"), of_type("saga:completed")), (3, 2, 3));
}

#[tokio::test]
async fn a_run_of_which_only_a_job_is_left_is_not_closed_as_failed() {
    let store = MemoryStore::new();
    let first = emitter(&store);
    let own = first.clone();
    let (hangs, hung) = oneshot::channel();
    let run = first.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
        let sent = ctx.propagation();
        let job = own.workflow("mail").event_type("job:mail").continue_from(sent).detached();
        tokio::spawn(job.run_infallible(|_| hang(hangs)));
        hung.await.unwrap();
    });
    run.await.unwrap();
    let before = trace_of(&store, "loan-42");
    store.abandon(store.trace(before)[0].instance);
    let throughline = emitter(&store);
    assert_eq!(state(&throughline, before).await, RunState::Interrupted);
    throughline.workflow("loan").key("loan-42").run_infallible(|_| async {}).await.unwrap();
    assert_eq!(state(&throughline, before).await, RunState::Interrupted);
}

#[tokio::test]
async fn a_run_that_is_abandoned_is_no_step_that_took_long() {
    let store = MemoryStore::new();
    let first = emitter(&store);
    let run = start_endless(&first, "loan-42").await;
    die(&store, run);
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let metrics = throughline_core::metrics::Metrics::to(recorder);
    let throughline = Throughline::builder("test").store(store.clone()).metrics(metrics).build().unwrap();
    throughline.abandon(run, "nobody needs it").await.unwrap();
    let series = seen.snapshot().into_vec();
    let labels = series.iter().flat_map(|(key, ..)| key.key().labels());
    assert!(!labels.into_iter().any(|label| label.value() == "workflow:abandoned"));
}

#[tokio::test]
async fn a_dropped_saga_does_not_wait_for_one_beside_it_that_hangs() {
    let (throughline, _store) = open();
    let undone = Undone::default();
    let inside = undone.clone();
    let run = throughline.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
        let stuck = |hangs| {
            ctx.saga("stuck").run(|saga| async move {
                let step = saga.step("stage:a").input(());
                let step = step.compensate(|(), _| pending::<Result<(), NotRecorded>>());
                step.run(|(), _| async { Ok::<_, NotRecorded>(()) }).await.unwrap().unwrap();
                hang(hangs).await;
                Ok::<_, NotRecorded>(())
            })
        };
        let other = |hangs| {
            ctx.saga("other").run(|saga| async move {
                inside.step(&saga, "stage:b", "b").await;
                hang(hangs).await;
                Ok::<_, NotRecorded>(())
            })
        };
        let (first, first_hangs) = oneshot::channel();
        tokio::select! {
            _ = stuck(first) => unreachable!(),
            hangs = first_hangs => hangs.unwrap(),
        }
        let (second, second_hangs) = oneshot::channel();
        tokio::select! {
            _ = other(second) => unreachable!(),
            hangs = second_hangs => hangs.unwrap(),
        }
    });
    run.await.unwrap();
    let is_undone = async {
        while undone.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), is_undone).await.expect("it is undone");
}
