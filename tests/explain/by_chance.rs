//! A name, or a few words, that say something by chance.

use anyhow::anyhow;
use serde_json::json;

use crate::scenario::{Scenario, Story, body, run};
use crate::steps::{call, text};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "cache_and_database_refuse_and_only_the_cache_was_put_up_with",
            story: run!(|ctx| {
                let _ = call(&ctx, "redis", "cache", "connection refused").await;
                pass(&ctx, "stage:price").await?;
                text(&ctx, "stage:save", "connecting to ledger-db: connection refused")
                    .await
                    .map_err(|error| anyhow!("saving order 7: {error}"))
            }),
            origin: "stage:save",
            says: &["order failed: stage:save failed with", "connecting to ledger-db: connection refused"],
        },
        Scenario {
            name: "a_few_words_of_what_was_put_up_with_are_in_a_deeper_error",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:session", "not found").await;
                pass(&ctx, "stage:route").await?;
                fail(&ctx, "stage:load", "user 7 in eu-1: not found")
                    .await
                    .map_err(|e| anyhow!("GET /me: {e}"))
            }),
            origin: "stage:load",
            says: &["user 7 in eu-1: not found"],
        },
        Scenario {
            name: "a_model_that_was_given_the_error_of_a_tool",
            story: run!(|ctx| {
                let found = fail(&ctx, "tool:grep", "exit status 127: rg: command not found").await;
                let seen = json!({"messages": [{"role": "user", "content": "find the bug"},
                    {"role": "tool", "content": format!("error: {}", found.unwrap_err())}]});
                let ask = ctx.step("ai:complete").input(&seen);
                ask.run(|_| async {
                    Err::<(), _>(anyhow!("prompt is too long: 214012 tokens > 200000 maximum"))
                })
                .await?
            }),
            origin: "ai:complete",
            says: &["prompt is too long: 214012 tokens"],
        },
        Scenario {
            name: "a_model_that_was_told_of_a_failure_fails_for_a_reason_of_its_own",
            story: run!(|ctx| {
                pass(&ctx, "ai:complete").await?;
                let found = fail(&ctx, "tool:grep", "exit status 127: rg: command not found").await;
                let told = format!("error: {}", found.unwrap_err());
                let seen = json!({"messages": [{"role": "tool", "content": told}]});
                let ask = ctx.step("ai:complete").input(&seen);
                ask.run(|_| async { anyhow::Ok(()) }).await??;
                pass(&ctx, "tool:read").await?;
                let ask = ctx.step("ai:complete").input(&seen);
                ask.run(|_| async {
                    Err::<(), _>(anyhow!("prompt is too long: 214012 tokens > 200000 maximum"))
                })
                .await?
            }),
            origin: "ai:complete",
            says: &["prompt is too long"],
        },
        Scenario {
            name: "a_short_message_may_be_in_an_input_by_chance",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:look-up", "not found").await;
                pass(&ctx, "stage:price").await?;
                let mail = ctx
                    .step("stage:mail")
                    .input(&json!({"template": "parcel not found at the depot", "to": "c-9"}));
                mail.run(|_| async { Err::<(), _>(anyhow!("smtp: 421 too many connections")) }).await?
            }),
            origin: "stage:mail",
            says: &["smtp: 421 too many connections"],
        },
        Scenario {
            name: "books_that_are_closed_at_the_end_of_a_month",
            story: run!(|ctx| {
                pass(&ctx, "stage:load-books").await?;
                let _ = fail(&ctx, "stage:fx-refresh", "ECB answered 503").await;
                fail(&ctx, "stage:close-books", "debits and credits differ by 3.20").await
            }),
            origin: "stage:close-books",
            says: &["debits and credits differ by 3.20"],
        },
        Scenario {
            name: "a_ticket_that_cannot_be_escalated",
            story: run!(|ctx| {
                pass(&ctx, "stage:classify").await?;
                let _ = fail(&ctx, "stage:sentiment", "model `mood-2` is not loaded").await;
                fail(&ctx, "stage:escalate", "nobody is on shift in tier 2").await
            }),
            origin: "stage:escalate",
            says: &["nobody is on shift in tier 2"],
        },
        Scenario {
            name: "to_unload_is_the_work_as_it_is_to_load",
            story: run!(|ctx| {
                pass(&ctx, "stage:load").await?;
                let _ = fail(&ctx, "stage:photo", "camera is offline").await;
                fail(&ctx, "stage:unload", "crane 2 is out of service").await
            }),
            origin: "stage:unload",
            says: &["crane 2 is out of service"],
        },
        Scenario {
            name: "to_release_notes_is_no_clean_up",
            story: run!(|ctx| {
                pass(&ctx, "stage:write-notes").await?;
                let _ = fail(&ctx, "stage:lint-notes", "line 3 is too long").await;
                fail(&ctx, "stage:release-notes", "tag v1.4 exists").await
            }),
            origin: "stage:release-notes",
            says: &["tag v1.4 exists"],
        },
        Scenario {
            name: "something_that_exists_was_fine_once_and_not_the_next_time",
            story: run!(|ctx| {
                let _ = text(&ctx, "stage:create-bucket", "409 already exists").await;
                pass(&ctx, "stage:create-queue").await?;
                text(&ctx, "stage:create-user", "409 already exists")
                    .await
                    .map_err(|error| anyhow!("tenant t-1: {error}"))
            }),
            origin: "stage:create-user",
            says: &["the same error was tolerated earlier in stage:create-bucket"],
        },
        Scenario {
            name: "a_page_was_left_out_and_rows_are_missing",
            story: run!(|ctx| {
                for name in ["page:1", "page:2"] {
                    pass(&ctx, name).await?;
                }
                let _ = fail(&ctx, "page:3", "429 Too Many Requests").await;
                fail(&ctx, "stage:verify", "expected 400 rows, got 200").await
            }),
            origin: "stage:verify",
            says: &["expected 400 rows, got 200", "page:3 failed with error: 429 Too Many Requests"],
        },
        Scenario {
            name: "a_message_that_could_not_be_sent_was_queued",
            story: run!(|ctx| {
                let send =
                    ctx.step("stage:send").retry(3, |_, _| async { Err::<(), _>(anyhow!("421 try later")) });
                let _ = send.await?;
                pass(&ctx, "stage:queue-for-later").await?;
                fail(&ctx, "stage:commit", "row version changed").await
            }),
            origin: "stage:commit",
            says: &["row version changed", "421 try later"],
        },
        Scenario {
            name: "what_is_called_a_clean_up_and_went_well_in_good_runs_is_a_part_of_the_work",
            story: Story::Compared {
                good: body!(|ctx| {
                    pass(&ctx, "stage:sync").await?;
                    pass(&ctx, "fs:remove-tmp").await
                }),
                bad: body!(|ctx| {
                    let _ = fail(&ctx, "stage:sync", "no route to host").await;
                    fail(&ctx, "fs:remove-tmp", "directory not empty").await
                }),
            },
            origin: "stage:sync",
            says: &[
                "no route to host, and then fs:remove-tmp, which is no clean-up",
                "fs:remove-tmp succeeded in the last 3 good runs: it is a part of the work",
            ],
        },
    ]
}
