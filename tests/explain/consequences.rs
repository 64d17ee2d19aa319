//! Failures that are the consequence of another one, and what was swallowed so that only its consequence is seen.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use throughline::TraceContext;

use crate::scenario::{Scenario, run};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = taken_along();
    all.extend(swallowed());
    all.extend(attempts());
    all.extend(by_chance());
    all
}

/// A call that never returns.
async fn hang(ctx: &TraceContext, target: &'static str) -> anyhow::Result<()> {
    ctx.dependency("http", target, std::future::pending::<anyhow::Result<()>>()).await?
}

fn taken_along() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_worker_that_was_cancelled_because_another_failed_is_not_the_origin",
            story: run!(|ctx| {
                let (stop, mut stopped) = tokio::sync::watch::channel(false);
                let first = ctx.trace("stage:worker-1", async move {
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                    Err::<(), _>(anyhow::anyhow!("the operation was cancelled"))
                });
                let second = async {
                    let failed = fail(&ctx, "stage:worker-2", "bad checksum in part 2").await;
                    let _ = stop.send(true);
                    failed
                };
                let (first, second) = tokio::join!(first, second);
                first?.and(second)
            }),
            origin: "stage:worker-2",
            says: &["bad checksum in part 2", "it ended with error: the operation was cancelled"],
        },
        Scenario {
            name: "a_consumer_whose_channel_was_closed_by_a_failed_producer_is_not_the_origin",
            story: run!(|ctx| {
                let (sender, mut receiver) = tokio::sync::mpsc::channel::<u8>(1);
                let producer = ctx.step("stage:producer").run(|ctx| async move {
                    let _sender = sender;
                    fail(&ctx, "stage:write", "disk full").await
                });
                let consumer = ctx.trace("stage:consumer", async move {
                    receiver.recv().await.map(drop).ok_or_else(|| anyhow::anyhow!("channel closed"))
                });
                let (consumed, produced) = tokio::join!(consumer, producer);
                consumed?.and(produced?)
            }),
            origin: "stage:write",
            says: &["disk full", "it ended with error: channel closed", "failed: stage:consumer"],
        },
        Scenario {
            name: "a_panic_that_left_a_lock_poisoned_is_the_origin",
            story: run!(|ctx| {
                let lock = Arc::new(std::sync::Mutex::new(Vec::<u32>::new()));
                let held = lock.clone();
                let writer = ctx.trace("stage:writer", async move {
                    let list = held.lock().unwrap();
                    anyhow::ensure!(list[3] > 0, "no list");
                    anyhow::Ok(())
                });
                let _ = tokio::spawn(writer).await;
                pass(&ctx, "stage:sort").await?;
                let reader = ctx.trace("stage:reader", async move {
                    lock.lock().map(drop).map_err(|poisoned| anyhow::anyhow!("{poisoned}"))
                });
                reader.await?
            }),
            origin: "stage:writer",
            says: &["index out of bounds", "it ended with error: poisoned lock"],
        },
        Scenario {
            name: "what_failed_in_a_branch_that_was_dropped_later_had_been_put_up_with",
            story: run!(|ctx| {
                let first = ctx.step("stage:load").run(|ctx| async move {
                    let _ = fail(&ctx, "cache:get", "connection reset").await;
                    std::future::pending::<anyhow::Result<()>>().await
                });
                let second = async {
                    tokio::task::yield_now().await;
                    fail(&ctx, "stage:charge", "connection reset").await
                };
                tokio::try_join!(async { first.await? }, second).map(drop)
            }),
            origin: "stage:charge",
            says: &["the same error was tolerated earlier in cache:get", "cancelled: stage:load"],
        },
        Scenario {
            name: "a_connection_that_was_closed_by_nobody_here_is_the_origin",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:warm-cache", "no route to host").await;
                pass(&ctx, "stage:load").await?;
                fail(&ctx, "stage:charge", "connection closed before the answer was complete").await
            }),
            origin: "stage:charge",
            says: &["connection closed before the answer", "stage:warm-cache failed with"],
        },
        Scenario {
            name: "a_connection_that_cannot_be_closed_after_a_failure_is_the_symptom",
            story: run!(|ctx| {
                pass(&ctx, "db:connect").await?;
                let copied = fail(&ctx, "stage:copy-rows", "the source table is locked").await;
                fail(&ctx, "db:disconnect", "broken pipe").await?;
                copied
            }),
            origin: "stage:copy-rows",
            says: &["the source table is locked", "it ended with error: broken pipe"],
        },
    ]
}

