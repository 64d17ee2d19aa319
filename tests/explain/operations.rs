//! Failures of ledgers, devices, migrations and jobs that run at night.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;
use throughline::TraceContext;

use crate::scenario::{Scenario, Story, body, run};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = ledger();
    all.extend(devices());
    all.extend(migrations());
    all.extend(cron());
    all
}

fn ledger() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_posting_that_could_not_be_reversed",
            story: run!(|ctx| {
                pass(&ctx, "stage:post-debit").await?;
                let credited = fail(&ctx, "stage:post-credit", "account 77 is frozen").await;
                fail(&ctx, "stage:reverse-debit", "entry 9 is locked").await?;
                credited
            }),
            origin: "stage:post-credit",
            says: &["account 77 is frozen", "it ended with", "entry 9 is locked"],
        },
        Scenario {
            name: "a_partial_import_unbalances_the_ledger",
            story: run!(|ctx| {
                let import = ctx.step("stage:import").run(|ctx| async move {
                    for n in 0..6 {
                        let name = if n == 4 { "row:4" } else { "row" };
                        if n == 4 {
                            let _ = fail(&ctx, name, "row 4 has no currency").await;
                        } else {
                            pass(&ctx, name).await?;
                        }
                    }
                    anyhow::Ok(())
                });
                import.await??;
                fail(&ctx, "stage:trial-balance", "debits 100 differ from credits 90").await
            }),
            origin: "stage:trial-balance",
            says: &["stage:import succeeded though row:4 failed in it"],
        },
        Scenario {
            name: "a_retry_meets_what_the_first_attempt_did",
            story: run!(|ctx| {
                let step = ctx.step("stage:capture").retry(2, |ctx, attempt| async move {
                    match attempt {
                        1 => call(&ctx, "psp", "operation timed out").await,
                        _ => call(&ctx, "psp", "409: payment pay_7 exists").await,
                    }
                });
                step.await?.context("capturing order-7")
            }),
            origin: "dependency:http psp",
            says: &[
                "409: payment pay_7 exists",
                "an earlier attempt at it failed differently",
                "operation timed out",
            ],
        },
        Scenario {
            name: "a_default_rate_breaks_the_books_three_steps_later",
            story: run!(|ctx| {
                let rate = call(&ctx, "rates", "503 Service Unavailable").await;
                if let Err(error) = rate {
                    ctx.fallback("no rate known, 1.0 taken", &error).await?;
                }
                for name in ["stage:convert", "stage:book", "stage:publish"] {
                    pass(&ctx, name).await?;
                }
                fail(&ctx, "stage:reconcile", "the books differ by 3100 EUR").await
            }),
            origin: "stage:reconcile",
            says: &["no rate known, 1.0 taken", "503 Service Unavailable"],
        },
        Scenario {
            name: "a_default_account_travels_through_outputs",
            story: run!(|ctx| {
                let found = ctx.step("stage:find-account").capture_output().run(|ctx| async move {
                    let _ = call(&ctx, "directory", "connection refused").await;
                    anyhow::Ok(json!({"account": "suspense-0"}))
                });
                found.await??;
                let booked = ctx.step("stage:book").input(&json!({"account": "suspense-0"})).capture_output();
                booked
                    .run(|_| async { anyhow::Ok(json!({"entry": "e-1", "account": "suspense-0"})) })
                    .await??;
                pass(&ctx, "stage:receipt").await?;
                let close = ctx.step("stage:close-day").input(&json!({"account": "suspense-0"}));
                close.run(|_| async { Err::<(), _>(anyhow!("the suspense account is not empty")) }).await?
            }),
            origin: "stage:close-day",
            says: &[
                "stage:find-account succeeded though dependency:http directory failed in it",
                "went into stage:close-day",
            ],
        },
    ]
}

fn devices() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_device_whose_time_zone_changed",
            story: Story::Compared {
                good: body!(|ctx| { reading(&ctx, "UTC", true).await }),
                bad: body!(|ctx| { reading(&ctx, "Europe/Zurich", false).await }),
            },
            origin: "stage:window",
            says: &["input stage:parse /zone: \"UTC\" → \"Europe/Zurich\" since the last 3 good runs"],
        },
        Scenario {
            name: "a_poisoned_message_is_parked",
            story: run!(|ctx| {
                for _ in 0..3 {
                    let handled = ctx.step("stage:handle").run(|ctx| async move {
                        fail(&ctx, "stage:decode", "field 3 has wire type 5").await
                    });
                    let _ = handled.await?;
                }
                pass(&ctx, "stage:park").await?;
                bail!("message m-9 was parked")
            }),
            origin: "stage:decode",
            says: &["field 3 has wire type 5", "message m-9 was parked"],
        },
        Scenario {
            name: "a_broker_that_cannot_be_reached",
            story: run!(|ctx| {
                for _ in 0..4 {
                    let _ = fail(&ctx, "mqtt:connect", "connection refused (os error 111)").await;
                    pass(&ctx, "stage:back-off").await?;
                }
                bail!("broker unreachable")
            }),
            origin: "mqtt:connect",
            says: &["connection refused", "broker unreachable"],
        },
        Scenario {
            name: "a_firmware_without_the_new_field",
            story: run!(|ctx| {
                let read = ctx.step("stage:read-config").capture_output();
                read.run(|_| async { anyhow::Ok(json!({"endpoint": null, "interval": 30})) }).await??;
                let send = ctx.step("stage:send").input(&json!({"endpoint": null}));
                send.run(|_| async { Err::<(), _>(anyhow!("relative URL without a base")) }).await?
            }),
            origin: "stage:send",
            says: &["stage:read-config succeeded, but"],
        },
        Scenario {
            name: "readings_of_which_some_were_refused",
            story: run!(|ctx| {
                for n in 0..5 {
                    if n % 2 == 1 {
                        let _ = fail(&ctx, "reading", "the sensor is not calibrated").await;
                    } else {
                        pass(&ctx, "reading").await?;
                    }
                }
                bail!("failed to ingest 2 readings")
            }),
            origin: "reading",
            says: &["the sensor is not calibrated", "failed to ingest 2 readings"],
        },
    ]
}

