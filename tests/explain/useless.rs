//! Errors that say little: useless messages, errors printed by `{:?}`, victims of what failed beside them. And errors that say
//! why, with words that useless ones have.

use anyhow::Context as _;

use crate::scenario::{Scenario, run};
use crate::stories::{fail, pass};

#[derive(Debug, thiserror::Error)]
enum PayError {
    #[error("the card issuer declined the payment")]
    Declined { code: u8 },
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = little();
    all.extend(more_than_it_seems());
    all
}

fn little() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_polite_error_says_nothing",
            story: run!(|ctx| {
                pass(&ctx, "stage:reserve").await?;
                let charged = fail(&ctx, "stage:charge", "card expired").await;
                charged.map_err(|_| anyhow::anyhow!("Something went wrong, please try again later."))
            }),
            origin: "stage:charge",
            says: &["card expired", "please try again later"],
        },
        Scenario {
            name: "an_error_that_says_nothing_is_no_origin_though_something_succeeded_afterwards",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:warm-cache", "connection refused").await;
                pass(&ctx, "stage:prepare").await?;
                let _ = fail(&ctx, "stage:load", "unique constraint violated").await;
                pass(&ctx, "stage:save-report").await?;
                anyhow::bail!("import failed")
            }),
            origin: "stage:load",
            says: &["unique constraint violated", "import failed"],
        },
        Scenario {
            name: "an_error_that_was_unwrapped_is_known_by_its_variant",
            story: run!(|ctx| {
                let paid =
                    ctx.trace("stage:authorize", async { Err::<(), _>(PayError::Declined { code: 5 }) });
                let paid = paid.await?;
                paid.map_err(|error| anyhow::anyhow!("payment failed: {error:?}"))
            }),
            origin: "stage:authorize",
            says: &["the card issuer declined the payment", "Declined { code: 5 }"],
        },
        Scenario {
            name: "an_error_that_was_cut_off_is_known_by_its_beginning",
            story: run!(|ctx| {
                let long = "duplicate key value violates unique constraint uq_orders_customer_id_sku";
                let saved = fail(&ctx, "stage:sql", long).await;
                saved.map_err(|error| anyhow::anyhow!("saving: {:.48}...", error.to_string()))
            }),
            origin: "stage:sql",
            says: &["uq_orders_customer_id_sku"],
        },
        Scenario {
            name: "the_innermost_of_very_many_errors_is_kept",
            story: run!(|ctx| {
                let mut read = fail(&ctx, "stage:read", "sector 7 unreadable").await;
                for level in 1..=20 {
                    read = read.with_context(|| format!("level {level}"));
                }
                read
            }),
            origin: "stage:read",
            says: &["sector 7 unreadable", "level 20"],
        },
    ]
}

fn more_than_it_seems() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an_unknown_country_is_a_reason",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:warm-cache", "connection refused").await;
                anyhow::bail!("unknown country XX")
            }),
            origin: "workflow:order",
            says: &["unknown country XX", "stage:warm-cache"],
        },
        Scenario {
            name: "a_compensation_that_failed_is_not_why_something_was_undone",
            story: run!(|ctx| {
                let reserved = ctx.step("stage:reserve").run(|ctx| async move { anyhow::Ok(ctx.span_id()) });
                let reserved = reserved.await??;
                if fail(&ctx, "stage:pay", "card expired").await.is_err() {
                    let refund = async { Err::<(), _>(anyhow::anyhow!("refund rejected")) };
                    ctx.compensate("stage:reserve", reserved, refund).await??;
                }
                Ok(())
            }),
            origin: "stage:pay",
            says: &["card expired", "refund rejected"],
        },
        Scenario {
            name: "what_another_run_failed_with_is_not_what_was_tolerated_here",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:cache", "the account is blocked").await;
                pass(&ctx, "stage:prepare").await?;
                let billing = ctx.child_workflow("billing").key("bill-7");
                billing
                    .run(|ctx| async move { fail(&ctx, "stage:charge", "the account is blocked").await })
                    .await?
            }),
            origin: "workflow:order",
            says: &[
                "the account is blocked",
                "what failed is in child billing bill-7, whose error it ended with",
            ],
        },
    ]
}
