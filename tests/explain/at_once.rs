//! Branches of which each has failed before the next one begins.

use std::sync::Arc;

use anyhow::{anyhow, bail};

use crate::scenario::{Scenario, run};

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "branches_that_fail_at_once_and_an_error_that_says_nothing",
            story: run!(|ctx| {
                let (stock, credit) = tokio::join!(
                    ctx.trace("stage:stock", async { Err::<(), _>(anyhow!("2 left of sku 7")) }),
                    ctx.trace("stage:credit", async { Err::<(), _>(anyhow!("limit of 500 reached")) }),
                );
                if stock?.is_err() || credit?.is_err() {
                    bail!("checks failed")
                }
                Ok(())
            }),
            origin: "stage:stock",
            says: &[
                "stage:stock and stage:credit failed beside each other, stage:stock first",
                "limit of 500 reached",
            ],
        },
        Scenario {
            name: "branches_that_fail_at_once_with_one_error_that_they_share",
            story: run!(|ctx| {
                let expired = || Arc::new(std::io::Error::other("certificate expired"));
                let connected = ctx.trace("db:connect", async { Err::<(), _>(expired()) }).await?;
                let error = connected.unwrap_err();
                let read = |name| {
                    let error = Arc::clone(&error);
                    ctx.trace(name, async move { Err::<(), _>(error) })
                };
                let (orders, prices) = tokio::join!(read("stage:read-orders"), read("stage:read-prices"));
                orders??;
                prices??;
                Ok(())
            }),
            origin: "stage:read-orders",
            says: &[
                "certificate expired",
                "the same error was tolerated earlier in db:connect",
                "stage:read-prices failed after it with the same error: what helps one may help both",
            ],
        },
    ]
}
