//! Time that ran out.

use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::scenario::{Scenario, run};
use crate::steps::{call, late, never};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "two_equal_limits_of_which_one_was_put_up_with",
            story: run!(|ctx| {
                let recommend = ctx.step("stage:recommend").run(|ctx| async move {
                    let asked = ctx.dependency("http", "recommender", never());
                    ctx.timeout(Duration::from_millis(20), asked).await???;
                    anyhow::Ok(())
                });
                let _ = recommend.await?;
                pass(&ctx, "stage:cart").await?;
                let tax = ctx.dependency("http", "tax", never());
                ctx.timeout(Duration::from_millis(20), tax).await???;
                Ok(())
            }),
            origin: "workflow:order",
            says: &["it took longer than 20ms", "while it waited for dependency:http tax"],
        },
        Scenario {
            name: "two_equal_limits_of_tokio_of_which_one_was_put_up_with",
            story: run!(|ctx| {
                let recommend = ctx.step("stage:recommend").run(|ctx| async move {
                    let asked = ctx.dependency("http", "recommender", never());
                    tokio::time::timeout(Duration::from_millis(15), asked).await???;
                    anyhow::Ok(())
                });
                let _ = recommend.await?;
                pass(&ctx, "stage:cart").await?;
                let tax = ctx.dependency("http", "tax", never());
                tokio::time::timeout(Duration::from_millis(15), tax).await???;
                Ok(())
            }),
            origin: "workflow:order",
            says: &["deadline has elapsed", "dependency:http tax"],
        },
        Scenario {
            name: "the_time_ran_out_while_it_cleaned_up",
            story: run!(|ctx| {
                let work = async {
                    let imported = fail(&ctx, "stage:import", "bad header in line 1").await;
                    if imported.is_err() {
                        ctx.trace("stage:cleanup", never()).await??;
                    }
                    imported
                };
                ctx.timeout(Duration::from_millis(30), work).await??;
                Ok(())
            }),
            origin: "stage:import",
            says: &["bad header in line 1", "took longer than 30ms"],
        },
        Scenario {
            name: "the_time_ran_out_between_two_attempts",
            story: run!(|ctx| {
                let tries = async {
                    for _ in 0..2 {
                        let _ = call(&ctx, "http", "pay", "503 Service Unavailable").await;
                    }
                    never().await
                };
                ctx.timeout(Duration::from_millis(30), tries).await??;
                Ok(())
            }),
            origin: "dependency:http pay",
            says: &["503 Service Unavailable", "it took longer than 30ms"],
        },
        Scenario {
            name: "of_two_steps_with_equal_limits_the_second_counts",
            story: run!(|ctx| {
                for (name, to) in [("stage:a", "one"), ("stage:b", "two")] {
                    let step = ctx.step(name).run(move |ctx| async move {
                        let asked = ctx.dependency("http", to, never());
                        ctx.timeout(Duration::from_millis(10), asked).await???;
                        anyhow::Ok(())
                    });
                    let done = step.await?;
                    if name == "stage:b" {
                        done?;
                    }
                    pass(&ctx, "stage:x").await?;
                }
                Ok(())
            }),
            origin: "stage:b",
            says: &["while it waited for dependency:http two"],
        },
        Scenario {
            name: "limits_within_limits_and_a_new_text_at_each",
            story: run!(|ctx| {
                let offer = ctx.step("stage:offer").run(|ctx| async move {
                    let quote = ctx.step("stage:quote").retry(2, |ctx, _| async move {
                        let asked = ctx.dependency("http", "carrier", never());
                        let asked = ctx.timeout(Duration::from_millis(10), asked).await;
                        asked.map_err(|_| anyhow!("carrier did not answer"))???;
                        anyhow::Ok(())
                    });
                    quote.await?.map_err(|_| anyhow!("no quote could be made"))
                });
                ctx.timeout(Duration::from_secs(5), offer)
                    .await??
                    .map_err(|_| anyhow!("checkout unavailable"))
            }),
            origin: "stage:quote",
            says: &["carrier did not answer", "while it waited for dependency:http carrier"],
        },
        Scenario {
            name: "no_connection_while_a_report_holds_them",
            story: run!(|ctx| {
                let acquire = async {
                    late(&ctx, "db:acquire", "pool timed out waiting for a connection (max 5)").await
                };
                let report = ctx.trace("stage:report", never());
                tokio::select! {
                    done = report => done?,
                    failed = acquire => failed.context("loading order 7"),
                }
            }),
            origin: "db:acquire",
            says: &["timed out waiting for a connection"],
        },
    ]
}
