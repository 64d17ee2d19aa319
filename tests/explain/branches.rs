//! Failures of work that runs beside other work: segments, pipelines, shards.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::json;
use throughline::TraceContext;

use crate::scenario::{Scenario, run};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = video();
    all.extend(pipelines());
    all.extend(fan_out());
    all
}

fn video() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "two_of_eight_segments_fail",
            story: run!(|ctx| {
                let names = ["segment:0", "segment:1", "segment:2", "segment:3", "segment:4", "segment:5"];
                let all = names.map(|name| {
                    let ctx = &ctx;
                    async move {
                        match name {
                            "segment:1" => later(ctx, name, "moov atom not found").await,
                            "segment:4" => later(ctx, name, "unsupported pixel format yuv444p12").await,
                            _ => pass(ctx, name).await,
                        }
                    }
                });
                let failed = join_all(all).await.into_iter().filter(Result::is_err).count();
                bail!("{failed} of 6 segments could not be transcoded")
            }),
            origin: "segment:1",
            says: &[
                "moov atom not found",
                "segment:4 failed",
                "unsupported pixel format",
                "fixing one will not be enough",
            ],
        },
        Scenario {
            name: "both_hedged_requests_fail",
            story: run!(|ctx| {
                let gave_up = tokio::sync::Notify::new();
                let (first, second) = tokio::join!(
                    async {
                        let hangs = std::future::pending::<anyhow::Result<()>>();
                        let asked = ctx.dependency("http", "origin-a", hangs);
                        let asked = ctx.timeout(Duration::from_millis(10), asked).await;
                        gave_up.notify_one();
                        asked???;
                        anyhow::Ok(())
                    },
                    async {
                        let asked = ctx.dependency("http", "origin-b", async {
                            gave_up.notified().await;
                            Err::<(), _>(anyhow!("502 Bad Gateway"))
                        });
                        asked.await?
                    }
                );
                first.or(second)
            }),
            origin: "dependency:http origin-b",
            says: &["502 Bad Gateway", "origin-a"],
        },
        Scenario {
            name: "what_the_tool_printed_is_a_fact_about_its_exit",
            story: run!(|ctx| {
                let step = ctx.step("stage:transcode").run(|ctx| async move {
                    let _ =
                        ctx.event("ffmpeg:stderr", json!({"line": "No space left on device"})).failed().await;
                    Err::<(), _>(anyhow!("ffmpeg exited with status 1"))
                });
                step.await?
            }),
            origin: "stage:transcode",
            says: &["ffmpeg exited with status 1", "it recorded ffmpeg:stderr, line No space left on device"],
        },
        Scenario {
            name: "a_thumbnail_that_was_tolerated_has_nothing_to_do_with_the_manifest",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:thumbnail", "frame 0 not ready").await;
                pass(&ctx, "stage:package").await?;
                fail(&ctx, "stage:publish", "manifest not ready").await.context("publishing asset 12")
            }),
            origin: "stage:publish",
            says: &["manifest not ready", "stage:thumbnail failed with error: frame 0 not ready before"],
        },
        Scenario {
            name: "the_encoder_is_out_of_memory_in_a_child_process_step",
            story: run!(|ctx| {
                let step = ctx.step("stage:encode").run(|ctx| async move {
                    let ran = ctx.step("process:x265").attr("process.exit_code", "137");
                    let ran: anyhow::Result<()> =
                        ran.run(|_| async { Err::<(), _>(anyhow!("killed by signal 9")) }).await?;
                    ran.map_err(|_| anyhow!("encoding the 2160p rendition failed"))
                });
                step.await?
            }),
            origin: "process:x265",
            says: &["killed by signal 9", "process.exit_code 137"],
        },
    ]
}

fn pipelines() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "two_branches_that_failed_while_the_other_was_at_work",
            story: run!(|ctx| {
                let (lint, test) = tokio::join!(
                    later(&ctx, "job:lint", "unused variable `x`"),
                    later(&ctx, "job:test", "assertion failed: left == right"),
                );
                if lint.is_err() || test.is_err() {
                    bail!("pipeline failed")
                }
                Ok(())
            }),
            origin: "job:test",
            says: &["job:test and job:lint", "unused variable `x`", "assertion failed: left == right"],
        },
        Scenario {
            name: "what_was_tolerated_before_a_vague_end_is_not_beside_it",
            story: run!(|ctx| {
                let _ = fail(&ctx, "job:restore-cache", "cache key not found").await;
                let built = fail(&ctx, "job:build", "linker `cc` not found").await;
                built.map_err(|_| anyhow!("pipeline failed"))
            }),
            origin: "job:build",
            says: &["linker `cc` not found", "job:restore-cache failed with error: cache key not found"],
        },
        Scenario {
            name: "a_status_that_could_not_be_posted_is_not_why_the_build_broke",
            story: run!(|ctx| {
                let built = fail(&ctx, "job:build", "missing lifetime specifier").await;
                if let Err(error) = &built {
                    let state = json!({"state": "failure", "description": error.to_string()});
                    let post = ctx.step("job:post-status").input(&state);
                    let posted: anyhow::Result<()> =
                        post.run(|_| async { Err(anyhow!("401 Bad credentials")) }).await?;
                    posted?;
                }
                built
            }),
            origin: "job:build",
            says: &["missing lifetime specifier", "it ended with", "401 Bad credentials"],
        },
        Scenario {
            name: "a_flaky_test_that_passed_is_not_why_the_deployment_failed",
            story: run!(|ctx| {
                let test = ctx.step("job:test").retry(2, |_, attempt| async move {
                    if attempt == 1 {
                        bail!("image not found in snapshot")
                    }
                    Ok(())
                });
                test.await??;
                fail(&ctx, "job:deploy", "image not found")
                    .await
                    .map_err(|error| anyhow!("deploy to prod: {error}"))
            }),
            origin: "job:deploy",
            says: &["image not found", "deploy to prod"],
        },
    ]
}

