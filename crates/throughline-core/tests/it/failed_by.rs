//! Which step brought another one down, as it is known when it happens.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use throughline_core::{InContext as _, Relation, Status, TraceContext, TraceEvent, names};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::{ended, open, started};

mod at_once;
mod ways;

#[derive(Debug, Clone, thiserror::Error)]
enum BureauError {
    #[error("the bureau did not answer")]
    Silent(#[source] Arc<std::io::Error>),
    #[error("card declined")]
    Declined,
}

#[derive(Debug, thiserror::Error)]
enum LoanError {
    #[error("scoring failed")]
    Scoring(#[source] BureauError),
    #[error("payment failed: {0}")]
    Payment(String),
    #[error("schema version {0} is not supported")]
    Schema(u32),
    #[error(transparent)]
    NotRecorded(#[from] throughline_core::NotRecorded),
}

fn silent() -> BureauError {
    BureauError::Silent(Arc::new(std::io::Error::other("connection reset")))
}

/// Runs a workflow that fails, and gives what it recorded.
async fn record<F, T, E, K>(body: impl FnOnce(TraceContext) -> F) -> Vec<TraceEvent>
where
    F: Future<Output = Result<T, E>>,
    E: throughline_core::StepError<K>,
{
    let (throughline, store) = open();
    assert!(throughline.workflow("test").run(body).await.unwrap().is_err(), "the workflow fails");
    throughline.flush(Duration::from_secs(5)).await;
    store.events()
}

/// The event types of what brought a failed span down.
fn causes(events: &[TraceEvent], event_type: &str) -> Vec<String> {
    let end = ended(events, event_type);
    assert_eq!(end.status, Status::Failed, "{event_type}");
    let links = end.links.iter().filter(|link| link.rel == Relation::FailedBy);
    links
        .map(|link| {
            let trace_id = link.trace_id.unwrap_or(end.trace_id);
            let of_it = |event: &&TraceEvent| event.span_id == link.span_id && event.trace_id == trace_id;
            events.iter().find(of_it).unwrap().event_type.to_string()
        })
        .collect()
}

/// What brought the run down.
fn cause(events: &[TraceEvent]) -> Vec<String> {
    causes(events, names::WORKFLOW_FAILED)
}

/// A step that fails once it is told to.
async fn fails_after(
    ctx: &TraceContext,
    name: &'static str,
    gate: &Notify,
    error: &'static str,
) -> anyhow::Result<()> {
    ctx.trace(name, async {
        gate.notified().await;
        Err::<(), _>(anyhow::anyhow!(error))
    })
    .await?
}

#[tokio::test]
async fn an_error_that_comes_up_through_four_functions_names_the_step_below_at_each_level() {
    async fn ask(ctx: &TraceContext) -> Result<(), BureauError> {
        ctx.trace("stage:ask", async { Err(silent()) }).await.unwrap()
    }
    async fn score(ctx: &TraceContext) -> Result<(), BureauError> {
        ask(ctx).await?;
        Ok(())
    }
    async fn check(ctx: &TraceContext) -> Result<(), BureauError> {
        ctx.trace("stage:check", async { score(ctx).await }).await.unwrap()
    }
    async fn approve(ctx: &TraceContext) -> Result<(), BureauError> {
        check(ctx).await?;
        Ok(())
    }
    let events = record(|ctx| async move { approve(&ctx).await }).await;
    assert_eq!(cause(&events), ["stage:check"]);
    assert_eq!(causes(&events, "stage:check"), ["stage:ask"]);
    assert_eq!(causes(&events, "stage:ask"), [""; 0]);
}

#[tokio::test]
async fn an_error_is_the_same_after_its_conversion_into_another_type() {
    let events = record(|ctx| async move {
        let scored = ctx.trace("stage:score", async { Err::<(), _>(silent()) }).await?;
        scored.map_err(LoanError::Scoring)
    })
    .await;
    assert_eq!(cause(&events), ["stage:score"]);
    let events = record(|ctx| async move {
        let paid = ctx.trace("stage:pay", async { Err::<(), _>(BureauError::Declined) }).await?;
        paid.map_err(|error| LoanError::Payment(error.to_string()))
    })
    .await;
    assert_eq!(cause(&events), ["stage:pay"]);
    let events = record(|ctx| async move {
        let scored = ctx.trace("stage:score", async { Err::<(), _>(silent()) }).await.unwrap();
        scored.map_err(|error| format!("no score, {:#}", anyhow::Error::from(error)))
    })
    .await;
    assert_eq!(cause(&events), ["stage:score"]);
}

#[tokio::test]
async fn an_error_is_the_same_in_a_context() {
    let events = record(|ctx| async move {
        let scored = ctx.trace("stage:score", async { Err::<(), _>(silent()) }).await?;
        scored.context("scoring").with_context(|| "loan 42")?;
        anyhow::Ok(())
    })
    .await;
    assert_eq!(cause(&events), ["stage:score"]);
}

#[tokio::test]
async fn of_joined_steps_the_one_whose_error_was_returned_is_named() {
    let events = record(|ctx| async move {
        let (early, late) = (Notify::new(), Notify::new());
        early.notify_one();
        let (a, b, ()) = tokio::join!(
            fails_after(&ctx, "stage:a", &late, "a has no funds"),
            fails_after(&ctx, "stage:b", &early, "b has no funds"),
            async {
                // Whatever is begun in another branch has nothing to do with it.
                tokio::task::yield_now().await;
                ctx.trace_infallible("stage:c", async {}).await.unwrap();
                late.notify_one();
            }
        );
        let _ = b;
        a
    })
    .await;
    assert_eq!(cause(&events), ["stage:a"]);
}

#[tokio::test]
async fn of_joined_steps_whose_errors_are_not_told_apart_the_first_to_fail_is_named() {
    async fn fails(ctx: &TraceContext, name: &'static str, gate: &Notify) -> Result<(), BureauError> {
        ctx.trace(name, async {
            gate.notified().await;
            Err::<(), _>(BureauError::Declined)
        })
        .await
        .unwrap()
    }
    let events = record(|ctx| async move {
        let (early, late) = (Notify::new(), Notify::new());
        early.notify_one();
        let (a, b) = tokio::join!(fails(&ctx, "stage:a", &late), async {
            let failed = fails(&ctx, "stage:b", &early).await;
            late.notify_one();
            failed
        });
        a.and(b)
    })
    .await;
    assert_eq!(cause(&events), ["stage:b"]);
}

#[tokio::test]
async fn of_joined_steps_with_the_same_error_the_one_whose_error_was_returned_is_named() {
    for returns_first in [true, false] {
        let events = record(|ctx| async move {
            let (one, other) = (Notify::new(), Notify::new());
            let (first, second, ()) = tokio::join!(
                fails_after(&ctx, "stage:a", &one, "quota exceeded"),
                async {
                    other.notified().await;
                    ctx.trace("stage:b", async { Err::<(), _>(anyhow::anyhow!("quota exceeded")) }).await?
                },
                async {
                    one.notify_one();
                    tokio::task::yield_now().await;
                    other.notify_one();
                    // In a later poll than that in which either failed.
                    tokio::task::yield_now().await;
                    tokio::task::yield_now().await;
                },
            );
            if returns_first { first } else { second }.context("checking")
        })
        .await;
        assert_eq!(cause(&events), [if returns_first { "stage:a" } else { "stage:b" }]);
    }
}

#[tokio::test]
async fn of_branches_in_a_box_the_one_whose_error_was_returned_is_named() {
    let events =
        record(|ctx| {
            // Where the futures of branches are says nothing then.
            let branches: Pin<Box<dyn Future<Output = anyhow::Result<()>>>> = Box::pin(async move {
                let fails = |name| {
                    let ctx = &ctx;
                    async move {
                        ctx.trace(name, async { Err::<(), _>(anyhow::anyhow!("quota exceeded")) }).await?
                    }
                };
                let (first, _) = tokio::join!(fails("stage:a"), async {
                    tokio::task::yield_now().await;
                    let failed: anyhow::Result<()> = fails("stage:b").await;
                    tokio::task::yield_now().await;
                    failed
                });
                first
            });
            branches
        })
        .await;
    assert_eq!(cause(&events), ["stage:a"]);
}

#[tokio::test]
async fn an_error_in_a_box_is_the_same_whatever_is_put_around_it() {
    type BoxError = Box<dyn std::error::Error + Send + Sync>;
    #[derive(Debug, thiserror::Error)]
    #[error("checking")]
    struct Checking(#[source] BoxError);
    for returned in [0, 1, 2] {
        let events = record(|ctx| async move {
            let gates = [Notify::new(), Notify::new(), Notify::new()];
            let step = |name, gate: usize| {
                let (ctx, gate) = (&ctx, &gates[gate]);
                async move {
                    gate.notified().await;
                    ctx.trace(name, async { Err::<(), BoxError>("quota exceeded".into()) }).await.unwrap()
                }
            };
            let all = async {
                for gate in &gates {
                    gate.notify_one();
                    tokio::task::yield_now().await;
                }
            };
            let (a, b, c, ()) = tokio::join!(step("stage:a", 0), step("stage:b", 1), step("stage:c", 2), all);
            let error = [a, b, c].into_iter().nth(returned).unwrap().unwrap_err();
            Err::<(), BoxError>(Box::new(Checking(error)))
        })
        .await;
        assert_eq!(cause(&events), [["stage:a", "stage:b", "stage:c"][returned]]);
    }
}

#[tokio::test]
async fn a_branch_that_works_on_after_another_one_failed_does_not_hide_that() {
    let events = record(|ctx| async move {
        let (gate, go_on) = (Notify::new(), Notify::new());
        gate.notify_one();
        let (a, ()) = tokio::join!(
            async {
                let failed = fails_after(&ctx, "stage:a", &gate, "no funds").await;
                go_on.notify_one();
                failed
            },
            async {
                // Begins when the other one has failed already.
                ctx.trace_infallible("stage:b1", go_on.notified()).await.unwrap();
                ctx.trace_infallible("stage:b2", async {}).await.unwrap();
            }
        );
        a
    })
    .await;
    assert_eq!(cause(&events), ["stage:a"]);
}

#[tokio::test]
async fn the_step_that_ended_a_try_join_is_named() {
    let events = record(|ctx| async move {
        let (gate, never) = (Notify::new(), Notify::new());
        gate.notify_one();
        tokio::try_join!(
            fails_after(&ctx, "stage:a", &never, "a has no funds"),
            fails_after(&ctx, "stage:b", &gate, "b has no funds"),
        )
    })
    .await;
    assert_eq!(cause(&events), ["stage:b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_of_a_set_whose_error_was_returned_is_named() {
    let events = record(|ctx| async move {
        let mut set = JoinSet::new();
        for (name, error) in [("stage:0", None), ("stage:1", Some("disk 1 is full")), ("stage:2", None)] {
            let ctx = ctx.clone();
            set.spawn(async move {
                ctx.trace(name, async move { error.map_or(Ok(()), |error| Err(anyhow::anyhow!(error))) })
                    .await?
            });
        }
        while let Some(done) = set.join_next().await {
            done??;
        }
        anyhow::Ok(())
    })
    .await;
    assert_eq!(cause(&events), ["stage:1"]);
}

#[tokio::test]
async fn the_task_of_a_set_that_failed_before_others_began_is_named() {
    let events = record(|ctx| async move {
        let mut set = JoinSet::new();
        for (name, error) in [("stage:0", Some("disk 0 is full")), ("stage:1", None), ("stage:2", None)] {
            let inner = ctx.clone();
            let step = async move {
                inner
                    .trace(name, async move { error.map_or(Ok(()), |error| Err(anyhow::anyhow!(error))) })
                    .await?
            };
            set.spawn(step.in_context(&ctx));
        }
        set.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()
    })
    .await;
    assert_eq!(cause(&events), ["stage:0"]);
}

#[tokio::test]
async fn of_many_tasks_that_fail_the_first_and_the_last_are_still_known() {
    for wanted in ["item 0 is broken", "item 999 is broken"] {
        let events = record(|ctx| async move {
            let mut set = JoinSet::new();
            for n in 0..1000 {
                let ctx = ctx.clone();
                set.spawn(async move {
                    ctx.trace("stage:item", async move { Err::<(), _>(format!("item {n} is broken")) }).await
                });
            }
            let failed = set.join_all().await.into_iter().map(|done| done.unwrap().unwrap_err());
            failed.into_iter().find(|error| error == wanted).map_or(Ok(()), Err)
        })
        .await;
        let link = ended(&events, names::WORKFLOW_FAILED).links.pop().unwrap();
        let cause = events.iter().find(|event| event.span_id == link.span_id && event.error.is_some());
        assert_eq!(cause.unwrap().error.as_ref().unwrap().message, wanted);
    }
}

#[tokio::test]
async fn the_branch_of_a_select_that_failed_is_named() {
    let events = record(|ctx| async move {
        let (gate, never) = (Notify::new(), Notify::new());
        gate.notify_one();
        tokio::select! {
            a = fails_after(&ctx, "stage:a", &never, "a has no funds") => a,
            b = fails_after(&ctx, "stage:b", &gate, "b has no funds") => b,
        }
    })
    .await;
    assert_eq!(cause(&events), ["stage:b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_a_spawned_task_is_named() {
    let events = record(|ctx| async move {
        let inner = ctx.clone();
        let task =
            tokio::spawn(async move { inner.trace("stage:spawned", async { Err::<(), _>(silent()) }).await });
        task.await.unwrap().unwrap().map_err(LoanError::Scoring)
    })
    .await;
    assert_eq!(cause(&events), ["stage:spawned"]);
}

#[tokio::test]
async fn of_attempts_the_last_one_is_named() {
    let events = record(|ctx| async move {
        let tried = ctx.step("stage:pay").retry(3, |ctx, attempt| async move {
            ctx.annotate("attempt", attempt.to_string());
            Err::<(), _>(BureauError::Declined)
        });
        tried.await.unwrap()
    })
    .await;
    let last = ended(&events, "stage:pay");
    assert_eq!(last.attrs.get("attempt"), Some("3"));
    assert_eq!(ended(&events, names::WORKFLOW_FAILED).links[0].span_id, last.span_id);
    // The same in a loop of one's own, beside something else.
    let events = record(|ctx| async move {
        let done = Notify::new();
        let (tried, ()) = tokio::join!(
            async {
                let mut tried = Ok(());
                for attempt in 1..=3 {
                    let name = format!("stage:pay-{attempt}");
                    tried = ctx.trace(name, async { Err::<(), _>(BureauError::Declined) }).await.unwrap();
                    tokio::task::yield_now().await;
                }
                done.notify_one();
                tried
            },
            async { ctx.trace_infallible("stage:beside", done.notified()).await.unwrap() }
        );
        tried
    })
    .await;
    assert_eq!(cause(&events), ["stage:pay-3"]);
}

#[tokio::test]
async fn of_attempts_in_tasks_of_their_own_the_last_one_is_named() {
    let events = record(|ctx| async move {
        let mut tried = Ok(());
        for attempt in 1..=3 {
            let inner = ctx.clone();
            let name = format!("stage:pay-{attempt}");
            let task = tokio::spawn(async move {
                inner.trace(name, async { Err::<(), _>(BureauError::Declined) }).await.unwrap()
            });
            tried = task.await.unwrap();
        }
        tried
    })
    .await;
    assert_eq!(cause(&events), ["stage:pay-3"]);
}

#[tokio::test]
async fn of_tasks_whose_failures_one_error_tells_of_the_first_to_fail_is_named() {
    let events = record(|ctx| async move {
        let mut texts = Vec::new();
        for (name, error) in [("item:7", "row 7 has no date"), ("item:9", "row 9 has no name")] {
            let inner = ctx.clone();
            let task =
                tokio::spawn(async move { inner.trace(name, async move { Err::<(), _>(error) }).await });
            texts.extend(task.await.unwrap().unwrap().err());
        }
        Err::<(), _>(format!("2 rows were refused: {}", texts.join("; ")))
    })
    .await;
    assert_eq!(cause(&events), ["item:7"]);
}

#[tokio::test]
async fn a_source_that_many_errors_have_names_no_step_once_other_work_was_begun() {
    let events = record(|ctx| async move {
        let inner = ctx.clone();
        let task =
            tokio::spawn(async move { inner.trace("stage:ask", async { Err::<(), _>(silent()) }).await });
        let _ = task.await.unwrap();
        ctx.trace_infallible("stage:beside", async {}).await.unwrap();
        let reset = Arc::new(std::io::Error::other("connection reset"));
        Err::<(), _>(anyhow::Error::from(reset).context("the archive was not written"))
    })
    .await;
    assert_eq!(cause(&events), [""; 0]);
}

#[tokio::test]
async fn a_step_whose_panic_was_caught_is_named_by_the_error_that_was_made_of_it() {
    let events = record(|ctx| async move {
        let step = ctx.trace_infallible("stage:parse", async { panic!("no digits in `x`") });
        let panic = AssertUnwindSafe(step).catch_unwind().await.unwrap_err();
        let text = panic.downcast_ref::<&str>().copied().unwrap_or_default();
        Err::<(), _>(format!("the parser panicked: {text}"))
    })
    .await;
    assert_eq!(cause(&events), ["stage:parse"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_on_its_way_up_and_one_that_a_task_ended_with_name_the_step_that_panicked() {
    let (throughline, store) = open();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        ctx.trace_infallible("stage:parse", async { panic!("no digits in `x`") }).await.unwrap();
    });
    assert!(AssertUnwindSafe(run).catch_unwind().await.is_err());
    throughline.flush(Duration::from_secs(5)).await;
    assert_eq!(cause(&store.events()), ["stage:parse"]);

    let events = record(|ctx| async move {
        let inner = ctx.clone();
        let task = tokio::spawn(async move {
            inner.trace_infallible("stage:parse", async { panic!("no digits") }).await
        });
        task.await.map(drop)
    })
    .await;
    assert_eq!(cause(&events), ["stage:parse"]);
}

#[tokio::test]
async fn an_error_that_has_nothing_to_do_with_a_tolerated_one_names_no_step() {
    let events = record(|ctx| async move {
        let _ = ctx.trace("stage:look-up", async { Err::<(), _>("404 not found") }).await?;
        Err::<(), _>(LoanError::Schema(3))
    })
    .await;
    assert_eq!(cause(&events), [""; 0]);
    let events = record(|ctx| async move {
        let _ = ctx.trace("stage:look-up", async { Err::<(), _>("not found") }).await.unwrap();
        Err::<(), _>("schema v3 is not found in the registry")
    })
    .await;
    assert_eq!(cause(&events), [""; 0]);
    let events = record(|ctx| async move {
        let paid = ctx.trace("stage:pay", async { Err::<(), _>(BureauError::Declined) }).await.unwrap();
        paid.map_err(|_| "provisioning failed")
    })
    .await;
    assert_eq!(cause(&events), [""; 0]);
}

#[tokio::test]
async fn an_error_that_was_tolerated_is_not_the_same_one_later() {
    let events = record(|ctx| async move {
        let _ = ctx.trace("stage:warm-cache", async { Err::<(), _>("connection refused") }).await.unwrap();
        for name in ["stage:a", "stage:b", "stage:c"] {
            ctx.trace_infallible(name, async {}).await.unwrap();
        }
        Err::<(), _>("connection refused")
    })
    .await;
    assert_eq!(cause(&events), [""; 0]);
    let events = record(|ctx| async move {
        let _ = ctx.trace("stage:warm-cache", async { Err::<(), _>("connection refused") }).await.unwrap();
        ctx.trace_infallible("stage:a", async {}).await.unwrap();
        ctx.trace("stage:charge", async { Err::<(), _>("connection refused") }).await.unwrap()
    })
    .await;
    assert_eq!(cause(&events), ["stage:charge"]);
}

#[tokio::test]
async fn an_error_that_a_function_tolerated_is_not_the_same_one_later() {
    async fn warm(ctx: &TraceContext, key: [u8; 100]) {
        let keyed = ctx.step("stage:warm-cache").input(&key.to_vec());
        let _ = keyed.run(|_| async { Err::<(), _>("connection refused") }).await.unwrap();
    }
    async fn load(ctx: &TraceContext) -> u32 {
        ctx.trace_infallible("stage:load", async { 7 }).await.unwrap()
    }
    let events = record(|ctx| async move {
        warm(&ctx, [1; 100]).await;
        load(&ctx).await;
        Err::<(), _>("connection refused")
    })
    .await;
    assert_eq!(cause(&events), [""; 0]);
    let events = record(|ctx| async move {
        Box::pin(warm(&ctx, [1; 100])).await;
        Box::pin(load(&ctx)).await;
        Box::pin(load(&ctx)).await;
        Err::<(), _>("connection refused")
    })
    .await;
    assert_eq!(cause(&events), [""; 0], "boxed");
}

#[tokio::test]
async fn a_child_workflow_that_brought_its_caller_down_is_named_with_its_trace() {
    let events = record(|ctx| async move {
        let child = ctx.child_workflow("export").run(|ctx| async move {
            ctx.trace("stage:put", async { Err::<(), _>("AccessDenied") }).await.unwrap()
        });
        child.await.unwrap().map_err(|error| format!("the ledger was not exported: {error}"))
    })
    .await;
    let [child, parent] = [0, 1].map(|nth| {
        let mut ends = events.iter().filter(|event| event.event_type == names::WORKFLOW_FAILED);
        ends.nth(nth).unwrap().clone()
    });
    assert_eq!(parent.links[0].trace_id, Some(child.trace_id));
    assert_eq!(parent.links[0].span_id, child.span_id);
    assert_eq!(child.links[0].span_id, started(&events, "stage:put").span_id);
}

#[tokio::test]
async fn a_saga_names_the_step_that_failed_although_it_undoes_others_after_that() {
    let events = record(|ctx| async move {
        let saga = ctx.saga("loan").run(|saga| async move {
            let reserve = saga.step("stage:reserve").compensate(|(), _| async { Ok::<_, &str>(()) });
            reserve.run(|(), _| async { Ok::<_, &str>(()) }).await.unwrap()?;
            saga.step("stage:pay").run(|(), _| async { Err::<(), _>("card declined") }).await.unwrap()
        });
        saga.await.unwrap()
    })
    .await;
    assert_eq!(causes(&events, names::SAGA_FAILED), ["stage:pay"]);
    assert_eq!(cause(&events), [names::SAGA_STARTED]);
}
