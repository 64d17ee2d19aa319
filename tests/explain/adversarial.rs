//! Failures that are told to mislead: what looks like the origin is not.

use std::time::Duration;

use serde_json::json;

use crate::scenario::{Scenario, run};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = texts();
    all.extend(places());
    all.extend(values());
    all
}

/// Texts that look alike, and texts that say little to somebody who only knows English.
fn texts() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_step_that_is_called_again_is_told_from_its_earlier_call",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:charge", "connection refused").await;
                for name in ["stage:load", "stage:price"] {
                    pass(&ctx, name).await?;
                }
                let charged = ctx.step("stage:charge").attr("delivery", "second");
                charged.run(|_| async { Err::<(), _>(anyhow::anyhow!("connection refused")) }).await?
            }),
            origin: "stage:charge",
            says: &["delivery second", "the same error was tolerated earlier in stage:charge"],
        },
        Scenario {
            name: "an_error_in_a_script_without_spaces_says_why",
            story: run!(|ctx| {
                let step = ctx.step("stage:charge").run(|ctx| async move {
                    let _ = fail(&ctx, "dependency:cache", "接続が拒否されました").await;
                    anyhow::bail!("残高不足です");
                });
                let step: anyhow::Result<()> = step.await?;
                step
            }),
            origin: "stage:charge",
            says: &["残高不足です"],
        },
        Scenario {
            name: "an_error_in_another_language_is_found_in_the_one_around_it",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:cache", "Zeitüberschreitung").await;
                pass(&ctx, "stage:load").await?;
                let failed = fail(&ctx, "stage:charge", "Karte abgelehnt").await;
                pass(&ctx, "stage:notify-owner").await?;
                failed.map_err(|error| anyhow::anyhow!("Bestellung fehlgeschlagen: {error}"))
            }),
            origin: "stage:charge",
            says: &["Karte abgelehnt", "it ended with", "Bestellung fehlgeschlagen"],
        },
        Scenario {
            name: "an_error_within_the_text_of_another_was_tolerated_before_too",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:warm-cache", "connection refused").await;
                pass(&ctx, "stage:load").await?;
                let charged = fail(&ctx, "stage:charge", "connection refused").await;
                charged.map_err(|error| anyhow::anyhow!("charging: {error}"))
            }),
            origin: "stage:charge",
            says: &["the same error was tolerated earlier in stage:warm-cache"],
        },
        Scenario {
            name: "several_failures_in_one_error_are_all_named",
            story: run!(|ctx| {
                let (seven, nine) = tokio::join!(
                    fail(&ctx, "item:7", "row 7 has no date"),
                    fail(&ctx, "item:9", "row 9 has no name"),
                );
                let texts: Vec<String> = [seven, nine]
                    .into_iter()
                    .filter_map(Result::err)
                    .map(|error| error.to_string())
                    .collect();
                anyhow::bail!("2 rows were refused: {}", texts.join("; "))
            }),
            origin: "item:7",
            says: &["row 7 has no date", "item:9 failed after it", "fixing one will not be enough"],
        },
        Scenario {
            name: "of_two_branches_the_one_whose_error_was_returned_is_the_origin",
            story: run!(|ctx| {
                let (first, second) = tokio::join!(
                    fail(&ctx, "stage:audit", "no auditor"),
                    fail(&ctx, "stage:book", "the flight is full"),
                );
                let _ = first;
                second.map_err(|error| error.context("booking"))
            }),
            origin: "stage:book",
            says: &[
                "the flight is full",
                "stage:audit failed with error: no auditor before, and workflow:order continued",
            ],
        },
    ]
}

