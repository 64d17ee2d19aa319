//! Failures as services have them: payments, imports, agents, queues, operators. What is expected of each was written down
//! before it was played.

use std::time::Duration;

use serde_json::json;
use throughline::TraceContext;

use crate::scenario::{Scenario, run};
use crate::stories::{fail, pass};

/// A call that fails.
async fn call(ctx: &TraceContext, target: &'static str, error: &'static str) -> anyhow::Result<()> {
    ctx.dependency("http", target, async move { Err::<(), _>(anyhow::anyhow!(error)) }).await?
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = attempts();
    all.extend(swallowed());
    all.extend(platform());
    all
}

/// What was tried again and again.
fn attempts() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_circuit_that_opened_names_the_calls_that_opened_it",
            story: run!(|ctx| {
                let step = ctx.step("stage:charge").run(|ctx| async move {
                    for _ in 0..5 {
                        let _ = call(&ctx, "acquirer", "503 Service Unavailable").await;
                    }
                    Err::<(), _>(anyhow::anyhow!("circuit `acquirer` is open"))
                });
                step.await?
            }),
            origin: "dependency:http acquirer",
            says: &["503 Service Unavailable", "it ended with", "circuit `acquirer` is open"],
        },
        Scenario {
            name: "a_loop_that_gave_up_failed_for_the_reason_of_its_last_attempt",
            story: run!(|ctx| {
                for _ in 0..3 {
                    if fail(&ctx, "stage:sync", "connection reset by peer").await.is_ok() {
                        return Ok(());
                    }
                }
                anyhow::bail!("gave up after 3 attempts")
            }),
            origin: "stage:sync",
            says: &["connection reset by peer", "gave up after 3 attempts"],
        },
        Scenario {
            name: "a_notification_that_fails_after_something_tolerated_is_the_origin",
            story: run!(|ctx| {
                pass(&ctx, "stage:charge").await?;
                let _ = fail(&ctx, "stage:warm-cache", "connection refused").await;
                fail(&ctx, "stage:notify-customer", "550 mailbox unavailable").await
            }),
            origin: "stage:notify-customer",
            says: &["550 mailbox unavailable", "stage:warm-cache"],
        },
        Scenario {
            name: "rows_of_which_some_went_well_are_no_attempts_at_one_thing",
            story: run!(|ctx| {
                pass(&ctx, "row").await?;
                let _ = fail(&ctx, "row", "row 2 has no date").await;
                let _ = fail(&ctx, "row", "row 3 has no date").await;
                anyhow::bail!("2 of 3 rows were rejected")
            }),
            origin: "workflow:order",
            says: &[
                "2 of 3 rows were rejected",
                "row failed 2 times, the last time with error: row 3 has no date",
            ],
        },
        Scenario {
            name: "a_tool_that_failed_all_the_time_is_what_an_agent_spent_its_turns_on",
            story: run!(|ctx| {
                for _ in 0..6 {
                    let _ = fail(&ctx, "tool:search", "exit status 1").await;
                    pass(&ctx, "tool:read").await?;
                }
                anyhow::bail!("no answer after 12 turns")
            }),
            origin: "tool:search",
            says: &[
                "exit status 1",
                "it ended with error: no answer after 12 turns",
                "tool:search was tried 6 times",
            ],
        },
        Scenario {
            name: "a_deadlock_that_no_attempt_resolved",
            story: run!(|ctx| {
                let step = ctx.step("stage:transfer");
                let transfer = step.retry(3, |_, _| async { Err::<(), _>("deadlock detected") });
                transfer.await?.map_err(|_| anyhow::anyhow!("the transfer was not booked"))
            }),
            origin: "stage:transfer",
            says: &["deadlock detected", "the transfer was not booked"],
        },
        Scenario {
            name: "a_token_that_could_not_be_renewed_is_the_origin_of_what_it_was_for",
            story: run!(|ctx| {
                pass(&ctx, "stage:page-1").await?;
                match fail(&ctx, "stage:page-2", "401 Unauthorized").await {
                    Err(_) => fail(&ctx, "stage:renew-token", "the refresh token was revoked").await,
                    Ok(()) => Ok(()),
                }
            }),
            origin: "stage:renew-token",
            says: &["the refresh token was revoked", "stage:page-2 failed with error: 401 Unauthorized"],
        },
    ]
}

