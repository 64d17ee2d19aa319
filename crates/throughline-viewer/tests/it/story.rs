//! The runs that the tests look at: a loan that was refused and not undone, and others beside it.

mod built;
mod sagas;

use std::time::Duration;

use serde_json::json;
use throughline_core::query::CompensationState;
use throughline_core::testing::{Faults, FaultyStore, MemorySpool};
use throughline_core::{
    AppendError, BoxError, MemoryFeed, MemoryStore, Redaction, Retry, SagaFailed, Throughline, TraceId,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::until;

pub(crate) use built::{
    HOSTILE, asked_run, beginning, called_run, events_of, failed_runs, large_run, patient_run,
    runs_that_stand_still, shipped_runs, short_run, tagged_runs, uneven_run,
};
pub(crate) use sagas::{endless_run, long_names, order_of_sagas};

#[derive(Debug, thiserror::Error)]
pub(crate) enum LoanError {
    #[error("the registry refuses the collateral")]
    CollateralRefused(#[source] RegistryError),
    #[error("the treasury has frozen the reservation")]
    ReservationFrozen,
    #[error(transparent)]
    Other(#[from] throughline_core::NotRecorded),
}

#[derive(Debug, thiserror::Error)]
#[error("no register is kept for a boat")]
pub(crate) struct RegistryError;

/// A service with a store and a feed.
pub(crate) fn service() -> Throughline {
    service_with(MemoryStore::new())
}

pub(crate) fn service_with(store: MemoryStore) -> Throughline {
    let redaction = Redaction::standard().pseudonym_key("only for these tests");
    Throughline::builder("loan-service")
        .store(store)
        .feed(MemoryFeed::new())
        .redaction(redaction)
        .build()
        .unwrap()
}

/// What a store says that is away.
pub(crate) fn away() -> AppendError {
    AppendError::Unavailable { reason: "the disk is gone".to_owned(), retry_after: None, source: None }
}

/// A service whose store is away when it is told to be, with an outbox.
pub(crate) fn service_with_outbox(outbox: MemorySpool) -> (Throughline, Faults) {
    let store = FaultyStore::around(MemoryStore::new());
    let faults = store.faults();
    let at_once = Retry::attempts(1).delays(Duration::from_millis(1), Duration::from_millis(1));
    let throughline = Throughline::builder("loan-service").store(store).spool(outbox).retry(at_once);
    (throughline.build().unwrap(), faults)
}

/// A loan whose collateral was refused after money had been reserved, which then could not be released.
pub(crate) async fn refused_loan(throughline: &Throughline, key: &str) -> TraceId {
    let mut id = None;
    let loan = throughline.workflow("loan-approval").key(key.to_owned()).run(|ctx| {
        id = Some(ctx.trace_id());
        async move {
            let saga = ctx.saga("loan-approval").steps(4);
            let outcome = saga.run(|saga| async move {
                saga.step("stage:open-file")
                    .input(json!({ "loan": "loan-1036", "note": "needle in the payload" }))
                    .resource("file loan-1036")
                    .compensate(|_, _| async { Ok::<_, LoanError>(()) })
                    .run(|_, _| async { Ok::<_, LoanError>(()) })
                    .await??;
                let decision = saga
                    .decision("ai:collateral")
                    .consider("unsecured", 0.38)
                    .consider("secured", 0.57)
                    .consider("manual-review", 0.05)
                    .choose("secured")
                    .reasoning("a loan of 1.2 incomes, bureau score 690, boat")
                    .confidence(0.57)
                    .decider("rules-7")
                    .await?;
                saga.step("stage:reserve-funds")
                    .input(json!({ "amount": 71_500 }))
                    .resource("reservation r-loan-1036")
                    .compensate(|_, _| async { Err::<(), _>(LoanError::ReservationFrozen) })
                    .run(|_, _| async { Ok::<_, LoanError>(()) })
                    .await??;
                saga.step("stage:register-collateral")
                    .input(json!({ "collateral": "boat" }))
                    .decided_by(&decision)
                    .run(|_, _| async { Err::<(), _>(LoanError::CollateralRefused(RegistryError)) })
                    .await??;
                Ok::<_, LoanError>(())
            });
            match outcome.await {
                Ok(outcome) => outcome,
                Err(not_started) => Err(SagaFailed::before_anything(not_started.into())),
            }
        }
    });
    loan.await.unwrap().unwrap_err();
    id.unwrap()
}

/// A loan that was granted, at the second attempt to ask the bureau.
pub(crate) async fn granted_loan(throughline: &Throughline, key: &str) -> TraceId {
    let mut id = None;
    let loan = throughline.workflow("loan-approval").key(key.to_owned()).run(|ctx| {
        id = Some(ctx.trace_id());
        async move {
            ctx.step("stage:credit-score")
                .retry(3, |_, attempt| async move {
                    if attempt == 1 {
                        Err::<(), BoxError>("the bureau did not answer".into())
                    } else {
                        Ok(())
                    }
                })
                .await?
        }
    });
    loan.await.unwrap().unwrap();
    id.unwrap()
}

/// A run that stays in a step until this is dropped.
pub(crate) struct Waiting {
    pub(crate) id: TraceId,
    task: JoinHandle<()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn waiting_loan(throughline: &Throughline, key: &str) -> Waiting {
    let (entered, in_step) = oneshot::channel();
    let loan = throughline.workflow("loan-approval").key(key.to_owned()).steps(4);
    let run = loan.run_infallible(|ctx| async move {
        let id = ctx.trace_id();
        let step = ctx.step("stage:manual-review").run_infallible(|_| async move {
            entered.send(id).unwrap();
            std::future::pending::<()>().await;
        });
        step.await.unwrap();
    });
    let task = tokio::spawn(async move { run.await.unwrap() });
    Waiting { id: in_step.await.unwrap(), task }
}

/// A loan whose manual review is quick.
pub(crate) async fn reviewed_loan(throughline: &Throughline, key: &str) {
    let run = throughline.workflow("loan-approval").key(key.to_owned()).run_infallible(|ctx| async move {
        ctx.step("stage:manual-review").run_infallible(|_| async {}).await.unwrap();
    });
    run.await.unwrap();
}

/// A loan that asks the bureau a second time, and waits before it does.
pub(crate) async fn retrying_loan(throughline: &Throughline, key: &str, wait: Duration) -> Waiting {
    let (entered, in_step) = oneshot::channel();
    let run = throughline.workflow("loan-approval").key(key.to_owned()).run(move |ctx| async move {
        let (id, mut entered) = (ctx.trace_id(), Some(entered));
        let asked = ctx.step("stage:credit-score").retry(3, |ctx, attempt| {
            let entered = if attempt == 2 { entered.take() } else { None };
            async move {
                let Some(entered) = entered else {
                    return Err::<(), BoxError>("the bureau did not answer".into());
                };
                ctx.retry_in(wait).await?;
                entered.send(id).unwrap();
                std::future::pending().await
            }
        });
        asked.await?
    });
    let task = tokio::spawn(async move { run.await.unwrap().unwrap() });
    Waiting { id: in_step.await.unwrap(), task }
}

/// An order that began a bill of its own, which was declined; first the order, then the bill.
pub(crate) async fn order_with_bill(throughline: &Throughline) -> [TraceId; 2] {
    let (mut order, mut bill) = (None, None);
    let run = throughline.workflow("order").key("order-7").input(&json!({ "items": 3 })).run(|ctx| {
        order = Some(ctx.trace_id());
        let bill = &mut bill;
        async move {
            let billing = ctx.step("stage:bill").run(|ctx| async move {
                let run = ctx.child_workflow("billing").key("bill-7").run(|ctx| {
                    *bill = Some(ctx.trace_id());
                    async move {
                        ctx.step("stage:charge")
                            .run(|_| async { Err::<(), BoxError>("the card was declined".into()) })
                            .await?
                    }
                });
                run.await?
            });
            billing.await?
        }
    });
    run.await.unwrap().unwrap_err();
    [order.unwrap(), bill.unwrap()]
}

/// Writes to a file what a service logs in a loan that was refused: a line of the run, one of the step that failed, a hostile one, and
/// one of another run.
pub(crate) async fn log_of(throughline: &Throughline, run: TraceId, folder: &std::path::Path) {
    let events = throughline.reader().unwrap().trace(run).await.unwrap();
    let step = events.iter().find(|event| event.event_type == "stage:register-collateral").unwrap();
    let at = step.timestamp;
    let line = |level: &str, message: &str, run: TraceId, more: serde_json::Value| {
        let mut line = json!({
            "timestamp": at.to_string(), "level": level, "message": message, "service": "loan-service",
            "target": "loans::registry", "trace_id": run.to_string(),
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    };
    let error = json!({ "type": "Refused", "message": "mail from ada@example.org", "chain": [HOSTILE] });
    let of_step = json!({ "span_id": step.span_id.to_string(), "error": error, "metadata": { "tries": 3 } });
    let lines = [
        line("info", "the file is open", run, json!({})),
        line("error", "the registry answered", run, of_step),
        line("debug", HOSTILE, run, json!({ "metadata": { HOSTILE: HOSTILE } })),
        line("error", "of another run", TraceId::random(), json!({})),
    ];
    std::fs::write(folder.join("loans.2026-03-01.jsonl"), lines.join("\n") + "\n").unwrap();
}

/// A loan that was dropped in its second step: what that did is in doubt, and the first is undone without its caller.
pub(crate) async fn doubtful_loan(throughline: &Throughline, key: &str) -> TraceId {
    let (entered, in_step) = oneshot::channel();
    let run = throughline.workflow("loan-approval").key(key.to_owned()).run(|ctx| async move {
        let id = ctx.trace_id();
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            saga.step("stage:open-file")
                .resource("file of the loan")
                .compensate(|_, _| async { Ok::<_, LoanError>(()) })
                .run(|_, _| async { Ok::<_, LoanError>(()) })
                .await??;
            saga.step("stage:reserve-funds")
                .resource("reservation of the loan")
                .compensate(|_, _| async { Ok::<_, LoanError>(()) })
                .run(|_, _| async {
                    entered.send(id).unwrap();
                    std::future::pending::<Result<(), LoanError>>().await
                })
                .await??;
            Ok::<_, LoanError>(())
        });
        match saga.await {
            Ok(outcome) => outcome,
            Err(not_started) => Err(SagaFailed::before_anything(not_started.into())),
        }
    });
    let task = tokio::spawn(async move { run.await.unwrap().unwrap_err() });
    let id = in_step.await.unwrap();
    task.abort();
    until(
        async || {
            // A store in memory answers at once, and the task that undoes it needs its turn.
            tokio::task::yield_now().await;
            throughline.query(id).await.unwrap().compensation_ledger()
        },
        |ledger| {
            let mut entries = ledger.sagas.iter().flat_map(|saga| &saga.entries);
            entries.any(|entry| entry.state == CompensationState::Compensated)
        },
    )
    .await;
    id
}
