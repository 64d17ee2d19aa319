//! What happens every day.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::json;
use throughline::context::CancelledBy;
use throughline::event::{InstanceId, Link, Relation, TraceEvent};
use throughline::query::TraceQuery;
use throughline::testing::run as told;

use crate::scenario::{Scenario, Story, body, run};
use crate::steps::{call, never, text};

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_prefetch_that_nobody_waits_for_failed_too",
            story: run!(|ctx| {
                let inner = ctx.clone();
                let (tx, rx) = tokio::sync::oneshot::channel::<()>();
                tokio::spawn(async move {
                    let _ = inner
                        .trace("stage:prefetch", async {
                            tokio::task::yield_now().await;
                            Err::<(), _>(anyhow!("404 Not Found"))
                        })
                        .await;
                    let _ = tx.send(());
                });
                let charge = ctx.trace("stage:charge", async move {
                    let _ = rx.await;
                    Err::<(), _>(anyhow!("card expired"))
                });
                charge.await?
            }),
            origin: "stage:charge",
            says: &[
                "card expired",
                "stage:prefetch failed before it as well, perhaps for a reason of its own",
            ],
        },
        Scenario {
            name: "branches_within_branches_of_which_one_failed",
            story: run!(|ctx| {
                let (a, b) = tokio::try_join!(async { ctx.trace("stage:stock", never()).await? }, async {
                    let step = ctx.step("stage:risk").run(|ctx| async move {
                        tokio::try_join!(async { ctx.dependency("http", "kyc", never()).await? }, async {
                            ctx.dependency("http", "fraud", async {
                                tokio::task::yield_now().await;
                                Err::<(), _>(anyhow!("score service returned NaN"))
                            })
                            .await?
                        },)?;
                        anyhow::Ok(())
                    });
                    step.await?.context("rating the order")
                },)?;
                let _ = (a, b);
                Ok(())
            }),
            origin: "dependency:http fraud",
            says: &["score service returned NaN", "cancelled: "],
        },
        Scenario {
            name: "a_secret_in_the_error",
            story: run!(|ctx| {
                text(&ctx, "stage:login", "token=abc123DEF456ghi789 rejected by idp")
                    .await
                    .map_err(|error| anyhow!("sign-in of customer 9 ({error})"))
            }),
            origin: "stage:login",
            says: &["rejected by idp"],
        },
        Scenario {
            name: "a_rate_of_one_because_the_service_was_down",
            story: run!(|ctx| {
                let rate = ctx.step("stage:rate").capture_output().run(|ctx| async move {
                    let asked = call(&ctx, "http", "fx", "502 Bad Gateway").await;
                    anyhow::Ok(json!({"rate": if asked.is_ok() { 1.08 } else { 1.0 }}))
                });
                let rate = rate.await??;
                let book = ctx.step("stage:book").input(&rate);
                book.run(|_| async { Err::<(), _>(anyhow!("amount differs from the quote")) }).await?
            }),
            origin: "stage:book",
            says: &["amount differs from the quote", "dependency:http fx failed in it"],
        },
        Scenario {
            name: "another_model_than_before_answers_without_a_field",
            story: Story::Compared {
                good: body!(|ctx| {
                    let asked = ctx.step("ai:extract").attr("model", "large-4");
                    asked.run(|_| async { anyhow::Ok(()) }).await?
                }),
                bad: body!(|ctx| {
                    let asked = ctx.step("ai:extract").attr("model", "small-1");
                    let error = "missing field `iban` at line 1 column 88";
                    asked.run(|_| async move { Err::<(), _>(anyhow!(error)) }).await?
                }),
            },
            origin: "ai:extract",
            says: &["model large-4 → small-1", "missing field `iban`"],
        },
        Scenario {
            name: "a_run_was_resumed_after_a_crash_and_its_push_was_rejected",
            story: Story::Told(resumed_and_failed),
            origin: "stage:push",
            says: &["non-fast-forward", "interrupted once"],
        },
        Scenario {
            name: "the_clock_of_a_worker_is_ahead",
            story: Story::Told(with_a_clock_ahead),
            origin: "job:render",
            says: &["no codec for av1", "rendering failed"],
        },
        Scenario {
            name: "the_client_hung_up_between_two_attempts",
            story: Story::Dropped(
                body!(|ctx| {
                    for _ in 0..2 {
                        let _ = call(&ctx, "http", "pay", "503 Service Unavailable").await;
                    }
                    never().await
                }),
                CancelledBy::ClientGone,
            ),
            origin: "workflow:order",
            says: &["the client hung up", "503 Service Unavailable"],
        },
    ]
}

fn resumed_and_failed() -> TraceQuery {
    let mut run = told("order").key("order-7").instance(InstanceId::from_u64(1));
    let pull = run.begin("stage:pull");
    run.pass(Duration::from_secs(5));
    run.resume(InstanceId::from_u64(2));
    let again = run.begin("stage:pull");
    let retry = Link { rel: Relation::RetryOf, trace_id: None, span_id: pull };
    run.edit(|event| event.links.push(retry));
    run.succeed(again);
    let push = run.begin("stage:push");
    run.fail(push, "PushError::Rejected", "non-fast-forward");
    run.fail_run("", "release 1.4 was not published");
    TraceQuery::new(run.events())
}

/// The worker's clock is five minutes ahead.
fn with_a_clock_ahead() -> TraceQuery {
    fn by_worker(event: &mut TraceEvent) {
        event.instance = InstanceId::from_u64(2);
        event.timestamp = event.timestamp.plus(Duration::from_secs(300));
    }
    let mut run = told("order").key("order-7").instance(InstanceId::from_u64(1));
    let upload = run.begin("stage:upload");
    run.succeed(upload);
    let job = run.begin("job:render");
    run.edit(by_worker);
    run.fail(job, "", "no codec for av1");
    run.edit(by_worker);
    let status = run.begin("stage:set-status");
    run.succeed(status);
    run.fail_run("", "rendering failed");
    TraceQuery::new(run.events())
}
