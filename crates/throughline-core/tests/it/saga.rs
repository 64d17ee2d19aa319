//! Sagas: what is undone, in which order, and what an interrupted run can still do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_core::{
    CompensationOutcome, MemoryStore, NotRecorded, Relation, RunState, Saga, Status, Throughline, TraceEvent,
    TraceId, names,
};

use crate::support::{ended, open, started, trace_of};

#[derive(Debug, thiserror::Error)]
enum LoanError {
    #[error("{0}")]
    Refused(&'static str),
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

/// What was undone, in order.
#[derive(Clone, Default)]
struct Undone(Arc<Mutex<Vec<u32>>>);

impl Undone {
    fn seen(&self) -> Vec<u32> {
        self.0.lock().unwrap().clone()
    }
}

/// A step that succeeds, and whose compensation notes its input; input 13 can't be undone, input 99 panics.
async fn reserve(saga: &Saga, name: &'static str, input: u32, undone: &Undone) -> Result<u32, LoanError> {
    let undone = undone.clone();
    saga.step(name)
        .input(input)
        .resource(format!("r-{input}"))
        .compensate(move |input, ctx| async move {
            ctx.trace_infallible("stage:inside-undo", async {}).await?;
            match input {
                13 => Err(LoanError::Refused("the ledger is closed")),
                99 => panic!("undo panicked"),
                input => {
                    undone.0.lock().unwrap().push(input);
                    Ok(())
                }
            }
        })
        .run(|input, _ctx| async move { Ok(input * 2) })
        .await?
}

fn compensations(events: &[TraceEvent]) -> Vec<(String, Status)> {
    let ends = events.iter().filter(|e| e.has_tag(names::tags::COMPENSATION) && e.status != Status::Pending);
    ends.map(|event| (event.event_type.to_string(), event.status)).collect()
}

#[tokio::test]
async fn a_failed_saga_undoes_its_steps_in_reverse_and_says_what_is_orphaned() {
    let (throughline, store) = open();
    let undone = Undone::default();
    let log = undone.clone();
    let run = throughline.workflow("loan").run(|ctx| async move {
        ctx.saga("loan-approval")
            .run(|saga| async move {
                assert_eq!(reserve(&saga, "stage:a", 1, &log).await?, 2);
                reserve(&saga, "stage:b", 13, &log).await?;
                reserve(&saga, "stage:c", 99, &log).await?;
                reserve(&saga, "stage:d", 4, &log).await?;
                saga.trace("stage:pay-out", async { Err::<(), _>(LoanError::Refused("no funds")) }).await?
            })
            .await
            .unwrap()
    });
    let failed: throughline_core::SagaFailed<LoanError> = run.await.unwrap().unwrap_err();
    assert_eq!(failed.to_string(), "the saga failed; 2 of 4 steps were undone");
    assert_eq!(undone.seen(), [4, 1]);
    let orphaned: Vec<_> = failed.orphaned().map(|step| step.resource.as_deref()).collect();
    assert_eq!(orphaned, [Some("r-99"), Some("r-13")]);

    let events = store.events();
    assert_eq!(
        compensations(&events),
        [
            ("compensate:d".to_owned(), Status::Success),
            ("compensate:c".to_owned(), Status::Failed),
            ("compensate:b".to_owned(), Status::Failed),
            ("compensate:a".to_owned(), Status::Success),
        ]
    );
    let undo = started(&events, "compensate:d");
    assert_eq!(
        (undo.links[0].rel.clone(), undo.links[0].span_id),
        (Relation::Compensates, started(&events, "stage:d").span_id)
    );
    assert_eq!(undo.attrs.get(names::attrs::RESOURCE), Some("r-4"));
    let saga = ended(&events, names::SAGA_FAILED);
    assert_eq!(saga.error.unwrap().kind, "LoanError::Refused");
    assert_eq!(started(&events, names::SAGA_COMPENSATING).parent_span_id, Some(saga.span_id));
    assert!(ended(&events, "stage:d").has_tag(names::tags::COMPENSABLE));
}

#[tokio::test]
async fn a_saga_that_ends_well_undoes_nothing() {
    let (throughline, store) = open();
    let undone = Undone::default();
    let log = undone.clone();
    let run = throughline.workflow("loan").run(|ctx| async move {
        let saga = ctx.saga("loan-approval").steps(1);
        saga.run(|saga| async move { reserve(&saga, "stage:a", 1, &log).await }).await.unwrap()
    });
    assert_eq!(run.await.unwrap().unwrap(), 2);
    assert!(undone.seen().is_empty());
    assert_eq!(ended(&store.events(), names::SAGA_COMPLETED).status, Status::Success);
    assert_eq!(started(&store.events(), "stage:a").step_total, Some(1));
}

#[tokio::test]
async fn a_panic_in_a_saga_undoes_its_steps_and_goes_on() {
    let (throughline, store) = open();
    let undone = Undone::default();
    let log = undone.clone();
    let run = throughline.workflow("loan").run(|ctx| async move {
        ctx.saga("loan-approval")
            .run(|saga| async move {
                reserve(&saga, "stage:a", 1, &log).await?;
                saga.trace_infallible("stage:score", async { panic!("out of range") }).await?;
                Ok::<(), LoanError>(())
            })
            .await
            .unwrap()
    });
    assert!(tokio::spawn(run).await.unwrap_err().is_panic());
    assert_eq!(undone.seen(), [1]);
    assert_eq!(ended(&store.events(), names::SAGA_FAILED).error.unwrap().kind, "panic");
}

#[tokio::test]
async fn parallel_steps_are_undone_in_the_reverse_of_their_ends() {
    let (throughline, _store) = open();
    let undone = Undone::default();
    let log = undone.clone();
    let run = throughline.workflow("loan").run(|ctx| async move {
        ctx.saga("loan-approval")
            .run(|saga| async move {
                let (a, b) =
                    tokio::join!(reserve(&saga, "stage:a", 1, &log), reserve(&saga, "stage:b", 2, &log));
                a?;
                b?;
                reserve(&saga, "stage:c", 3, &log).await?;
                Err::<(), _>(LoanError::Refused("no"))
            })
            .await
            .unwrap()
    });
    assert!(run.await.unwrap().unwrap_err().is_undone());
    let seen = undone.seen();
    assert_eq!(seen[0], 3);
    assert_eq!(seen.len(), 3);
}

/// The life of a process that dies in the middle of a saga: its emitter goes without an end of anything.
async fn die_in_saga(store: &MemoryStore, while_undoing: bool) -> TraceId {
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let dying = Arc::new(tokio::sync::Notify::new());
    let (notify, log) = (Arc::clone(&dying), Undone::default());
    let run = throughline.workflow("loan").key("loan-42").attr("tenant", "acme").run(|ctx| async move {
        ctx.saga("loan-approval")
            .run(|saga| async move {
                reserve(&saga, "stage:a", 1, &log).await?;
                reserve(&saga, "stage:b", 2, &log).await?;
                if while_undoing {
                    let hang = saga.step("stage:hang").input(()).compensate(move |(), _| async move {
                        notify.notify_one();
                        std::future::pending::<Result<(), LoanError>>().await
                    });
                    hang.run(|(), _| async { Ok::<_, LoanError>(()) }).await??;
                    return Err(LoanError::Refused("no"));
                }
                notify.notify_one();
                std::future::pending::<()>().await;
                Ok(())
            })
            .await
            .unwrap()
    });
    let run = Box::pin(run);
    tokio::select! {
        _ = async { let run = run; let mut run = std::mem::ManuallyDrop::new(run); (&mut *run).await } => unreachable!(),
        () = dying.notified() => {}
    }
    // The future is leaked above, as a killed process would leave it: nothing is cancelled. The lease goes.
    throughline.shutdown(Duration::from_secs(5)).await;
    trace_of(store, "loan-42")
}

#[tokio::test]
async fn a_resumed_saga_recovers_what_ended_well_and_undoes_it_if_it_fails() {
    let store = MemoryStore::new();
    let trace_id = die_in_saga(&store, false).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let reader = throughline.reader().unwrap();
    assert_eq!(reader.run(trace_id).await.unwrap().unwrap().state, RunState::Interrupted);

    let undone = Undone::default();
    let log = undone.clone();
    let run = throughline.resume(trace_id).run(|ctx| async move {
        assert!(ctx.completed_before("stage:a") && !ctx.completed_before("stage:c"));
        assert_eq!(ctx.attrs().get("tenant"), Some("acme"));
        ctx.saga("loan-approval")
            .run(|saga| async move {
                let undo = log.clone();
                let a = saga
                    .step("stage:a")
                    .input(1)
                    .compensate(move |input, _| async move {
                        undo.0.lock().unwrap().push(input);
                        Ok::<_, LoanError>(())
                    })
                    .run_or_recover(
                        |_, _| async { panic!("it ended well before") },
                        |input| async move { Ok::<_, LoanError>(input * 2) },
                    )
                    .await??;
                assert_eq!(a, 2);
                reserve(&saga, "stage:b", 2, &log).await?;
                Err::<(), _>(LoanError::Refused("no"))
            })
            .await
            .unwrap()
    });
    let failed = run.await.unwrap().unwrap_err();
    assert!(failed.is_undone(), "{failed}");
    assert_eq!(undone.seen(), [2, 1]);

    let events = store.trace(trace_id);
    let a = started(&events, "stage:a");
    assert_eq!(started(&events, "compensate:a").links[0].span_id, a.span_id);
    // What was run again is a second attempt, and its compensation undoes both.
    let b: Vec<_> = events.iter().filter(|event| event.event_type == "stage:b" && event.seq == 0).collect();
    assert_eq!(
        (b[1].attempt, b[1].links[0].rel.clone(), b[1].links[0].span_id),
        (Some(2), Relation::RetryOf, b[0].span_id)
    );
    let undo_b: Vec<_> = started(&events, "compensate:b").links.iter().map(|link| link.span_id).collect();
    assert_eq!(undo_b, [b[1].span_id, b[0].span_id]);
    // One root and one saga, each with its resumption.
    let root: Vec<_> = events
        .iter()
        .filter(|event| event.is_root())
        .map(|event| (event.event_type.as_str(), event.seq))
        .collect();
    assert_eq!(
        root,
        [(names::WORKFLOW_STARTED, 0), (names::WORKFLOW_RESUMED, 1), (names::WORKFLOW_FAILED, 2)]
    );
    assert_eq!(started(&events, names::SAGA_RESUMED).span_id, started(&events, names::SAGA_STARTED).span_id);
    assert_eq!(reader.run(trace_id).await.unwrap().unwrap().state, RunState::Failed);
}

#[tokio::test]
async fn a_saga_that_died_while_it_was_undone_is_undone_to_the_end() {
    let store = MemoryStore::new();
    let trace_id = die_in_saga(&store, true).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let resumed = throughline.resume(trace_id).run(|_| async { Ok::<_, NotRecorded>(()) }).await;
    let refused = resumed.unwrap_err();
    assert!(
        matches!(&refused, NotRecorded::BeingUndone { saga, .. } if saga == "loan-approval"),
        "{refused}"
    );
    let again =
        throughline.workflow("loan").key("loan-42").run_or_resume(|_| async { Ok::<_, NotRecorded>(()) });
    assert!(matches!(again.await, Err(NotRecorded::BeingUndone { .. })));
    let unknown = throughline.undo(trace_id, "loan-approval");
    let unknown = unknown.step("stage:zzz", (), |(), _| async { Ok::<_, LoanError>(()) });
    insta::assert_snapshot!(unknown.run().await.unwrap_err(), @"nothing was undone: none of the names that were given is that of a step of the saga `loan-approval` which has to be undone, such as `stage:a`");

    let undone = Undone::default();
    let log = undone.clone();
    let undo = move |input: u32, _| {
        let log = log.clone();
        async move {
            log.0.lock().unwrap().push(input);
            Ok::<_, LoanError>(())
        }
    };
    let undoing = || {
        let of = throughline.undo(trace_id, "loan-approval");
        of.step("stage:a", 1, undo.clone()).step("stage:b", 2, undo.clone())
    };
    let failed = undoing().run().await.unwrap();
    assert_eq!(undone.seen(), [2, 1]);
    // The step whose compensation was cut off was not named again, and is reported all the same.
    let left: Vec<_> = failed.orphaned().map(|step| (step.step.as_str(), step.outcome.clone())).collect();
    assert_eq!(left, [("stage:hang", CompensationOutcome::NotRegistered)]);
    let state = async || throughline.reader().unwrap().run(trace_id).await.unwrap().unwrap().state;
    assert_eq!(state().await, RunState::Interrupted, "that one stands");
    let rest = undoing().step("stage:hang", (), |(), _| async { Ok::<_, LoanError>(()) });
    assert!(rest.run().await.unwrap().is_undone());
    assert_eq!(undone.seen(), [2, 1]);
    assert_eq!(state().await, RunState::Failed);
    assert_eq!(ended(&store.trace(trace_id), names::WORKFLOW_FAILED).error.unwrap().kind, "interrupted");
}

#[tokio::test]
async fn what_cannot_be_resumed_is_refused_with_the_reason() {
    let (throughline, _store) = open();
    let resume = |id| throughline.resume(id).run(|_| async { Ok::<_, NotRecorded>(()) });
    let unknown = TraceId::from_key("nobody");
    assert!(matches!(resume(unknown).await, Err(NotRecorded::NoSuchRun(id)) if id == unknown));

    let ended =
        throughline.workflow("test").run_infallible(|ctx| async move { ctx.trace_id() }).await.unwrap();
    assert!(matches!(resume(ended).await, Err(NotRecorded::HasEnded { state: RunState::Succeeded, .. })));

    let run = throughline.workflow("test").run_infallible(|ctx| async move { resume(ctx.trace_id()).await });
    assert!(matches!(run.await.unwrap(), Err(NotRecorded::AtWork { .. })));
}

#[tokio::test]
async fn what_ended_well_before_a_crash_is_undone_even_if_its_next_attempt_fails() {
    let store = MemoryStore::new();
    let trace_id = die_in_saga(&store, false).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let undone = Undone::default();
    let log = undone.clone();
    let run = throughline.resume(trace_id).run(|ctx| async move {
        ctx.saga("loan-approval")
            .run(|saga| async move {
                let step = saga.step("stage:a").input(1).compensate(move |input, _| async move {
                    log.0.lock().unwrap().push(input);
                    Ok::<_, LoanError>(())
                });
                step.run(|_, _| async { Err::<(), _>(LoanError::Refused("not again")) }).await?
            })
            .await
            .unwrap()
    });
    run.await.unwrap().unwrap_err();
    assert_eq!(undone.seen(), [1]);
    let events = store.trace(trace_id);
    assert_eq!(started(&events, "compensate:a").links[0].span_id, started(&events, "stage:a").span_id);
}
