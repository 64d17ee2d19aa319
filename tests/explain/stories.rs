//! The failures: each kind with a case of its own and its neighbours.

use std::time::Duration;

use serde_json::json;
use throughline::TraceContext;
use throughline::event::InstanceId;
use throughline::query::TraceQuery;
use throughline::testing::run as told;

use crate::scenario::{Scenario, Story, run};

/// A step that fails.
pub(crate) async fn fail(ctx: &TraceContext, name: &'static str, error: &'static str) -> anyhow::Result<()> {
    ctx.trace(name, async move { Err::<(), _>(anyhow::anyhow!(error)) }).await?
}

/// A step that succeeds.
pub(crate) async fn pass(ctx: &TraceContext, name: &'static str) -> anyhow::Result<()> {
    ctx.trace(name, async { anyhow::Ok(()) }).await?
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = agreements();
    all.extend(crate::adversarial::all());
    all.extend(crate::agents::all());
    all.extend(crate::at_once::all());
    all.extend(crate::batches::all());
    all.extend(crate::believed::all());
    all.extend(crate::branches::all());
    all.extend(crate::by_chance::all());
    all.extend(crate::cancelled::all());
    all.extend(crate::compared::all());
    all.extend(crate::consequences::all());
    all.extend(crate::everyday::all());
    all.extend(crate::field::all());
    all.extend(crate::limits::all());
    all.extend(crate::operations::all());
    all.extend(crate::replaced::all());
    all.extend(crate::services::all());
    all.extend(crate::trades::all());
    all.extend(crate::useless::all());
    all.extend(crate::vague::all());
    all.extend(crate::weighed::all());
    all.extend(origins());
    all.extend(evidence());
    all.extend(time_and_branches());
    all
}

/// Which failure the error of a run is.
fn agreements() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "the_same_error_was_tolerated_before",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:warm-cache", "connection refused").await;
                for name in ["stage:load", "stage:price", "stage:check"] {
                    pass(&ctx, name).await?;
                }
                fail(&ctx, "stage:charge", "connection refused").await
            }),
            origin: "stage:charge",
            says: &["the same error was tolerated earlier in stage:warm-cache"],
        },
        Scenario {
            name: "a_wrapped_error_was_tolerated_before_too",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:warm-cache", "connection refused").await;
                pass(&ctx, "stage:load").await?;
                fail(&ctx, "stage:charge", "connection refused")
                    .await
                    .map_err(|error| error.context("charging the card"))
            }),
            origin: "stage:charge",
            says: &["it ended with", "charging the card", "tolerated earlier in stage:warm-cache"],
        },
        Scenario {
            name: "words_in_the_middle_of_a_sentence_are_not_the_same_error",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:look-up", "not found").await;
                pass(&ctx, "stage:load").await?;
                anyhow::bail!("schema v3 is not found in the registry")
            }),
            origin: "workflow:order",
            says: &["schema v3 is not found in the registry", "stage:look-up"],
        },
        Scenario {
            name: "words_at_the_end_of_a_sentence_are_not_the_same_error",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:look-up", "not found").await;
                pass(&ctx, "stage:load").await?;
                anyhow::bail!("the schema of order-7 was not found")
            }),
            origin: "workflow:order",
            says: &["the schema of order-7 was not found"],
        },
        Scenario {
            name: "the_innermost_error_counts_most",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:mirror", "no such file")
                    .await
                    .map_err(|error| error.context("reading"));
                let read = ctx.trace("stage:read", async {
                    Err::<(), _>(anyhow::anyhow!("permission denied").context("reading"))
                });
                read.await?.map_err(|error| error.context("no such file"))
            }),
            origin: "stage:read",
            says: &["permission denied"],
        },
        Scenario {
            name: "a_tolerated_404_is_not_the_error_of_the_step_itself",
            story: run!(|ctx| {
                let step = ctx.step("stage:load-schema").run(|ctx| async move {
                    let call = ctx.dependency("http", "registry", async { Err::<(), _>("404 Not Found") });
                    let _ = call.await.unwrap();
                    anyhow::bail!("schema version 3 is not supported");
                });
                let step: anyhow::Result<()> = step.await?;
                step
            }),
            origin: "stage:load-schema",
            says: &[
                "stage:load-schema failed with",
                "schema version 3 is not supported",
                "dependency:http registry failed with error: 404 Not Found, and stage:load-schema began nothing",
            ],
        },
        Scenario {
            name: "what_a_step_recorded_says_more_than_its_error",
            story: run!(|ctx| {
                let step = ctx.step("stage:charge").run(|ctx| async move {
                    let _ = ctx.event("payment:declined", json!({"code": 51})).failed().await;
                    anyhow::bail!("the payment failed");
                });
                let step: anyhow::Result<()> = step.await?;
                step
            }),
            origin: "stage:charge",
            says: &["the payment failed", "it recorded payment:declined, code 51"],
        },
        Scenario {
            name: "what_a_step_recorded_is_a_fact_about_its_error",
            story: run!(|ctx| {
                let step = ctx.step("stage:charge").run(|ctx| async move {
                    let _ = ctx.event("payment:declined", json!({"code": 51})).failed().await;
                    anyhow::bail!("card declined (insufficient funds)");
                });
                let step: anyhow::Result<()> = step.await?;
                step
            }),
            origin: "stage:charge",
            says: &["card declined (insufficient funds)", "it recorded payment:declined, code 51"],
        },
    ]
}

