//! Failures of many trades: bookkeeping, encoding, exports, tenants, models. Something that was put up with resembles what was
//! not, or what failed is the work of something that ended beside it.

#![expect(clippy::panic, reason = "one of the scenarios is about a panic")]

use anyhow::{Context as _, anyhow, bail};
use throughline::TraceContext;
use tokio::task::yield_now;

use crate::scenario::{Scenario, run};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = resemblances();
    all.extend(taken_along());
    all.extend(values());
    all
}

/// A call to a dependency that fails.
async fn call(
    ctx: &TraceContext,
    kind: &'static str,
    to: &'static str,
    error: &'static str,
) -> anyhow::Result<()> {
    ctx.dependency(kind, to, async move { Err::<(), _>(anyhow!(error)) }).await?
}

fn resemblances() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an_error_deep_below_is_not_the_one_that_was_put_up_with_before",
            story: run!(|ctx| {
                let _ = call(&ctx, "redis", "cache", "Connection refused (os error 111)").await;
                pass(&ctx, "stage:validate").await?;
                let step = ctx.step("stage:persist").run(|ctx| async move {
                    let asked = call(&ctx, "db", "ledger", "Connection refused (os error 111)").await;
                    asked.context("opening a connection").context("beginning a transaction")
                });
                step.await?.context("posting p-3").context("closing the day")
            }),
            origin: "dependency:db ledger",
            says: &["the same error was tolerated earlier in dependency:redis cache", "origin linked"],
        },
        Scenario {
            name: "a_manifest_that_is_unknown_to_a_mirror_and_a_field_of_one_to_a_webhook",
            story: run!(|ctx| {
                let _ = call(&ctx, "http", "mirror", "manifest unknown").await;
                pass(&ctx, "stage:pull").await?;
                let denied = "admission webhook denied the request: manifest unknown field spec.foo";
                fail(&ctx, "stage:deploy", denied).await
            }),
            origin: "stage:deploy",
            says: &["dependency:http mirror failed with error: manifest unknown before"],
        },
        Scenario {
            name: "a_reason_that_was_kept_and_told_by_a_later_step",
            story: run!(|ctx| {
                let tariff = fail(&ctx, "stage:tariff", "connection refused").await;
                pass(&ctx, "stage:usage").await?;
                let bill = ctx.trace("stage:bill", async move {
                    tariff.map_err(|error| anyhow!("cannot bill: no tariff (tariff service: {error})"))
                });
                bill.await?
            }),
            origin: "stage:bill",
            says: &[
                "no tariff (tariff service: connection refused)",
                "the same error was tolerated earlier in stage:tariff",
            ],
        },
        Scenario {
            name: "an_error_of_its_own_with_the_words_of_one_that_was_put_up_with_is_not_linked",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:poll", "timed out waiting for the lock").await;
                pass(&ctx, "stage:read").await?;
                pass(&ctx, "stage:sort").await?;
                bail!("timed out waiting for the lock")
            }),
            origin: "stage:poll",
            says: &["it ended with the same error (origin inferred)"],
        },
        Scenario {
            name: "an_error_that_was_kept_while_something_was_closed",
            story: run!(|ctx| {
                let imported = fail(&ctx, "stage:import", "bad header in line 1").await;
                pass(&ctx, "stage:close-file").await?;
                pass(&ctx, "stage:report").await?;
                imported
            }),
            origin: "stage:import",
            says: &["bad header in line 1"],
        },
        Scenario {
            name: "exports_of_which_an_error_says_how_many_failed",
            story: run!(|ctx| {
                let mut exports = tokio::task::JoinSet::new();
                let reasons = [
                    ("export:orders", Some("column `vat` does not exist")),
                    ("export:items", None),
                    ("export:users", Some("disk quota exceeded")),
                ];
                for (name, reason) in reasons {
                    let ctx = ctx.clone();
                    exports.spawn(async move {
                        match reason {
                            Some(reason) => fail(&ctx, name, reason).await,
                            None => pass(&ctx, name).await,
                        }
                    });
                }
                let failed = exports.join_all().await.into_iter().filter(Result::is_err).count();
                bail!("{failed} of 3 exports failed")
            }),
            origin: "export:orders",
            says: &["export:users failed after it", "disk quota exceeded", "fixing one will not be enough"],
        },
        Scenario {
            name: "a_tenant_of_which_it_is_only_said_that_it_was_not_provisioned",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:create-dns", "record already exists").await;
                pass(&ctx, "stage:create-db").await?;
                let bucket = fail(&ctx, "stage:create-bucket", "BucketAlreadyExists: t-9").await;
                pass(&ctx, "stage:drop-db").await?;
                bucket.map_err(|_| anyhow!("tenant t-9 was not provisioned"))
            }),
            origin: "stage:create-bucket",
            says: &["it ended with error: tenant t-9 was not provisioned", "stage:create-dns failed"],
        },
        Scenario {
            name: "providers_of_which_an_error_says_how_many_were_asked",
            story: run!(|ctx| {
                for provider in ["provider:acme", "provider:globex", "provider:initech"] {
                    if fail(&ctx, provider, "insufficient liquidity").await.is_ok() {
                        return Ok(());
                    }
                }
                bail!("all 3 providers failed")
            }),
            origin: "provider:initech",
            says: &["insufficient liquidity", "all 3 providers failed"],
        },
    ]
}