/// What the code did not look at.
fn swallowed() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_result_that_nobody_looked_at_is_a_suspect",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:save", "the table is locked").await;
                pass(&ctx, "stage:index").await?;
                fail(&ctx, "stage:read", "no row for order-7").await
            }),
            origin: "stage:read",
            says: &["stage:save failed with error: the table is locked before, and workflow:order continued"],
        },
        Scenario {
            name: "an_empty_list_from_the_step_before_is_a_suspect",
            story: run!(|ctx| {
                let fetch = ctx.step("stage:fetch").capture_output();
                fetch.run(|_| async { anyhow::Ok(json!([])) }).await??;
                fail(&ctx, "stage:average", "attempt to divide by zero").await
            }),
            origin: "stage:average",
            says: &["stage:fetch succeeded, but its output was [] (inferred)"],
        },
        Scenario {
            name: "a_step_that_gave_back_nothing_which_the_origin_was_given_is_a_suspect",
            story: run!(|ctx| {
                let price = ctx.step("stage:price").capture_output();
                let price = price.run(|_| async { anyhow::Ok(None::<u32>) }).await??;
                let invoice = ctx.step("stage:invoice").input(&json!({"sku": "SKU-9", "price": price}));
                invoice.run(|_| async { Err::<(), _>(anyhow::anyhow!("a price must be positive")) }).await?
            }),
            origin: "stage:invoice",
            says: &["stage:price succeeded, but its output was null (inferred)"],
        },
        Scenario {
            name: "a_failure_whose_error_was_replaced_is_named_beside_the_new_one",
            story: run!(|ctx| {
                let step = ctx.step("stage:invoice").run(|ctx| async move {
                    let billed = call(&ctx, "billing", "the certificate has expired").await;
                    billed.map_err(|_| anyhow::anyhow!("no invoice number is available"))
                });
                step.await?
            }),
            origin: "stage:invoice",
            says: &[
                "no invoice number is available",
                "dependency:http billing failed with error: the certificate has expired, and stage:invoice began",
            ],
        },
        Scenario {
            name: "names_that_differ_at_their_end_are_told_apart",
            story: run!(|ctx| {
                pass(&ctx, "stage:settlement-of-cross-border-card-transactions-prepare").await?;
                fail(
                    &ctx,
                    "stage:settlement-of-cross-border-card-transactions-commit",
                    "the ledger is closed",
                )
                .await
            }),
            origin: "stage:settlement-of-cross-border-card-transactions-commit",
            says: &["ard-transactions-commit failed with", "transactions-prepare"],
        },
        Scenario {
            name: "five_hundred_equal_items_take_one_line",
            story: run!(|ctx| {
                for _ in 0..500 {
                    pass(&ctx, "item").await?;
                }
                fail(&ctx, "stage:sum", "the sum is negative").await
            }),
            origin: "stage:sum",
            says: &["item ×500"],
        },
    ]
}

/// What the machines and the services around do.
fn platform() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an_election_that_was_lost_ends_the_work",
            story: run!(|ctx| {
                let work = ctx.trace("stage:reindex", std::future::pending::<anyhow::Result<()>>());
                let lease = fail(&ctx, "stage:renew-lease", "node-b holds the lease");
                tokio::select! {
                    biased;
                    done = work => done?,
                    lost = lease => lost,
                }
            }),
            origin: "stage:renew-lease",
            says: &["node-b holds the lease", "cancelled: stage:reindex"],
        },
        Scenario {
            name: "a_name_that_does_not_resolve_is_told_to_the_innermost_error",
            story: run!(|ctx| {
                let call = ctx.dependency("http", "rates", async {
                    let error = anyhow::anyhow!("Name or service not known").context("dns error");
                    Err::<(), _>(error.context("error sending request for url (https://rates.example/eur)"))
                });
                call.await?.map_err(|error| error.context("cannot price the order"))
            }),
            origin: "dependency:http rates",
            says: &["because: dns error", "because: Name or service not known"],
        },
        Scenario {
            name: "a_disk_that_is_full_is_known_by_the_kind_of_its_error",
            story: run!(|ctx| {
                let write = ctx.trace("stage:write", async {
                    Err::<(), _>(std::io::Error::from(std::io::ErrorKind::StorageFull))
                });
                write.await?.map_err(anyhow::Error::from)
            }),
            origin: "stage:write",
            says: &["StorageFull"],
        },
        Scenario {
            name: "a_saga_that_could_not_be_undone_failed_for_its_first_reason",
            story: run!(|ctx| {
                let saga = ctx.saga("trip").run(|saga| async move {
                    let flight = saga.step("stage:flight").compensate(|(), ctx| async move {
                        fail(&ctx, "stage:cancel-flight", "the fare is not refundable").await
                    });
                    flight.run(|(), _| async { anyhow::Ok(()) }).await??;
                    let hotel = saga.step("stage:hotel").compensate(|(), _| async { anyhow::Ok(()) });
                    hotel.run(|(), _| async { Err::<(), _>(anyhow::anyhow!("no rooms in June")) }).await?
                });
                saga.await?.map_err(|failed| anyhow::Error::msg(failed.to_string()))
            }),
            origin: "stage:hotel",
            says: &["no rooms in June", "the fare is not refundable"],
        },
        Scenario {
            name: "a_job_that_failed_after_its_request_had_succeeded",
            story: run!(|ctx| {
                pass(&ctx, "stage:accept").await?;
                let job = ctx.child_workflow("payout").event_type("job:payout");
                let job = job.continue_from(ctx.job_propagation()).detached();
                let paid = job.run(|ctx| async move { call(&ctx, "bank", "the account is closed").await });
                let _ = paid.await?;
                Ok(())
            }),
            origin: "dependency:http bank",
            says: &["the account is closed"],
        },
        Scenario {
            name: "a_limit_on_time_around_a_limit_on_time_names_the_inner_one",
            story: run!(|ctx| {
                let step = ctx.step("stage:quote").run(|ctx| async move {
                    let slow = ctx.dependency("db", "prices", std::future::pending::<anyhow::Result<()>>());
                    let inner = ctx.timeout(Duration::from_millis(5), slow).await?;
                    inner?
                });
                match ctx.timeout(Duration::from_secs(60), step).await {
                    Ok(quoted) => quoted?,
                    Err(_) => anyhow::bail!("the quote took too long"),
                }
            }),
            origin: "stage:quote",
            says: &["while it waited for dependency:db prices"],
        },
    ]
}