/// Where a failure came from, when what the run ended with is something else.
fn origins() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_failed_clean_up_is_the_symptom_and_not_the_origin",
            story: run!(|ctx| {
                let step = ctx.step("stage:provision").run(|ctx| async move {
                    pass(&ctx, "fs:create-workdir").await?;
                    let failed = fail(&ctx, "vm:start", "quota exceeded").await;
                    fail(&ctx, "fs:remove-workdir", "directory not empty").await?;
                    failed
                });
                step.await?
            }),
            origin: "vm:start",
            says: &["quota exceeded", "it ended with", "directory not empty"],
        },
        Scenario {
            name: "a_clean_up_by_another_name_is_not_the_origin_either",
            story: run!(|ctx| {
                let failed = fail(&ctx, "stage:import", "row 7 has no date").await;
                fail(&ctx, "stage:rollBack", "lock timeout").await?;
                failed
            }),
            origin: "stage:import",
            says: &["row 7 has no date", "it ended with", "lock timeout"],
        },
        Scenario {
            name: "a_wrapper_that_says_nothing_after_a_notification",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:provision", "quota exceeded").await;
                pass(&ctx, "stage:notify-owner").await?;
                anyhow::bail!("provisioning failed")
            }),
            origin: "stage:provision",
            says: &[
                "quota exceeded",
                "it ended with",
                "provisioning failed",
                "guess from the order of events",
            ],
        },
        Scenario {
            name: "an_error_that_speaks_of_cleaning_up_is_not_the_origin",
            story: run!(|ctx| {
                let failed = fail(&ctx, "stage:import", "row 7 has no date").await;
                let cleaned = fail(&ctx, "stage:drop-staging", "lock timeout").await;
                cleaned.map_err(|error| error.context("while cleaning up"))?;
                failed
            }),
            origin: "stage:import",
            says: &["row 7 has no date", "it ended with", "while cleaning up"],
        },
        Scenario {
            name: "a_saga_that_failed_is_what_brought_its_workflow_down",
            story: run!(|ctx| {
                let saga = ctx.saga("booking").run(|saga| async move {
                    let pay = saga.step("stage:pay").compensate(|(), _| async { anyhow::Ok(()) });
                    pay.run(|(), _| async { Err::<(), _>(anyhow::anyhow!("account closed")) }).await??;
                    anyhow::Ok(())
                });
                saga.await?.map_err(|failed| anyhow::Error::msg(failed.to_string()))
            }),
            origin: "stage:pay",
            says: &["account closed", "it ended with"],
        },
        Scenario {
            name: "a_deletion_that_is_the_work_itself_is_the_origin",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:warm-cache", "connection refused").await;
                fail(&ctx, "stage:delete-account", "account has open orders").await
            }),
            origin: "stage:delete-account",
            says: &["account has open orders"],
        },
        Scenario {
            name: "the_longest_open_work_comes_first_when_a_process_dies",
            story: Story::Told(died_in_two_branches),
            origin: "stage:export",
            says: &["the process died in stage:export", "stage:heartbeat interrupted since"],
        },
    ]
}