fn taken_along() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_pipe_that_broke_because_the_encoder_crashed_is_not_the_origin",
            story: run!(|ctx| {
                let encode = ctx.trace("process:ffmpeg", async {
                    yield_now().await;
                    Err::<(), _>(anyhow!("killed by signal 11 (SIGSEGV)"))
                });
                let feed = ctx.trace("stage:feed-frames", async {
                    for _ in 0..4 {
                        yield_now().await;
                    }
                    Err::<(), _>(std::io::Error::from_raw_os_error(32))
                });
                let (_, fed) = tokio::join!(encode, feed);
                fed?.context("writing frame 311")
            }),
            origin: "process:ffmpeg",
            says: &["killed by signal 11", "failed: stage:feed-frames"],
        },
        Scenario {
            name: "an_answer_that_ended_early_because_the_server_panicked_is_not_the_origin",
            story: run!(|ctx| {
                let server = ctx.trace_infallible("stage:serve", async {
                    yield_now().await;
                    panic!("a price list")
                });
                let server = tokio::spawn(server);
                let read = ctx.trace("stage:read-answer", async {
                    for _ in 0..5 {
                        yield_now().await;
                    }
                    let cut = std::io::ErrorKind::UnexpectedEof;
                    Err::<(), _>(std::io::Error::new(cut, "unexpected end of file"))
                });
                let read = read.await?;
                let _ = server.await;
                read.context("reading the answer")
            }),
            origin: "stage:serve",
            says: &["stage:serve panicked: a price list", "unexpected end of file"],
        },
        Scenario {
            name: "a_connection_that_was_reset_beside_another_failure_is_the_origin",
            story: run!(|ctx| {
                let warm = ctx.trace("stage:warm-cache", async {
                    yield_now().await;
                    Err::<(), _>(anyhow!("key too long"))
                });
                let load = ctx.trace("stage:load", async {
                    for _ in 0..4 {
                        yield_now().await;
                    }
                    Err::<(), _>(anyhow!("connection reset by peer"))
                });
                let (_, loaded) = tokio::join!(warm, load);
                loaded?
            }),
            origin: "stage:load",
            says: &[
                "stage:warm-cache failed before it as well, perhaps for a reason of its own",
                "key too long",
            ],
        },
    ]
}

fn values() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a_shard_that_gave_nothing_is_a_suspect_of_the_merge",
            story: run!(|ctx| {
                for name in ["shard:1", "shard:2", "shard:3"] {
                    let shard = ctx.step(name).capture_output().run(|ctx| async move {
                        let conflict = "terminating connection due to conflict with recovery";
                        if name == "shard:2" && call(&ctx, "db", "replica", conflict).await.is_err() {
                            return anyhow::Ok(vec![]);
                        }
                        Ok(vec![1, 2])
                    });
                    shard.await??;
                }
                fail(&ctx, "stage:merge", "row counts differ: 2 of 3 shards").await
            }),
            origin: "stage:merge",
            says: &["shard:2 succeeded though dependency:db replica failed in it", "its output was []"],
        },
        Scenario {
            name: "a_value_from_yesterday_is_a_suspect",
            story: run!(|ctx| {
                if let Err(error) = call(&ctx, "http", "ecb", "502 Bad Gateway").await {
                    ctx.fallback("yesterday's rates are used", &error).await?;
                }
                pass(&ctx, "stage:net").await?;
                fail(&ctx, "stage:settle", "rate EUR/JPY is older than 24 h").await
            }),
            origin: "stage:settle",
            says: &["continued without something: yesterday's rates are used", "dependency:http ecb"],
        },
    ]
}
