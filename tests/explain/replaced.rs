//! Errors that were replaced on their way up: by what was done about them, by a word, a code, or another language.

use anyhow::{anyhow, bail};

use crate::scenario::{Scenario, run};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = by_what_was_done();
    all.extend(by_other_words());
    all
}

fn by_what_was_done() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_message_that_nobody_could_handle_failed_for_the_reason_of_its_last_delivery",
            story: run!(|ctx| {
                for delivery in 1..=3 {
                    let handled = ctx.step("stage:handle").attempt(delivery).run(|ctx| async move {
                        pass(&ctx, "stage:parse").await?;
                        fail(&ctx, "stage:convert", "currency XBT is not traded").await
                    });
                    if handled.await?.is_ok() {
                        return Ok(());
                    }
                }
                pass(&ctx, "queue:move-to-dead-letter").await?;
                bail!("moved to the dead letter queue after 3 deliveries")
            }),
            origin: "stage:convert",
            says: &["currency XBT is not traded", "moved to the dead letter queue", "(origin inferred)"],
        },
        Scenario {
            name: "an_error_that_says_what_was_done_about_it_says_not_why",
            story: run!(|ctx| {
                let migrated = fail(&ctx, "stage:migrate", "column sku exists already").await;
                pass(&ctx, "stage:roll-back").await?;
                migrated.map_err(|_| anyhow!("the release was rolled back"))
            }),
            origin: "stage:migrate",
            says: &["column sku exists already", "the release was rolled back"],
        },
        Scenario {
            name: "a_panic_after_which_nothing_was_begun_is_the_reason_whatever_is_said_of_it",
            story: run!(|ctx| {
                let task = ctx.clone();
                let parsed = tokio::spawn(async move {
                    let parse = async {
                        tokio::task::yield_now().await;
                        Err::<(), _>(anyhow!("line 7: {}", "x".parse::<u8>().unwrap()))
                    };
                    task.trace("stage:parse", parse).await
                });
                parsed.await.map_err(|_| anyhow!("the importer has not answered"))??
            }),
            origin: "stage:parse",
            says: &["panicked", "the importer has not answered"],
        },
        Scenario {
            name: "a_vague_error_means_the_step_that_it_names",
            story: run!(|ctx| {
                let reserved = fail(&ctx, "stage:reserve", "no stock in WH-2").await;
                pass(&ctx, "stage:load-rules").await?;
                let _ = fail(&ctx, "stage:recommend", "model server 503").await;
                reserved.map_err(|_| anyhow!("reserving failed"))
            }),
            origin: "stage:reserve",
            says: &["no stock in WH-2", "reserving failed", "its error was not passed on"],
        },
    ]
}

fn by_other_words() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an_error_with_the_code_of_another_is_about_the_same",
            story: run!(|ctx| {
                let checked = fail(&ctx, "stage:kyc", "KYC-E4711: passport expired").await;
                checked.map_err(|_| anyhow!("the customer was rejected with KYC-E4711"))
            }),
            origin: "stage:kyc",
            says: &["passport expired", "the customer was rejected"],
        },
        Scenario {
            name: "an_error_says_nothing_in_other_languages_either",
            story: run!(|ctx| {
                let booked = fail(&ctx, "stage:konto", "Kontostand reicht nicht aus").await;
                booked.map_err(|_| anyhow!("Die Buchung konnte nicht durchgeführt werden"))
            }),
            origin: "stage:konto",
            says: &["Kontostand reicht nicht aus", "Die Buchung konnte nicht"],
        },
        Scenario {
            name: "a_reason_of_its_own_directly_after_a_failure_is_a_guess",
            story: run!(|ctx| {
                let saved = ctx.step("stage:save").run(|ctx| async move {
                    let db =
                        ctx.dependency("db", "orders", async { Err::<(), _>("40001: could not serialize") });
                    db.await?.map_err(|_| anyhow!("the order was changed by someone else"))
                });
                saved.await?
            }),
            origin: "stage:save",
            says: &[
                "dependency:db orders failed with error: 40001: could not serialize",
                "(origin inferred)",
                "whether dependency:db orders brought stage:save down was not recorded",
            ],
        },
        Scenario {
            name: "one_word_may_be_a_reason",
            story: run!(|ctx| {
                let written = ctx.step("stage:write").run(|ctx| async move {
                    let _ = fail(&ctx, "stage:cache", "READONLY replica").await;
                    bail!("Forbidden")
                });
                let written: anyhow::Result<()> = written.await?;
                written
            }),
            origin: "stage:write",
            says: &["Forbidden", "READONLY replica", "(origin inferred)"],
        },
        Scenario {
            name: "of_branches_with_the_same_error_the_one_whose_error_was_returned_is_the_origin",
            story: run!(|ctx| {
                let (first, _) = tokio::join!(fail(&ctx, "stage:a", "quota exceeded"), async {
                    tokio::task::yield_now().await;
                    let failed = fail(&ctx, "stage:b", "quota exceeded").await;
                    tokio::task::yield_now().await;
                    failed
                });
                first
            }),
            origin: "stage:a",
            says: &["quota exceeded"],
        },
    ]
}