fn swallowed() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_time_out_that_was_swallowed_is_a_suspect",
            story: run!(|ctx| {
                let asked = ctx.timeout(Duration::from_millis(20), hang(&ctx, "pricing")).await;
                let price = if asked.is_ok() { 12 } else { 0 };
                let invoice = ctx.trace("stage:invoice", async move {
                    anyhow::ensure!(price > 0, "the price must be positive");
                    anyhow::Ok(())
                });
                invoice.await?
            }),
            origin: "stage:invoice",
            says: &[
                "dependency:http pricing was given up (it took longer than 20ms), and workflow:order continued",
            ],
        },
        Scenario {
            name: "what_was_dropped_deep_inside_for_an_unknown_reason_is_a_suspect",
            story: run!(|ctx| {
                let price = ctx.step("stage:price").run(|ctx| async move {
                    let quote = ctx.step("stage:quote").run(|ctx| async move { hang(&ctx, "carrier").await });
                    let _ = tokio::time::timeout(Duration::from_millis(20), quote).await;
                    anyhow::Ok(())
                });
                price.await??;
                fail(&ctx, "stage:invoice", "the price must be positive").await
            }),
            origin: "stage:invoice",
            says: &[
                "stage:price succeeded though in it stage:quote was given up after",
                "while it waited for dependency:http carrier; what it gave back was not recorded",
            ],
        },
        Scenario {
            name: "what_lost_a_race_was_not_given_up",
            story: run!(|ctx| {
                let quick = pass(&ctx, "stage:near");
                let slow = hang(&ctx, "far");
                tokio::select! {
                    biased;
                    done = slow => done?,
                    done = quick => done?,
                }
                fail(&ctx, "stage:ship", "the label printer is out of paper").await
            }),
            origin: "stage:ship",
            says: &["the label printer is out of paper"],
        },
        Scenario {
            name: "a_failure_that_was_swallowed_further_down_is_a_suspect",
            story: run!(|ctx| {
                let limits = ctx.step("stage:limits").run(|ctx| async move {
                    let call =
                        ctx.dependency("redis", "limits", async { Err::<u32, _>("connection refused") });
                    anyhow::Ok(call.await?.unwrap_or_default())
                });
                let limit = limits.await??;
                pass(&ctx, "stage:sort").await?;
                let order = ctx.trace("stage:order", async move {
                    anyhow::ensure!(12 <= limit, "12 exceeds the limit");
                    anyhow::Ok(())
                });
                order.await?
            }),
            origin: "stage:order",
            says: &["stage:limits succeeded though dependency:redis limits failed in it"],
        },
        Scenario {
            name: "what_fails_all_the_time_within_steps_that_end_well_is_no_suspect",
            story: run!(|ctx| {
                for name in ["stage:load", "stage:price", "stage:pack", "stage:label"] {
                    let step = ctx.step(name).run(|ctx| async move {
                        let _ = fail(&ctx, "cache:get", "no entry").await;
                        anyhow::Ok(())
                    });
                    step.await??;
                }
                fail(&ctx, "stage:ship", "the courier does not go there").await
            }),
            origin: "stage:ship",
            says: &["the courier does not go there"],
        },
        Scenario {
            name: "an_answer_whose_list_is_empty_is_a_suspect",
            story: run!(|ctx| {
                let search = ctx.step("stage:search").capture_output();
                search.run(|_| async { anyhow::Ok(json!({"hits": [], "took_ms": 3})) }).await??;
                fail(&ctx, "stage:pick", "there is no first hit").await
            }),
            origin: "stage:pick",
            says: &["stage:search succeeded, but its output was {\"hits\":[],\"took_ms\":3}"],
        },
        Scenario {
            name: "a_child_that_was_begun_last_may_have_failed",
            story: run!(|ctx| {
                let billing = ctx.child_workflow("billing").key("bill-7");
                let billed =
                    billing.run(|ctx| async move { fail(&ctx, "stage:charge", "IBAN blocked").await });
                billed.await?.map_err(|_| anyhow::anyhow!("the order was rejected by billing"))
            }),
            origin: "workflow:order",
            says: &["how child billing bill-7 ended, which it began last, is in its own record"],
        },
    ]
}

