//! What differs from good runs of the same workflow.

use std::time::Duration;

use serde_json::json;

use crate::scenario::{Run, Scenario, Story, body};
use crate::stories::{fail, pass};
use throughline::TraceContext;

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = differences();
    all.extend(put_up_with());
    all.extend(flags());
    all
}

fn put_up_with() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "what_good_runs_put_up_with_is_no_suspect",
            story: Story::Compared {
                good: body!(|ctx| {
                    let _ = fail(&ctx, "stage:recommend", "model server 503").await;
                    pass(&ctx, "stage:charge").await
                }),
                bad: body!(|ctx| {
                    let _ = fail(&ctx, "stage:recommend", "model server 503").await;
                    let _ = fail(&ctx, "stage:score", "no history").await;
                    fail(&ctx, "stage:charge", "card declined").await
                }),
            },
            origin: "stage:charge",
            says: &[
                "stage:recommend went wrong in the same way in the last 3 good runs, too: it is no suspect",
                "stage:score failed with error: no history before, and workflow:order continued",
            ],
        },
        Scenario {
            name: "an_origin_that_good_runs_put_up_with_is_doubted",
            story: Story::Compared {
                good: body!(|ctx| {
                    let _ = fail(&ctx, "stage:recommend", "model server 503").await;
                    pass(&ctx, "stage:save").await
                }),
                bad: body!(|ctx| {
                    let _ = fail(&ctx, "stage:recommend", "model server 503").await;
                    pass(&ctx, "stage:save").await?;
                    anyhow::bail!("order failed")
                }),
            },
            origin: "stage:recommend",
            says: &["in the last 3 good runs, too: what brought this one down may be something else"],
        },
    ]
}

fn differences() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_flag_that_was_switched_on_since_the_last_good_runs",
            story: Story::Compared {
                good: body!(|ctx| { price(&ctx, "off", false).await }),
                bad: body!(|ctx| { price(&ctx, "on", true).await }),
            },
            origin: "stage:price",
            says: &["flag.new-pricing off → on since the last 3 good runs (by comparison)"],
        },
        Scenario {
            name: "a_step_that_was_left_out_and_one_that_is_new",
            story: Story::Compared {
                good: body!(|ctx| {
                    pass(&ctx, "stage:validate").await?;
                    pass(&ctx, "stage:ship").await
                }),
                bad: body!(|ctx| {
                    pass(&ctx, "stage:discount").await?;
                    fail(&ctx, "stage:ship", "the address is empty").await
                }),
            },
            origin: "stage:ship",
            says: &[
                "stage:validate is missing, which the last 3 good runs had before this (by comparison)",
                "stage:discount is new: none of the last 3 good runs had it (by comparison)",
            ],
        },
        Scenario {
            name: "a_choice_at_which_it_left_the_way_of_good_runs",
            story: Story::Compared {
                good: body!(|ctx| {
                    ctx.decision("ai:route").consider("post", 0.9).choose("post").await?;
                    pass(&ctx, "stage:ship").await
                }),
                bad: body!(|ctx| {
                    ctx.decision("ai:route").consider("express", 0.9).choose("express").await?;
                    fail(&ctx, "stage:ship", "nobody goes there").await
                }),
            },
            origin: "stage:ship",
            says: &["choice ai:route: post → express since the last 3 good runs (by comparison)"],
        },
        Scenario {
            name: "a_step_that_was_tolerated_to_fail_is_where_it_left_the_way_of_good_runs",
            story: Story::Compared {
                good: body!(|ctx| {
                    pass(&ctx, "stage:coupon").await?;
                    pass(&ctx, "stage:ship").await
                }),
                bad: body!(|ctx| {
                    let _ = fail(&ctx, "stage:coupon", "the coupon has expired").await;
                    fail(&ctx, "stage:ship", "the address is empty").await
                }),
            },
            origin: "stage:ship",
            says: &["it left the way of the nearest good run at stage:coupon, which ended differently"],
        },
        Scenario {
            name: "a_step_that_is_at_it_for_much_longer_than_usual",
            story: Story::Compared { good: quick, bad: slow },
            origin: "stage:total",
            says: &["stage:check: ", " usually, ", "(by comparison)"],
        },
        Scenario {
            name: "a_step_that_was_given_another_value_than_in_good_runs",
            story: Story::Compared {
                good: body!(|ctx| {
                    let step = ctx.step("stage:price").input(&json!({"country": "DE"}));
                    step.run(|_| async { anyhow::Ok(()) }).await?
                }),
                bad: body!(|ctx| {
                    let step = ctx.step("stage:price").input(&json!({"country": "CH"}));
                    step.run(|_| async { Err::<(), _>(anyhow::anyhow!("no price list for CH")) }).await?
                }),
            },
            origin: "stage:price",
            says: &["input stage:price /country: \"DE\" → \"CH\" since the last 3 good runs"],
        },
    ]
}

