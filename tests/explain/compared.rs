//! What differs from good runs of the same workflow.

use std::time::Duration;

use serde_json::json;

use crate::scenario::{Run, Scenario, Story, body};
use crate::stories::{fail, pass};
use throughline::TraceContext;

pub(crate) fn all() -> Vec<Scenario> {
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
            says: &["it left the way of the nearest good run at ai:route, which chose differently"],
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