fn fan_out() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_shard_fails_and_the_merge_says_how_many_are_missing",
            story: run!(|ctx| {
                let shards = ["shard:0", "shard:1", "shard:2"].map(|name| {
                    let ctx = &ctx;
                    async move {
                        if name == "shard:1" {
                            later(ctx, name, "checksum mismatch in block 88").await
                        } else {
                            ctx.trace(name, std::future::pending::<anyhow::Result<()>>()).await?
                        }
                    }
                });
                let merged = futures_util::future::try_join_all(shards).await;
                merged.map(drop).map_err(|_| anyhow!("merged 2 of 3 shards"))
            }),
            origin: "shard:1",
            says: &["checksum mismatch in block 88", "merged 2 of 3 shards", "cancelled: shard:0, shard:2"],
        },
        Scenario {
            name: "unordered_downloads_of_which_the_first_error_is_kept",
            story: run!(|ctx| {
                let names = ["part:0", "part:1", "part:2", "part:3"];
                let parts = futures_util::stream::iter(names.map(|name| download(&ctx, name)));
                let done: Vec<anyhow::Result<()>> = parts.buffer_unordered(2).collect().await;
                done.into_iter().collect::<anyhow::Result<Vec<()>>>().context("downloading release.tar")?;
                Ok(())
            }),
            origin: "part:3",
            says: &["403 signature expired", "downloading release.tar", "part:1"],
        },
        Scenario {
            name: "tasks_of_a_set_that_failed_and_a_count",
            story: run!(|ctx| {
                let mut set = tokio::task::JoinSet::new();
                for name in ["page:1", "page:2", "page:3"] {
                    let ctx = ctx.clone();
                    set.spawn(async move {
                        if name == "page:2" {
                            fail(&ctx, name, "robots.txt forbids it").await
                        } else {
                            pass(&ctx, name).await
                        }
                    });
                }
                let failed = set.join_all().await.into_iter().filter(Result::is_err).count();
                anyhow::ensure!(failed == 0, "{failed} of 3 pages failed");
                Ok(())
            }),
            origin: "page:2",
            says: &["robots.txt forbids it", "1 of 3 pages failed"],
        },
        Scenario {
            name: "the_receiver_of_a_channel_panicked",
            story: run!(|ctx| {
                let (sender, mut receiver) = tokio::sync::mpsc::channel::<u8>(1);
                let reader = ctx.trace("stage:index", async move {
                    let first = receiver.recv().await;
                    let words: Vec<&str> = Vec::new();
                    anyhow::ensure!(words[first.map_or(0, usize::from)].is_empty(), "a word");
                    Ok(())
                });
                let reader = tokio::spawn(reader);
                let sent = ctx.trace("stage:crawl", async move {
                    let error = loop {
                        match sender.send(1).await {
                            Ok(()) => tokio::task::yield_now().await,
                            Err(error) => break error,
                        }
                    };
                    Err::<(), _>(anyhow!("{error}"))
                });
                let sent: anyhow::Result<()> = sent.await?;
                let _ = reader.await;
                sent
            }),
            origin: "stage:index",
            says: &["index out of bounds", "channel closed"],
        },
    ]
}

/// Fails after other tasks had their turn.
async fn later(ctx: &TraceContext, name: &'static str, error: &'static str) -> anyhow::Result<()> {
    ctx.trace(name, async move {
        tokio::task::yield_now().await;
        Err::<(), _>(anyhow!(error))
    })
    .await?
}

async fn download(ctx: &TraceContext, name: &'static str) -> anyhow::Result<()> {
    match name {
        "part:1" => later(ctx, name, "etag mismatch").await,
        "part:3" => later(ctx, name, "403 signature expired").await,
        _ => pass(ctx, name).await,
    }
}