/// Time limits, fallbacks, branches.
fn time_and_branches() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_step_whose_time_ran_out_says_what_it_was_waiting_for",
            story: run!(|ctx| {
                let step = ctx.step("stage:quote").run(|ctx| async move {
                    let call =
                        ctx.dependency("http", "carrier-api", std::future::pending::<anyhow::Result<()>>());
                    ctx.timeout(Duration::from_millis(20), call).await???;
                    anyhow::Ok(())
                });
                step.await?
            }),
            origin: "stage:quote",
            says: &["stage:quote failed with", "while it waited for dependency:http carrier-api"],
        },
        Scenario {
            name: "what_the_code_continued_without_is_a_suspect",
            story: run!(|ctx| {
                let read = ctx.dependency("redis", "limits", async { Err::<u32, _>("connection refused") });
                let limit = match read.await? {
                    Ok(limit) => limit,
                    Err(error) => {
                        ctx.fallback("no limit known, 0 taken", &error).await?;
                        0
                    }
                };
                let order = ctx.trace("stage:order", async move {
                    anyhow::ensure!(12 <= limit, "12 exceeds the limit");
                    anyhow::Ok(())
                });
                order.await?
            }),
            origin: "stage:order",
            says: &[
                "continued without something: no limit known, 0 taken, because of error: connection refused",
            ],
        },
        Scenario {
            name: "two_branches_that_failed_for_reasons_of_their_own",
            story: run!(|ctx| {
                let (kyc, fraud) = tokio::join!(
                    fail(&ctx, "stage:kyc", "passport expired"),
                    fail(&ctx, "stage:fraud", "three chargebacks"),
                );
                let _ = fraud;
                kyc.map_err(|error| error.context("checking the customer"))
            }),
            origin: "stage:kyc",
            says: &["stage:fraud failed after it as well", "perhaps for a reason of its own"],
        },
        Scenario {
            name: "a_panic_says_where_it_was",
            story: run!(|ctx| {
                let step = ctx.trace("stage:pay", async {
                    let cards: Vec<u32> = Vec::new();
                    anyhow::ensure!(cards[beyond_the_end()] > 0, "no card");
                    anyhow::Ok(())
                });
                let joined = tokio::spawn(step).await;
                joined.map_err(|panic| anyhow::anyhow!("the payment task ended: {panic}"))??
            }),
            origin: "stage:pay",
            says: &["stage:pay panicked: index out of bounds"],
        },
    ]
}

/// An index that is out of bounds, and of which the compiler does not know that.
fn beyond_the_end() -> usize {
    std::hint::black_box(7)
}

/// A run whose process was killed while one branch had been at work for long, and another had just begun.
fn died_in_two_branches() -> TraceQuery {
    let mut run = told("order").key("order-7").instance(InstanceId::from_u64(7));
    let export = run.begin("stage:export");
    run.pass(Duration::from_secs(40));
    let heartbeat = run.begin("stage:heartbeat");
    let _ = (export, heartbeat);
    TraceQuery::new(run.events()).with_liveness(|_| throughline::query::Liveness::Dead)
}