/// Steps whose names or places suggest what they are not.
fn places() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_step_that_releases_what_the_run_made_is_the_work_itself",
            story: run!(|ctx| {
                pass(&ctx, "stage:build").await?;
                let _ = fail(&ctx, "stage:lint", "2 warnings").await;
                fail(&ctx, "stage:release", "the tag v3 exists").await
            }),
            origin: "stage:release",
            says: &["the tag v3 exists", "stage:lint failed"],
        },
        Scenario {
            name: "a_refund_that_is_ordered_is_the_work_itself",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:load-policy", "no policy for CH").await;
                fail(&ctx, "stage:refund", "the account is closed").await
            }),
            origin: "stage:refund",
            says: &["the account is closed", "stage:load-policy failed"],
        },
        Scenario {
            name: "a_lock_that_cannot_be_released_after_a_failure_is_the_symptom",
            story: run!(|ctx| {
                pass(&ctx, "stage:acquire-lock").await?;
                let failed = fail(&ctx, "stage:write", "the disk is full").await;
                fail(&ctx, "stage:release-lock", "the lease has expired").await?;
                failed
            }),
            origin: "stage:write",
            says: &["the disk is full", "it ended with", "the lease has expired"],
        },
        Scenario {
            name: "a_reservation_that_cannot_be_released_is_the_symptom",
            story: run!(|ctx| {
                pass(&ctx, "stage:reserve-seats").await?;
                let failed = fail(&ctx, "stage:pay", "the account is closed").await;
                fail(&ctx, "stage:release-reservation", "503").await?;
                failed
            }),
            origin: "stage:pay",
            says: &["the account is closed", "it ended with", "503"],
        },
        Scenario {
            name: "a_failure_deep_in_a_step_that_passed_it_on_is_the_origin",
            story: run!(|ctx| {
                let outer = ctx.step("stage:outer").run(|ctx| async move {
                    let middle = ctx.step("stage:middle").run(|ctx| async move {
                        let _ = fail(&ctx, "stage:probe", "the disk is full").await;
                        pass(&ctx, "stage:prepare").await?;
                        fail(&ctx, "stage:inner", "the disk is full").await
                    });
                    middle.await?.map_err(|error| error.context("middle"))
                });
                outer.await?.map_err(|error| error.context("outer"))
            }),
            origin: "stage:inner",
            says: &["the disk is full", "tolerated earlier in stage:probe"],
        },
        Scenario {
            name: "a_branch_that_was_dropped_because_another_failed_is_not_the_origin",
            story: run!(|ctx| {
                let slow = ctx.trace("stage:slow", std::future::pending::<anyhow::Result<()>>());
                let slow = async { slow.await? };
                tokio::try_join!(slow, fail(&ctx, "stage:quick", "no stock")).map(drop)
            }),
            origin: "stage:quick",
            says: &["no stock", "cancelled: stage:slow"],
        },
        Scenario {
            name: "a_time_limit_that_a_step_set_itself_names_what_it_waited_for",
            story: run!(|ctx| {
                let step = ctx.step("stage:quote").run(|ctx| async move {
                    let call =
                        ctx.dependency("http", "carrier-api", std::future::pending::<anyhow::Result<()>>());
                    match ctx.timeout(Duration::from_millis(10), call).await {
                        Ok(done) => done?,
                        Err(_) => anyhow::bail!("キャリアが応答しませんでした"),
                    }
                });
                step.await?
            }),
            origin: "stage:quote",
            says: &["while it waited for dependency:http carrier-api"],
        },
    ]
}

/// Values that went along, and those that went along everywhere.
fn values() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_wrong_value_of_a_step_that_ended_well_went_into_the_origin",
            story: run!(|ctx| {
                let found = ctx.step("stage:find-account").input(&json!({"order": "order-7"}));
                let found = found.capture_output().run(|ctx| async move {
                    let _ = fail(&ctx, "stage:look-up", "the directory is away").await;
                    anyhow::Ok(json!({"order": "order-7", "account": "acct-default"}))
                });
                let found = found.await??;
                let step = ctx.step("stage:book").input(&found);
                step.run(|_| async { Err::<(), _>(anyhow::anyhow!("no such account")) }).await?
            }),
            origin: "stage:book",
            says: &["its output \"acct-default\" went into stage:book"],
        },
        Scenario {
            name: "a_value_that_goes_through_all_steps_is_no_evidence",
            story: run!(|ctx| {
                let priced = ctx.step("stage:price").input(&json!({"order": "order-7"}));
                let priced = priced.capture_output().run(|ctx| async move {
                    let _ = fail(&ctx, "stage:coupon", "no coupon").await;
                    anyhow::Ok(json!({"order": "order-7", "price": 1200}))
                });
                priced.await??;
                let step = ctx.step("stage:ship").input(&json!({"order": "order-7"}));
                step.run(|_| async { Err::<(), _>(anyhow::anyhow!("no such street")) }).await?
            }),
            origin: "stage:ship",
            says: &["no such street"],
        },
        Scenario {
            name: "a_rate_limit_that_ran_to_nothing_is_a_suspect",
            story: run!(|ctx| {
                let call = ctx.dependency_step("http", "geocoder").attr("ratelimit.remaining", "0");
                call.run_infallible(|_| async {}).await?;
                fail(&ctx, "stage:geocode", "no answer for Main Street 7").await
            }),
            origin: "stage:geocode",
            says: &["dependency:http geocoder says that nothing of a limit remained"],
        },
        Scenario {
            name: "a_limit_in_a_payload_that_ran_to_nothing_is_a_suspect",
            story: run!(|ctx| {
                let _ = ctx.event("api:answered", json!({"rateLimit": {"limit": 60, "remaining": 0}})).await;
                fail(&ctx, "stage:geocode", "no answer for Main Street 7").await
            }),
            origin: "stage:geocode",
            says: &["api:answered says that nothing of a limit remained"],
        },
        Scenario {
            name: "work_of_which_nothing_remains_is_no_limit",
            story: run!(|ctx| {
                let _ = ctx.event("batch:progress", json!({"items_remaining": 0})).await;
                fail(&ctx, "stage:sum", "the sum is negative").await
            }),
            origin: "stage:sum",
            says: &["the sum is negative"],
        },
    ]
}