fn attempts() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an_earlier_attempt_that_failed_deep_inside_for_another_reason_is_a_suspect",
            story: run!(|ctx| {
                let sent = ctx.step("stage:send").retry(3, |ctx, attempt| async move {
                    let why = if attempt == 1 { "450 greylisted" } else { "550 no such user" };
                    fail(&ctx, "stage:smtp", why).await.map_err(|_| anyhow::anyhow!("could not send"))
                });
                sent.await?
            }),
            origin: "stage:smtp",
            says: &["550 no such user", "failed differently, in stage:smtp with error: 450 greylisted"],
        },
        Scenario {
            name: "attempts_that_failed_deep_inside_for_one_reason_are_alike",
            story: run!(|ctx| {
                let sent = ctx.step("stage:send").retry(3, |ctx, attempt| async move {
                    let failed = fail(&ctx, "stage:smtp", "550 no such user").await;
                    failed.map_err(|_| anyhow::anyhow!("attempt {attempt} could not send"))
                });
                sent.await?
            }),
            origin: "stage:smtp",
            says: &["550 no such user"],
        },
        Scenario {
            name: "an_attempt_that_was_given_up_is_a_suspect",
            story: run!(|ctx| {
                let first = ctx.trace("stage:create", std::future::pending::<anyhow::Result<()>>());
                let _ = tokio::time::timeout(Duration::from_millis(20), first).await;
                fail(&ctx, "stage:create", "409 already exists").await
            }),
            origin: "stage:create",
            says: &["an earlier attempt at it was given up after"],
        },
        Scenario {
            name: "a_loop_with_another_step_between_the_attempts_gave_up_for_the_last_reason",
            story: run!(|ctx| {
                for attempt in 1..=3 {
                    if attempt > 1 {
                        pass(&ctx, "stage:refresh-token").await?;
                    }
                    if fail(&ctx, "stage:fetch", "403 Forbidden").await.is_ok() {
                        return Ok(());
                    }
                }
                anyhow::bail!("no statement for March")
            }),
            origin: "stage:fetch",
            says: &["403 Forbidden", "it ended with error: no statement for March"],
        },
        Scenario {
            name: "replicas_of_which_none_answered_are_attempts_at_one_thing",
            story: run!(|ctx| {
                let step = ctx.step("stage:read").run(|ctx| async move {
                    let _ = ctx.timeout(Duration::from_millis(20), hang(&ctx, "replica-1")).await;
                    let second =
                        ctx.dependency("http", "replica-2", async { Err::<(), _>("connection refused") });
                    let _ = second.await?;
                    Err::<(), _>(anyhow::anyhow!("no replica answered"))
                });
                step.await?
            }),
            origin: "dependency:http replica-2",
            says: &[
                "connection refused",
                "dependency:http replica-1 was given up (it took longer than 20ms), and stage:read continued",
            ],
        },
        Scenario {
            name: "an_error_that_counts_what_failed_in_a_batch_stands_for_all_of_it",
            story: run!(|ctx| {
                pass(&ctx, "item:1").await?;
                let _ = fail(&ctx, "item:2", "invalid IBAN").await;
                pass(&ctx, "item:3").await?;
                let _ = fail(&ctx, "item:4", "account closed").await;
                pass(&ctx, "item:5").await?;
                anyhow::bail!("2 of 5 payouts failed")
            }),
            origin: "item:2",
            says: &["invalid IBAN", "item:4 failed after it", "fixing one will not be enough"],
        },
        Scenario {
            name: "an_error_that_says_why_a_batch_was_given_up_is_believed",
            story: run!(|ctx| {
                for (item, why) in [("item:1", "invalid IBAN"), ("item:2", "account closed")] {
                    let _ = fail(&ctx, item, why).await;
                }
                anyhow::bail!("too many errors")
            }),
            origin: "workflow:order",
            says: &["too many errors", "item:1 failed with error: invalid IBAN before"],
        },
        Scenario {
            name: "items_of_one_name_of_which_some_went_well_were_not_made_good_by_the_next",
            story: run!(|ctx| {
                for why in ["", "invalid IBAN", "", "account closed", ""] {
                    let _ = if why.is_empty() {
                        pass(&ctx, "stage:payout").await
                    } else {
                        fail(&ctx, "stage:payout", why).await
                    };
                }
                anyhow::bail!("2 of 5 payouts failed")
            }),
            origin: "stage:payout",
            says: &["invalid IBAN", "account closed", "fixing one will not be enough"],
        },
        Scenario {
            name: "a_loop_that_prepares_for_a_next_attempt_gave_up_for_the_last_reason",
            story: run!(|ctx| {
                for _ in 0..3 {
                    if fail(&ctx, "stage:fetch", "403 Forbidden").await.is_ok() {
                        return Ok(());
                    }
                    pass(&ctx, "stage:refresh-token").await?;
                }
                anyhow::bail!("gave up after 3 attempts")
            }),
            origin: "stage:fetch",
            says: &["403 Forbidden", "it ended with error: gave up after 3 attempts"],
        },
    ]
}

