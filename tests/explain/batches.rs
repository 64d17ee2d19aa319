//! Many of a kind, and errors that count or list them.

use anyhow::{anyhow, bail};
use serde_json::json;

use crate::scenario::{Scenario, run};
use crate::steps::{late, never, text};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "messages_with_hexadecimal_ids",
            story: run!(|ctx| {
                for (name, error) in [
                    ("msg:7f3a", "schema v4 is unknown"),
                    ("msg:b1c2", ""),
                    ("msg:c9d0", "payload is larger than 256 KiB"),
                ] {
                    if error.is_empty() {
                        pass(&ctx, name).await?;
                    } else {
                        let _ = fail(&ctx, name, error).await;
                    }
                }
                bail!("batch failed")
            }),
            origin: "msg:7f3a",
            says: &["schema v4 is unknown", "msg:c9d0 failed after it", "batch failed"],
        },
        Scenario {
            name: "messages_with_one_name_and_inputs_of_their_own",
            story: run!(|ctx| {
                for (id, error) in [("a", "order a has no currency"), ("b", ""), ("c", "order c is closed")] {
                    let step = ctx.step("stage:process").input(&json!({"order": id}));
                    let _ = step
                        .run(|_| async move { if error.is_empty() { Ok(()) } else { Err(anyhow!(error)) } })
                        .await?;
                }
                bail!("batch failed")
            }),
            origin: "stage:process",
            says: &[
                "order failed: stage:process failed with error: order a has no currency",
                "order c is closed",
            ],
        },
        Scenario {
            name: "an_agent_without_sources",
            story: run!(|ctx| {
                let agents = [
                    ("agent:docs", "index is read-only"),
                    ("agent:web", "captcha required"),
                    ("agent:code", ""),
                ]
                .map(|(name, error)| {
                    let ctx = &ctx;
                    async move {
                        if error.is_empty() { pass(ctx, name).await } else { late(ctx, name, error).await }
                    }
                });
                let _ = futures_util::future::join_all(agents).await;
                fail(&ctx, "ai:synthesize", "no sources to cite").await
            }),
            origin: "ai:synthesize",
            says: &["no sources to cite", "index is read-only", "captcha required"],
        },
        Scenario {
            name: "all_that_is_invalid_as_debug_prints_it",
            story: run!(|ctx| {
                let email = text(&ctx, "check:email", "email is malformed").await.unwrap_err();
                let phone = text(&ctx, "check:phone", "phone is too short").await.unwrap_err();
                bail!("invalid request: ValidationErrors {{ errors: {:?} }}", [email, phone])
            }),
            origin: "check:email",
            says: &["check:phone failed after it", "phone is too short"],
        },
        Scenario {
            name: "checks_that_were_kept_and_counted",
            story: run!(|ctx| {
                let mut failed = 0;
                for (name, error) in [
                    ("check:format", ""),
                    ("check:licence", "GPL-3.0 in `foo`"),
                    ("check:size", "12 MB over"),
                    ("check:docs", ""),
                ] {
                    failed += i32::from(
                        if error.is_empty() { pass(&ctx, name).await } else { fail(&ctx, name, error).await }
                            .is_err(),
                    );
                }
                bail!("{failed} of 4 checks failed")
            }),
            origin: "check:licence",
            says: &["GPL-3.0 in `foo`", "check:size", "12 MB over"],
        },
        Scenario {
            name: "of_two_children_with_one_text_the_error_of_the_first_is_returned",
            story: run!(|ctx| {
                let bill = |key: &'static str| {
                    let child = ctx.child_workflow("invoice").key(key);
                    async move {
                        child.run(|ctx| async move { fail(&ctx, "stage:render", "no VAT id").await }).await?
                    }
                };
                let first = bill("inv-1").await;
                let second = bill("inv-2").await;
                let _ = second;
                first
            }),
            origin: "workflow:order",
            says: &["what failed is in child invoice inv-1"],
        },
        Scenario {
            name: "pages_beside_each_other_of_which_one_is_gone",
            story: run!(|ctx| {
                let pages = ["page:1", "page:2", "page:3", "page:4"].map(|name| {
                    let ctx = &ctx;
                    async move {
                        if name == "page:3" {
                            late(ctx, name, "410 Gone").await
                        } else {
                            ctx.trace(name, never()).await?
                        }
                    }
                });
                futures_util::future::try_join_all(pages).await?;
                Ok(())
            }),
            origin: "page:3",
            says: &["410 Gone", "cancelled: page:"],
        },
        Scenario {
            name: "an_upload_that_was_slow_first_and_too_large_then",
            story: run!(|ctx| {
                let mut last = anyhow!("never tried");
                for (attempt, error) in [(1, "write timed out"), (2, "413 Payload Too Large")] {
                    let step = ctx.step("stage:upload").attempt(attempt);
                    last = step.run(|_| async move { Err::<(), _>(anyhow!(error)) }).await?.unwrap_err();
                }
                Err(last.context("upload of report.pdf"))
            }),
            origin: "stage:upload",
            says: &["413 Payload Too Large", "an earlier attempt at it failed differently", "timed out"],
        },
    ]
}
