//! Failures of services that call others: breakers, flags, retries, libraries that lose the source of an error.

use anyhow::{anyhow, bail};
use serde_json::json;
use throughline::TraceContext;

use crate::scenario::{Scenario, run};
use crate::stories::fail;

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an_open_breaker_serves_a_stale_price",
            story: run!(|ctx| {
                let price = ctx.step("stage:price").capture_output().run(|ctx| async move {
                    for _ in 0..3 {
                        let _ = call(&ctx, "pricing", "504 Gateway Timeout").await;
                    }
                    anyhow::Ok(json!({"price": 990, "as_of": "2025-11-01"}))
                });
                let price = price.await??;
                let step = ctx.step("stage:checkout").input(&price);
                step.run(|_| async { Err::<(), _>(anyhow!("the price is older than 24 h")) }).await?
            }),
            origin: "stage:checkout",
            says: &[
                "stage:price succeeded though dependency:http pricing failed in it",
                "went into stage:checkout",
            ],
        },
        Scenario {
            name: "a_flag_service_that_is_down_switches_to_the_old_way",
            story: run!(|ctx| {
                if let Err(error) = call(&ctx, "flags", "deadline has elapsed").await {
                    ctx.fallback("flag new-api unknown, off taken", &error).await?;
                }
                fail(&ctx, "stage:call-old-api", "410 Gone").await
            }),
            origin: "stage:call-old-api",
            says: &["410 Gone", "flag new-api unknown, off taken"],
        },
        Scenario {
            name: "retries_that_each_fail_differently",
            story: run!(|ctx| {
                for error in ["503 Service Unavailable", "429 Too Many Requests", "401 token expired"] {
                    let _ = call(&ctx, "crm", error).await;
                }
                bail!("retries exhausted")
            }),
            origin: "dependency:http crm",
            says: &["401 token expired", "failed differently", "503 Service Unavailable"],
        },
        Scenario {
            name: "an_error_of_a_client_library_without_its_source",
            story: run!(|ctx| {
                let step = ctx.step("stage:sync").run(|ctx| async move {
                    let called = call(&ctx, "crm", "Name or service not known").await;
                    called.map_err(|_| {
                        anyhow!("error sending request for url (https://crm.example/v1/contacts)")
                    })
                });
                step.await?
            }),
            origin: "dependency:http crm",
            says: &["Name or service not known", "error sending request"],
        },
        Scenario {
            name: "a_status_of_grpc_that_says_internal",
            story: run!(|ctx| {
                let step = ctx.step("stage:quote").run(|ctx| async move {
                    let called = ctx.dependency("db", "quotes", async { Err::<(), _>(anyhow!("too many connections for role \"quotes\"")) });
                    let called: anyhow::Result<()> = called.await?;
                    called.map_err(|_| anyhow!("status: Internal, message: \"internal error\", details: [], metadata: MetadataMap {{ headers: {{}} }}"))
                });
                step.await?
            }),
            origin: "dependency:db quotes",
            says: &["too many connections", "status: Internal"],
        },
        Scenario {
            name: "a_sum_type_without_text_replaces_the_reason",
            story: run!(|ctx| {
                #[derive(Debug, thiserror::Error)]
                enum CheckoutError {
                    #[error("checkout error")]
                    Payment,
                }
                let paid = fail(&ctx, "stage:pay", "3-D Secure was not completed").await;
                paid.map_err(|_| CheckoutError::Payment.into())
            }),
            origin: "stage:pay",
            says: &["3-D Secure was not completed", "checkout error"],
        },
    ]
}

async fn call(ctx: &TraceContext, target: &'static str, error: &'static str) -> anyhow::Result<()> {
    ctx.dependency("http", target, async move { Err::<(), _>(anyhow!(error)) }).await?
}
