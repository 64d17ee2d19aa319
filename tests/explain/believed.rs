//! Errors that say why, and something else that failed nearby.

use anyhow::{Context as _, anyhow, bail};

use crate::scenario::{Scenario, run};
use crate::steps::{call, late, panicking};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "avatars_that_nobody_needs_fail_each_time",
            story: run!(|ctx| {
                let step = ctx.step("stage:profile").run(|ctx| async move {
                    for _ in 0..2 {
                        let _ = call(&ctx, "http", "gravatar", "404 Not Found").await;
                    }
                    Err::<(), _>(anyhow!("birth date 2031-01-01 lies in the future"))
                });
                step.await?
            }),
            origin: "stage:profile",
            says: &["birth date 2031-01-01 lies in the future"],
        },
        Scenario {
            name: "an_optional_worker_panicked_before_the_card_was_declined",
            story: run!(|ctx| {
                let thumbs = panicking(&ctx, "stage:thumbnail");
                let _ = thumbs.await;
                bail!("the card was declined by its issuer")
            }),
            origin: "workflow:order",
            says: &["the card was declined by its issuer", "stage:thumbnail"],
        },
        Scenario {
            name: "an_optional_saga_failed_before_the_card_was_declined",
            story: run!(|ctx| {
                let upsell = ctx.saga("upsell").run(|saga| async move {
                    saga.step("stage:add-socks")
                        .run(|(), _| async { Err::<(), _>(anyhow!("socks are sold out")) })
                        .await??;
                    anyhow::Ok(())
                });
                let _ = upsell.await?;
                bail!("the card was declined by its issuer")
            }),
            origin: "workflow:order",
            says: &["the card was declined by its issuer"],
        },
        Scenario {
            name: "the_disk_is_full_and_avatars_failed_all_along",
            story: run!(|ctx| {
                let step = ctx.step("stage:import").run(|ctx| async move {
                    for _ in 0..3 {
                        let _ = call(&ctx, "http", "gravatar", "404 Not Found").await;
                        pass(&ctx, "stage:insert").await?;
                    }
                    Err::<(), _>(anyhow!("storage quota exceeded: 10 GB of 10 GB"))
                });
                step.await?
            }),
            origin: "stage:import",
            says: &["storage quota exceeded: 10 GB of 10 GB"],
        },
        Scenario {
            name: "a_word_of_the_error_is_the_name_of_a_step",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:stock", "the replica lags by 40 s").await;
                bail!("stock keeping unit SKU-9 was discontinued")
            }),
            origin: "workflow:order",
            says: &["stock keeping unit SKU-9 was discontinued", "replica lags"],
        },
        Scenario {
            name: "an_index_that_was_tried_twice_was_not_needed",
            story: run!(|ctx| {
                for _ in 0..2 {
                    let _ = fail(&ctx, "stage:index", "elastic: 429").await;
                }
                bail!("VAT id DE1 does not belong to ACME")
            }),
            origin: "workflow:order",
            says: &["VAT id DE1 does not belong to ACME"],
        },
        Scenario {
            name: "an_error_has_a_word_that_is_the_name_of_a_tool",
            story: run!(|ctx| {
                let _ = fail(&ctx, "tool:search", "503").await;
                bail!("search term `;drop` is forbidden")
            }),
            origin: "workflow:order",
            says: &["search term `;drop` is forbidden"],
        },
        Scenario {
            name: "a_limit_of_credit_is_no_budget_of_calls",
            story: run!(|ctx| {
                for _ in 0..3 {
                    let _ = fail(&ctx, "tool:geo", "no key").await;
                    pass(&ctx, "tool:price").await?;
                }
                bail!("credit limit exceeded by 40 EUR after 3 calls")
            }),
            origin: "workflow:order",
            says: &["credit limit exceeded by 40 EUR"],
        },
        Scenario {
            name: "a_broker_closed_the_channel_and_said_why",
            story: run!(|ctx| {
                let (stats, sent) = tokio::join!(
                    late(&ctx, "stage:metrics", "statsd: no route to host"),
                    ctx.dependency("amqp", "orders", async {
                        for _ in 0..4 {
                            tokio::task::yield_now().await;
                        }
                        Err::<(), _>(anyhow!(
                            "channel closed: 406 PRECONDITION_FAILED - unknown delivery tag 80"
                        ))
                    }),
                );
                let _ = stats;
                sent?
            }),
            origin: "dependency:amqp orders",
            says: &["406 PRECONDITION_FAILED"],
        },
        Scenario {
            name: "a_reset_by_a_payment_service_while_an_optional_worker_panicked",
            story: run!(|ctx| {
                let thumbs = panicking(&ctx, "stage:thumbnail");
                let paid = ctx.dependency("http", "stripe", async move {
                    let _ = thumbs.await;
                    Err::<(), _>(std::io::Error::new(
                        std::io::ErrorKind::ConnectionReset,
                        "connection reset by peer",
                    ))
                });
                paid.await?.context("charging the card")
            }),
            origin: "dependency:http stripe",
            says: &["connection reset by peer"],
        },
        Scenario {
            name: "a_worker_that_was_ended_for_want_of_memory",
            story: run!(|ctx| {
                let (a, b) = tokio::join!(
                    late(&ctx, "stage:stats", "statsd: no route to host"),
                    ctx.trace("stage:worker-2", async {
                        for _ in 0..4 {
                            tokio::task::yield_now().await;
                        }
                        Err::<(), _>(anyhow!("worker terminated: out of memory (limit 512 MiB)"))
                    })
                );
                let _ = a;
                b?
            }),
            origin: "stage:worker-2",
            says: &["out of memory"],
        },
        Scenario {
            name: "a_task_is_closed_because_its_ticket_is_locked",
            story: run!(|ctx| {
                let (a, b) = tokio::join!(
                    late(&ctx, "stage:metrics", "statsd: no route to host"),
                    ctx.dependency("db", "orders", async {
                        for _ in 0..4 {
                            tokio::task::yield_now().await;
                        }
                        Err::<(), _>(anyhow!("task closed: ticket T-9 is locked by ann"))
                    })
                );
                let _ = a;
                b?
            }),
            origin: "dependency:db orders",
            says: &["ticket T-9 is locked by ann"],
        },
        Scenario {
            name: "a_queue_is_closed_for_the_night_and_a_panic_was_long_before",
            story: run!(|ctx| {
                let _ = panicking(&ctx, "stage:thumbnail").await;
                for n in ["stage:a", "stage:b", "stage:c"] {
                    pass(&ctx, n).await?;
                }
                fail(&ctx, "queue:publish", "queue closed for maintenance until 06:00").await
            }),
            origin: "queue:publish",
            says: &["queue closed"],
        },
    ]
}
