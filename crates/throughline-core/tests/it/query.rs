//! Runs that a real context told, asked by a query: emitter and query speak the same language.

use throughline_core::query::{Basis, CauseKind, CompensationState, FailureOutcome, Style, Verdict};
use throughline_core::{MemoryStore, NotRecorded, Saga, TraceQuery};

use crate::support::open;

#[derive(Debug, thiserror::Error)]
enum LoanError {
    #[error("{0}")]
    Refused(&'static str),
    #[error("the loan was refused")]
    Wrapped(#[source] Box<LoanError>),
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

fn asked(store: &MemoryStore) -> TraceQuery {
    TraceQuery::new(store.events())
}

async fn reserve(saga: &Saga, name: &'static str, locked: bool) -> Result<(), LoanError> {
    saga.step(name)
        .input(25_000)
        .resource(format!("resource of {name}"))
        .compensate(
            move |_, _| async move { if locked { Err(LoanError::Refused("locked")) } else { Ok(()) } },
        )
        .run(|_, _| async { Ok(()) })
        .await?
}

#[tokio::test]
async fn a_failed_saga_is_explained_with_its_retry_its_decision_and_its_compensations() {
    let (throughline, store) = open();
    let run = throughline.workflow("loan-approval").key("loan-42").run(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            reserve(&saga, "stage:open-file", false).await?;
            let mut tries = 0;
            // Through the saga as a context: a step without a compensation.
            (*saga)
                .step("stage:credit-check")
                .retry(3, |_, _| {
                    tries += 1;
                    let failed = tries < 2;
                    async move { if failed { Err(LoanError::Refused("no answer")) } else { Ok(()) } }
                })
                .await??;
            let route = saga
                .decision("ai:route")
                .consider("fast-track", 0.62)
                .consider("manual-review", 0.38)
                .choose("fast-track")
                .reasoning("the score is above 600")
                .confidence(0.62)
                .decider("loan-scorer-v3")
                .await?;
            reserve(&saga, "stage:hold-limit", true).await?;
            (*saga)
                .step("stage:reserve-funds")
                .input(&25_000)
                .decided_by(&route)
                .run(|_| async { Err::<(), _>(LoanError::Refused("account 4711 is empty")) })
                .await?
        });
        match saga.await? {
            Ok(()) => Ok(()),
            Err(failed) => Err(LoanError::Wrapped(Box::new(failed.error))),
        }
    });
    run.await.unwrap().unwrap_err();

    let query = asked(&store);
    assert!(query.problems().is_empty(), "{:?}", query.problems());
    let explanation = query.explain();
    assert_eq!(explanation.verdict, Verdict::Failed);
    let cause = explanation.cause.as_ref().unwrap();
    assert_eq!((cause.span.name.as_str(), cause.kind), ("stage:reserve-funds", CauseKind::Error));
    assert_eq!(explanation.path.last().unwrap().input, Some(serde_json::json!(25_000)));
    assert!(explanation.decisions[0].linked);
    let others: Vec<_> = explanation.other_failures.iter().map(|other| other.outcome).collect();
    assert_eq!(others, [FailureOutcome::Recovered]);

    let ledger = query.compensation_ledger();
    let states: Vec<_> =
        ledger.sagas[0].entries.iter().map(|entry| (entry.step.name.as_str(), entry.state)).collect();
    assert_eq!(
        states,
        [
            ("stage:hold-limit", CompensationState::Failed),
            ("stage:open-file", CompensationState::Compensated)
        ]
    );
    let orphaned: Vec<_> = ledger.orphaned().map(|orphan| orphan.resource.as_deref()).collect();
    assert_eq!(orphaned, [Some("resource of stage:hold-limit")]);

    let decisions = query.decisions();
    assert_eq!(decisions.outcomes[0].basis, Basis::Linked);
    assert!(decisions.outcomes[0].led_to_cause);
    assert!(decisions.outcomes[0].decision.alternatives[0].chosen);

    let text = explanation.render(&Style::plain());
    assert!(text.contains("loan-approval failed: stage:reserve-funds"), "{text}");
}

#[tokio::test]
async fn a_panic_is_found_where_it_happened() {
    let (throughline, store) = open();
    let run = throughline.workflow("loan-approval").run(|ctx| async move {
        ctx.trace("stage:score", async {
            if true {
                panic!("index out of bounds")
            }
            Ok::<(), LoanError>(())
        })
        .await?
    });
    assert!(tokio::spawn(run).await.unwrap_err().is_panic());
    throughline.flush(std::time::Duration::from_secs(5)).await;
    let explanation = asked(&store).explain();
    let cause = explanation.cause.unwrap();
    assert_eq!((cause.span.name.as_str(), cause.kind), ("stage:score", CauseKind::Panic));
}

#[tokio::test]
async fn a_dropped_run_says_which_step_was_dropped_first() {
    let (throughline, store) = open();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let run = throughline.workflow("loan-approval").run(|ctx| async move {
        ctx.trace("stage:validate", async { Ok::<_, LoanError>(()) }).await??;
        ctx.trace("stage:score", async move {
            let _ = entered.send(());
            std::future::pending::<Result<(), LoanError>>().await
        })
        .await?
    });
    let run = tokio::spawn(run);
    inside.await.unwrap();
    assert_eq!(asked(&store).explain().open[0].name, "stage:score");
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    throughline.flush(std::time::Duration::from_secs(5)).await;
    let explanation = asked(&store).explain();
    assert_eq!(explanation.verdict, Verdict::Cancelled);
    assert_eq!(explanation.cause.unwrap().span.name, "stage:score");
}