/// A flag that is off in good runs and on in the bad one, wherever it is recorded.
macro_rules! flag {
    ($name:literal, $says:literal, |$ctx:ident, $is_on:ident| $record:block) => {
        Scenario {
            name: $name,
            story: Story::Compared {
                good: body!(|$ctx| {
                    let $is_on = false;
                    $record
                    pass(&$ctx, "stage:tax").await
                }),
                bad: body!(|$ctx| {
                    let $is_on = true;
                    $record
                    fail(&$ctx, "stage:tax", "no rate for CH").await
                }),
            },
            origin: "stage:tax",
            says: &[$says],
        }
    };
}

fn flags() -> Vec<Scenario> {
    vec![
        flag!(
            "a_flag_that_the_run_was_annotated_with_is_told",
            "flag.new-tax off → on since the last 3 good runs",
            |ctx, is_on| {
                ctx.annotate("flag.new-tax", if is_on { "on" } else { "off" });
            }
        ),
        flag!(
            "a_flag_that_a_step_was_annotated_with_is_told",
            "flag.new-tax off → on since the last 3 good runs",
            |ctx, is_on| {
                let flags = ctx.step("stage:flags").run(|ctx| async move {
                    ctx.annotate("flag.new-tax", if is_on { "on" } else { "off" });
                    anyhow::Ok(())
                });
                flags.await??;
            }
        ),
        flag!(
            "a_flag_in_the_data_of_an_event_is_told_also_of_the_second_one",
            "data flag:evaluated no. 2 /value: false → true since the last 3 good runs",
            |ctx, is_on| {
                ctx.event("flag:evaluated", json!({"flag": "new-cart", "value": true})).await?;
                ctx.event("flag:evaluated", json!({"flag": "new-tax", "value": is_on})).await?;
            }
        ),
        flag!(
            "a_flag_in_the_output_of_a_step_that_differs_is_told",
            "output stage:load-config /new_tax: false → true since the last 3 good runs",
            |ctx, is_on| {
                let config = ctx.step("stage:load-config").capture_output();
                config.run(|_| async move { anyhow::Ok(json!({"new_tax": is_on})) }).await??;
            }
        ),
        flag!(
            "a_flag_among_the_tags_of_a_step_is_told",
            "tags stage:load: flag:new-tax=off → flag:new-tax=on since the last 3 good runs",
            |ctx, is_on| {
                let tag = if is_on { "flag:new-tax=on" } else { "flag:new-tax=off" };
                ctx.step("stage:load").tag(tag).run(|_| async { anyhow::Ok(()) }).await??;
            }
        ),
        flag!(
            "a_flag_that_was_decided_on_is_told",
            "choice flag:new-tax: off → on since the last 3 good runs",
            |ctx, is_on| {
                ctx.decision("flag:new-tax").choose(if is_on { "on" } else { "off" }).await?;
            }
        ),
        flag!(
            "a_flag_in_the_name_of_an_event_is_told",
            "flag:new-tax-on is new: none of the last 3 good runs had it",
            |ctx, is_on| {
                ctx.event(if is_on { "flag:new-tax-on" } else { "flag:new-tax-off" }, json!({})).await?;
            }
        ),
    ]
}

async fn price(ctx: &TraceContext, flag: &'static str, fails: bool) -> anyhow::Result<()> {
    let step = ctx.step("stage:price").attr("flag.new-pricing", flag);
    step.run(|_| async move {
        anyhow::ensure!(!fails, "no price list");
        Ok(())
    })
    .await?
}

fn quick(ctx: TraceContext) -> Run {
    Box::pin(async move {
        pass(&ctx, "stage:check").await?;
        pass(&ctx, "stage:total").await
    })
}

/// Takes the time itself, which is what a slow step is made of.
fn slow(ctx: TraceContext) -> Run {
    Box::pin(async move {
        ctx.trace_infallible("stage:check", tokio::time::sleep(Duration::from_millis(250))).await?;
        fail(&ctx, "stage:total", "the sum is negative").await
    })
}
