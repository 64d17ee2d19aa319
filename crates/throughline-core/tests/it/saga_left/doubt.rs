//! Steps of which nobody knows whether they had their effect, and the errors of sagas.

use std::error::Error as _;
use std::future::pending;

use throughline_core::query::CompensationState::InDoubt;
use throughline_core::{BoxError, MemoryStore, NotRecorded, SagaFailed, names};
use tokio::sync::oneshot;

use super::*;
use crate::support::{ended, open, started};

#[tokio::test]
async fn a_step_that_is_undone_when_in_doubt_is_undone_however_it_did_not_succeed() {
    for how in ["fails", "panics", "is dropped"] {
        let (throughline, store) = open();
        let (world, (hangs, hung)) = (World::default(), oneshot::channel());
        let (put, undo) = (world.clone(), world.clone());
        let run = throughline.workflow("loan").run_infallible(|ctx| async move {
            let saga = ctx.saga("loan-approval").run(|saga| async move {
                let step = saga.step("stage:charge").input("c-9").compensate_when_in_doubt();
                let step = step.compensate(move |what, _| async move {
                    undo.remove(what);
                    Ok::<_, NotRecorded>(())
                });
                step.run(|what, _| async move {
                    put.put(what);
                    match how {
                        "fails" => Err("no answer"),
                        "panics" => panic!("no answer"),
                        _ => {
                            hangs.send(()).unwrap();
                            pending().await
                        }
                    }
                })
                .await
                .unwrap()
            });
            let _: Result<(), _> = saga.await.unwrap();
        });
        let run = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(run));
        tokio::select! {
            biased;
            _ = hung, if how == "is dropped" => {}
            outcome = run => assert_eq!(outcome.is_err(), how == "panics"),
        }
        throughline.shutdown(SOON).await;
        assert_eq!(world.seen(), [""; 0], "{how}");
        let reader = MemoryStore::readers(&store).reader;
        let query = throughline_core::TraceQuery::read(&*reader, store.events()[0].trace_id).await.unwrap();
        assert!(query.compensation_ledger().is_clean(), "{how}: {:#?}", query.compensation_ledger());
        let undo = started(&store.events(), "compensate:charge");
        assert_eq!(undo.links[0].span_id, started(&store.events(), "stage:charge").span_id);
    }
}

#[tokio::test]
async fn the_error_of_a_saga_is_the_source_of_its_failure() {
    #[derive(Debug, thiserror::Error)]
    #[error("the bureau did not answer")]
    struct Bureau(#[source] std::io::Error);

    let (throughline, store) = open();
    let run = throughline.workflow("loan").run(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let step = saga.step("stage:a").input(()).compensate(|(), _| async { Ok::<_, NotRecorded>(()) });
            step.run(|(), _| async { Ok::<_, Bureau>(()) }).await.unwrap()?;
            Err::<(), _>(Bureau(std::io::Error::other("connection reset")))
        });
        saga.await.unwrap()
    });
    let failed = run.await.unwrap().unwrap_err();
    assert_eq!(failed.to_string(), "the saga failed; the one step before was undone");
    let source = failed.source().unwrap();
    assert!(source.is::<Bureau>());
    assert_eq!(source.source().unwrap().to_string(), "connection reset");
    let error = ended(&store.events(), names::WORKFLOW_FAILED).error.unwrap();
    assert_eq!(error.chain, ["the bureau did not answer", "connection reset"]);
    let cause = throughline.query(store.events()[0].trace_id).await.unwrap().explain().cause.unwrap();
    assert_eq!(cause.span.name, "saga:loan-approval");

    let boxed = SagaFailed::before_anything(BoxError::from("plain"));
    assert_eq!(
        (boxed.source().unwrap().to_string(), boxed.to_string()),
        ("plain".to_owned(), "the saga failed; nothing had to be undone".to_owned())
    );
    let text = SagaFailed::before_anything("no funds");
    assert!(text.source().is_none());
    assert_eq!(text.to_string(), "the saga failed: no funds; nothing had to be undone");
}

#[tokio::test]
async fn a_compensable_step_that_failed_is_in_doubt() {
    let (throughline, store) = open();
    let run = throughline.workflow("loan").run(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let step =
                saga.step("stage:charge").input("c-9").compensate(|_, _| async { Ok::<_, NotRecorded>(()) });
            step.run(|_, _| async { Err::<(), _>("timed out") }).await.unwrap()
        });
        saga.await.unwrap()
    });
    run.await.unwrap().unwrap_err();
    let run = store.events()[0].trace_id;
    assert_eq!(ledger(&throughline, run).await, entries([("stage:charge", InDoubt)]));
    assert!(!throughline.query(run).await.unwrap().compensation_ledger().is_clean());
}