/// What may have led to it.
fn evidence() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "decisions_that_led_to_the_failure_are_the_same_everywhere",
            story: run!(|ctx| {
                let _ = ctx
                    .decision("ai:route")
                    .consider("express", 0.52)
                    .consider("post", 0.48)
                    .choose("express")
                    .await;
                pass(&ctx, "stage:pack").await?;
                fail(&ctx, "stage:ship", "the express courier does not go there").await
            }),
            origin: "stage:ship",
            says: &["ai:route chose express, by 0.52 to 0.48 for post, which led here", "← led here"],
        },
        Scenario {
            name: "a_decision_with_a_wide_margin_is_no_suspect",
            story: run!(|ctx| {
                let _ = ctx
                    .decision("ai:route")
                    .consider("express", 0.92)
                    .consider("post", 0.08)
                    .choose("express")
                    .await;
                fail(&ctx, "stage:ship", "the label printer is out of paper").await
            }),
            origin: "stage:ship",
            says: &["the label printer is out of paper"],
        },
        Scenario {
            name: "an_earlier_attempt_failed_with_another_error",
            story: run!(|ctx| {
                let step = ctx.step("stage:book").retry(3, |_, attempt| async move {
                    match attempt {
                        1 => Err::<(), _>(anyhow::anyhow!("seat 14c is taken")),
                        _ => Err(anyhow::anyhow!("409: a booking is already open")),
                    }
                });
                step.await?
            }),
            origin: "stage:book",
            says: &["an earlier attempt at it failed differently, with", "seat 14c is taken"],
        },
        Scenario {
            name: "a_loop_that_tries_again_need_not_say_so",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:book", "seat 14c is taken").await;
                let _ = fail(&ctx, "stage:book", "409: a booking is already open").await;
                fail(&ctx, "stage:book", "409: a booking is already open").await
            }),
            origin: "stage:book",
            says: &["an earlier attempt at it failed differently, with", "seat 14c is taken"],
        },
        Scenario {
            name: "an_error_that_says_nothing_stands_for_the_failure_before_it",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:price", "no price list for CH").await;
                anyhow::bail!("order 7 could not be priced")
            }),
            origin: "stage:price",
            says: &["no price list for CH", "it ended with", "order 7 could not be priced"],
        },
        Scenario {
            name: "a_step_that_ended_well_gave_back_nothing",
            story: run!(|ctx| {
                let limits = ctx.step("stage:limits").capture_output().run(|ctx| async move {
                    let read =
                        ctx.dependency("redis", "limits", async { Err::<(), _>("connection refused") });
                    let _ = read.await.unwrap();
                    anyhow::Ok(json!({"limit": 0}))
                });
                let limits = limits.await??;
                let step = ctx
                    .step("stage:order")
                    .input(&limits)
                    .run(|_| async { Err::<(), _>(anyhow::anyhow!("12 exceeds the limit of 0")) });
                step.await?
            }),
            origin: "stage:order",
            says: &[
                "stage:limits succeeded though dependency:redis limits failed in it",
                "its output was {\"limit\":0}",
            ],
        },
        Scenario {
            name: "thirty_tolerated_errors_are_taken_together",
            story: run!(|ctx| {
                for _ in 0..30 {
                    let _ = fail(&ctx, "tool:grep", "exit status 1").await;
                    pass(&ctx, "tool:think").await?;
                }
                fail(&ctx, "tool:apply-patch", "hunk 3 does not apply").await
            }),
            origin: "tool:apply-patch",
            says: &["hunk 3 does not apply", "✗ tool:grep ×30", "✓ tool:think ×30", "exit status 1"],
        },
        Scenario {
            name: "equal_steps_are_taken_together",
            story: run!(|ctx| {
                for _ in 0..497 {
                    pass(&ctx, "stage:item").await?;
                }
                fail(&ctx, "stage:total", "sum is negative").await
            }),
            origin: "stage:total",
            says: &["✓ stage:item ×497"],
        },
        Scenario {
            name: "the_attributes_of_the_cause_are_shown",
            story: run!(|ctx| {
                let step = ctx
                    .step("stage:upload")
                    .attr("request.bytes", "10485761")
                    .attr("limit.bytes", "10485760");
                step.run(|_| async { Err::<(), _>(anyhow::anyhow!("payload too large")) }).await?
            }),
            origin: "stage:upload",
            says: &["limit.bytes 10485760 · request.bytes 10485761"],
        },
    ]
}