fn migrations() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_migration_that_could_not_be_taken_down",
            story: run!(|ctx| {
                pass(&ctx, "db:up-1").await?;
                pass(&ctx, "db:up-2").await?;
                let up = fail(&ctx, "db:up-3", "column sku exists already").await;
                pass(&ctx, "db:down-2").await?;
                fail(&ctx, "db:down-1", "lock timeout").await?;
                up
            }),
            origin: "db:up-3",
            says: &["column sku exists already", "it ended with", "lock timeout"],
        },
        Scenario {
            name: "a_backfill_that_stopped_at_a_chunk",
            story: run!(|ctx| {
                for name in ["chunk:1", "chunk:2"] {
                    pass(&ctx, name).await?;
                }
                let _ = fail(&ctx, "chunk:3", "value too long for type character varying(32)").await;
                bail!("backfill stopped at chunk 3")
            }),
            origin: "chunk:3",
            says: &["value too long", "backfill stopped at chunk 3"],
        },
        Scenario {
            name: "a_constraint_that_old_rows_do_not_meet",
            story: run!(|ctx| {
                let migrate = ctx.step("stage:migrate").run(|ctx| async move {
                    let add = ctx.dependency("db", "orders", async {
                        Err::<(), _>(
                            anyhow!("check constraint \"positive\" is violated by some row")
                                .context("error returned from database"),
                        )
                    });
                    let add: anyhow::Result<()> = add.await?;
                    add.map_err(|error| anyhow!("error while executing migration 7: {error}"))
                });
                migrate.await?
            }),
            origin: "dependency:db orders",
            says: &["is violated by some row"],
        },
        Scenario {
            name: "a_pool_that_the_run_itself_closed",
            story: run!(|ctx| {
                let pool = Arc::new(tokio::sync::Semaphore::new(1));
                let closing = pool.clone();
                let (used, checked) = tokio::join!(
                    ctx.trace("stage:copy", async move {
                        tokio::task::yield_now().await;
                        pool.acquire().await.map(drop).map_err(anyhow::Error::from)
                    }),
                    ctx.trace("stage:check-schema", async move {
                        closing.close();
                        Err::<(), _>(anyhow!("table orders has no primary key"))
                    }),
                );
                used??;
                checked?
            }),
            origin: "stage:check-schema",
            says: &["table orders has no primary key", "semaphore closed"],
        },
    ]
}

fn cron() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_job_that_ran_although_the_lock_was_held",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:acquire-lock", "the lock is held by run 41").await;
                pass(&ctx, "stage:collect").await?;
                fail(&ctx, "stage:insert", "duplicate key value violates unique constraint").await
            }),
            origin: "stage:insert",
            says: &[
                "stage:acquire-lock failed with error: the lock is held by run 41 before, and workflow:order continued",
            ],
        },
        Scenario {
            name: "a_lease_lost_while_a_report_was_written",
            story: run!(|ctx| {
                let (lost, mut told) = tokio::sync::watch::channel(false);
                let work = ctx.trace("stage:write-report", async move {
                    let _ = told.wait_for(|lost| *lost).await;
                    Err::<(), _>(anyhow!("task was cancelled"))
                });
                let heart = async {
                    let beat = fail(&ctx, "lease:renew", "the lease is owned by node-b since 02:00").await;
                    let _ = lost.send(true);
                    beat
                };
                let (worked, _) = tokio::join!(work, heart);
                worked?
            }),
            origin: "lease:renew",
            says: &["owned by node-b", "it ended with error: task was cancelled"],
        },
        Scenario {
            name: "an_hour_that_does_not_exist",
            story: run!(|ctx| {
                let window = ctx.step("stage:compute-window").run(|_| async {
                    Err::<(), _>(anyhow!("2026-03-29T02:30:00 does not exist in Europe/Zurich"))
                });
                window.await?.map_err(|error| anyhow!("could not schedule the nightly run: {error}"))
            }),
            origin: "stage:compute-window",
            says: &["does not exist in Europe/Zurich", "could not schedule"],
        },
        Scenario {
            name: "a_report_over_an_empty_day",
            story: run!(|ctx| {
                let rows = ctx.step("stage:query").capture_output();
                rows.run(|_| async { anyhow::Ok(json!({"rows": [], "count": 0})) }).await??;
                pass(&ctx, "stage:sort").await?;
                fail(&ctx, "stage:chart", "the range of the axis is empty").await
            }),
            origin: "stage:chart",
            says: &["stage:query succeeded, but its output was"],
        },
    ]
}

async fn call(ctx: &TraceContext, target: &'static str, error: &'static str) -> anyhow::Result<()> {
    ctx.dependency("http", target, async move { Err::<(), _>(anyhow!(error)) }).await?
}

async fn reading(ctx: &TraceContext, zone: &'static str, is_good: bool) -> anyhow::Result<()> {
    let parsed = ctx.step("stage:parse").input(&json!({"device": "d-7", "zone": zone}));
    parsed.run_infallible(|_| async {}).await?;
    if is_good {
        pass(ctx, "stage:window").await
    } else {
        fail(ctx, "stage:window", "the reading is 3600 s in the future").await
    }
}