fn by_chance() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_few_words_of_what_was_tolerated_may_be_there_by_chance",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:look-up-coupon", "not found").await;
                pass(&ctx, "stage:price").await?;
                anyhow::bail!("customer 42: not found")
            }),
            origin: "workflow:order",
            says: &["customer 42: not found", "stage:look-up-coupon failed with error: not found before"],
        },
        Scenario {
            name: "an_agent_that_quotes_a_tool_gave_up_because_of_it",
            story: run!(|ctx| {
                let _ = fail(&ctx, "tool:read-file", "no such file: src/a.rs").await;
                pass(&ctx, "llm:plan").await?;
                let _ = fail(&ctx, "tool:apply-patch", "hunk 3 does not apply").await;
                pass(&ctx, "llm:answer").await?;
                anyhow::bail!("the agent answered: \"hunk 3 does not apply\"")
            }),
            origin: "tool:apply-patch",
            says: &["hunk 3 does not apply", "it ended with error: the agent answered"],
        },
        Scenario {
            name: "of_equal_errors_the_one_that_was_not_made_good_was_kept",
            story: run!(|ctx| {
                let kept = fail(&ctx, "tool:lint", "exit status 1").await;
                let _ = fail(&ctx, "tool:fmt", "exit status 1").await;
                pass(&ctx, "tool:fmt").await?;
                kept.map_err(|error| error.context("checking"))
            }),
            origin: "tool:lint",
            says: &["exit status 1", "it ended with error: checking"],
        },
        Scenario {
            name: "a_reason_within_a_sentence_is_known_by_all_of_its_words",
            story: run!(|ctx| {
                let checked = fail(&ctx, "stage:kyc", "passport expired").await;
                checked.map_err(|error| anyhow::anyhow!("refused because {error} and nothing else is known"))
            }),
            origin: "stage:kyc",
            says: &["passport expired", "it ended with error: refused because"],
        },
    ]
}
