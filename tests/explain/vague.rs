//! Errors that say little, and what they stand for.

use anyhow::{Context as _, anyhow};

use crate::scenario::{Scenario, run};
use crate::steps::{call, text};
use crate::stories::{fail, pass};

#[derive(Debug, thiserror::Error)]
enum RepoError {
    #[error("repository error")]
    Io(#[source] std::io::Error),
}

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_saga_failed_and_the_status_was_set",
            story: run!(|ctx| {
                let saga = ctx.saga("checkout").run(|saga| async move {
                    let reserve = saga.step("stage:reserve").compensate(|(), _| async { anyhow::Ok(()) });
                    reserve.run(|(), _| async { anyhow::Ok(()) }).await??;
                    saga.step("stage:charge")
                        .run(|(), _| async { Err::<(), _>(anyhow!("insufficient funds")) })
                        .await??;
                    anyhow::Ok(())
                });
                let done = saga.await?;
                pass(&ctx, "stage:set-status").await?;
                let _ = fail(&ctx, "stage:notify", "550 no such user").await;
                done.map_err(|_| anyhow!("order could not be placed"))
            }),
            origin: "stage:charge",
            says: &["insufficient funds", "order could not be placed"],
        },
        Scenario {
            name: "a_saga_failed_and_then_its_audit",
            story: run!(|ctx| {
                let saga = ctx.saga("checkout").run(|saga| async move {
                    saga.step("stage:charge")
                        .run(|(), _| async { Err::<(), _>(anyhow!("insufficient funds")) })
                        .await??;
                    anyhow::Ok(())
                });
                let done = saga.await?;
                let _ = fail(&ctx, "stage:audit", "s3 is read-only").await;
                done.map_err(|_| anyhow!("order could not be placed"))
            }),
            origin: "stage:charge",
            says: &["insufficient funds"],
        },
        Scenario {
            name: "a_step_failed_and_then_its_notification",
            story: run!(|ctx| {
                let done = text(&ctx, "stage:charge", "insufficient funds").await;
                let _ = fail(&ctx, "stage:notify", "550 no such user").await;
                done.map_err(|_| anyhow!("order could not be placed"))
            }),
            origin: "stage:charge",
            says: &["insufficient funds"],
        },
        Scenario {
            name: "a_version_in_a_message_that_says_nothing",
            story: run!(|ctx| {
                text(&ctx, "stage:push", "non-fast-forward")
                    .await
                    .map_err(|_| anyhow!("release 1.4.2 was not published"))
            }),
            origin: "stage:push",
            says: &["non-fast-forward"],
        },
        Scenario {
            name: "a_file_name_in_a_message_that_says_nothing",
            story: run!(|ctx| {
                text(&ctx, "stage:render", "no font Noto")
                    .await
                    .map_err(|_| anyhow!("failed to render annual report.v2.pdf"))
            }),
            origin: "stage:render",
            says: &["no font Noto"],
        },
        Scenario {
            name: "a_time_in_a_message_that_says_nothing",
            story: run!(|ctx| {
                text(&ctx, "stage:render", "no font Noto")
                    .await
                    .map_err(|_| anyhow!("job started at 10:32:07.123 failed"))
            }),
            origin: "stage:render",
            says: &["no font Noto"],
        },
        Scenario {
            name: "the_message_within_the_body_of_an_answer",
            story: run!(|ctx| {
                let step = ctx.step("stage:reserve").run(|ctx| async move {
                    let answer = ctx.dependency("http", "inventory", async {
                        Err::<(), _>(r#"{"error":"out of stock","sku":"A-7"}"#.to_owned())
                    });
                    answer.await.unwrap().map_err(|body| {
                        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                        anyhow!("cannot reserve: {}", body["error"].as_str().unwrap())
                    })
                });
                step.await?
            }),
            origin: "dependency:http inventory",
            says: &["out of stock", "cannot reserve"],
        },
        Scenario {
            name: "a_process_whose_error_is_its_log",
            story: run!(|ctx| {
                let log =
                    "exit status 2\n00:00:00Z INFO connecting\n00:00:01Z ERROR dns: NXDOMAIN db.internal";
                text(&ctx, "process:worker", log)
                    .await
                    .map_err(|error| anyhow!("worker failed: {}", error.lines().next().unwrap()))
            }),
            origin: "process:worker",
            says: &["NXDOMAIN db.internal", "worker failed: exit status 2"],
        },
        Scenario {
            name: "a_breaker_that_other_stages_opened",
            story: run!(|ctx| {
                for name in ["stage:cart", "stage:quote", "stage:order"] {
                    let step = ctx.step(name).run(|ctx| async move {
                        let _ = call(&ctx, "http", "tax", "504 Gateway Timeout").await;
                        anyhow::Ok(())
                    });
                    step.await??;
                }
                fail(&ctx, "stage:invoice", "circuit breaker `tax` is open").await
            }),
            origin: "stage:invoice",
            says: &["circuit breaker `tax` is open", "504 Gateway Timeout"],
        },
        Scenario {
            name: "an_enum_that_says_nothing_around_an_error_of_the_disk",
            story: run!(|ctx| {
                let load = ctx.trace("stage:load", async {
                    Err::<(), _>(RepoError::Io(std::io::Error::from_raw_os_error(13)))
                });
                load.await?.context("warming up")
            }),
            origin: "stage:load",
            says: &["repository error", "Permission denied"],
        },
        Scenario {
            name: "a_document_that_could_not_be_read",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:language", "model is cold").await;
                pass(&ctx, "stage:scan").await?;
                let read = text(&ctx, "stage:ocr", "page 3 is blank").await;
                read.map_err(|_| anyhow!("document 12 could not be read"))
            }),
            origin: "stage:ocr",
            says: &["page 3 is blank"],
        },
        Scenario {
            name: "a_projection_that_stopped_at_an_event",
            story: run!(|ctx| {
                pass(&ctx, "event:811").await?;
                let applied = text(&ctx, "event:812", "unknown type `moved`").await;
                applied.map_err(|_| anyhow!("projection stopped"))
            }),
            origin: "event:812",
            says: &["unknown type `moved`"],
        },
        Scenario {
            name: "a_message_that_was_moved_to_dead_letters",
            story: run!(|ctx| {
                let classified = text(&ctx, "ai:classify", "label `spam?` is not in the list").await;
                pass(&ctx, "queue:dead-letter").await?;
                classified.map_err(|_| anyhow!("message 9 was moved to dead letters"))
            }),
            origin: "ai:classify",
            says: &["label `spam?` is not in the list", "message 9 was moved to dead letters"],
        },
    ]
}
