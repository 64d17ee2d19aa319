//! Failures of agents: tools that never work, budgets, sub-agents, decisions.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;
use throughline::TraceContext;

use crate::scenario::{Scenario, run};
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "an_agent_whose_budget_went_into_a_tool_that_never_worked",
            story: run!(|ctx| {
                for _ in 0..5 {
                    pass(&ctx, "llm:plan").await?;
                    let _ = fail(&ctx, "tool:search", "401 invalid api key").await;
                }
                pass(&ctx, "llm:plan").await?;
                bail!("the budget of 8000 tokens is used up")
            }),
            origin: "tool:search",
            says: &["401 invalid api key", "the budget of 8000 tokens is used up", "5 times"],
        },
        Scenario {
            name: "an_agent_out_of_turns_whose_search_worked_mostly",
            story: run!(|ctx| {
                for n in 0..6 {
                    pass(&ctx, "llm:plan").await?;
                    if n == 2 {
                        let _ = fail(&ctx, "tool:search", "429 slow down").await;
                    } else {
                        pass(&ctx, "tool:search").await?;
                    }
                }
                bail!("no answer after 12 turns")
            }),
            origin: "workflow:order",
            says: &["no answer after 12 turns", "tool:search failed with error: 429 slow down"],
        },
        Scenario {
            name: "a_sub_agent_found_nothing_because_its_tool_failed",
            story: run!(|ctx| {
                let research = ctx.step("agent:researcher").capture_output().run(|ctx| async move {
                    let _ = call(&ctx, "vector-db", "index `docs-v2` does not exist").await;
                    anyhow::Ok(json!({"sources": []}))
                });
                research.await??;
                pass(&ctx, "llm:draft").await?;
                fail(&ctx, "agent:reviewer", "the answer cites no source").await
            }),
            origin: "agent:reviewer",
            says: &[
                "agent:researcher succeeded though dependency:http vector-db failed in it",
                "index `docs-v2` does not exist",
            ],
        },
        Scenario {
            name: "a_sub_agent_that_was_unable_to_complete",
            story: run!(|ctx| {
                let coder = ctx.step("agent:coder").run(|ctx| async move {
                    for error in ["expected `;`", "expected `;`", "cannot find type `Foo`"] {
                        pass(&ctx, "llm:edit").await?;
                        let _ = fail(&ctx, "tool:compile", error).await;
                    }
                    Err::<(), _>(anyhow!("I was unable to complete the task."))
                });
                coder.await?.context("delegating to agent:coder")
            }),
            origin: "tool:compile",
            says: &["cannot find type `Foo`", "an earlier attempt at it failed differently", "expected `;`"],
        },
        Scenario {
            name: "the_deadline_of_an_agent_passes_in_a_tool",
            story: run!(|ctx| {
                let agent = ctx.step("agent:planner").run(|ctx| async move {
                    pass(&ctx, "llm:plan").await?;
                    let crawl = ctx.step("tool:crawl").run(|ctx| async move {
                        ctx.dependency("http", "intranet", std::future::pending::<anyhow::Result<()>>())
                            .await?
                    });
                    crawl.await?
                });
                ctx.timeout(Duration::from_millis(20), agent)
                    .await
                    .map_err(|_| anyhow!("the agent ran out of time"))???;
                Ok(())
            }),
            origin: "workflow:order",
            says: &["the agent ran out of time", "while it waited for dependency:http intranet"],
        },
        Scenario {
            name: "a_close_decision_sent_it_to_the_wrong_tool",
            story: run!(|ctx| {
                ctx.decision("ai:tool").consider("sql", 0.51).consider("search", 0.49).choose("sql").await?;
                pass(&ctx, "llm:write-sql").await?;
                fail(&ctx, "tool:sql", "relation \"weather\" does not exist").await
            }),
            origin: "tool:sql",
            says: &["ai:tool chose sql, by 0.51 to 0.49 for search, which led here"],
        },
        Scenario {
            name: "a_file_that_lints_badly_is_not_why_it_does_not_link",
            story: run!(|ctx| {
                for _ in 0..4 {
                    let _ = fail(&ctx, "tool:lint", "line too long").await;
                    pass(&ctx, "tool:compile").await?;
                }
                bail!("symbol `start` is not defined")
            }),
            origin: "workflow:order",
            says: &["symbol `start` is not defined", "tool:lint failed 4 times"],
        },
        Scenario {
            name: "an_agent_that_tried_everything_in_no_order",
            story: run!(|ctx| {
                let _ = fail(&ctx, "tool:browse", "proxy authentication required").await;
                pass(&ctx, "llm:think").await?;
                let _ = fail(&ctx, "tool:browse", "proxy authentication required").await;
                pass(&ctx, "tool:read-notes").await?;
                pass(&ctx, "llm:think").await?;
                let _ = fail(&ctx, "tool:browse", "proxy authentication required").await;
                pass(&ctx, "llm:think").await?;
                bail!("stopped: maximum number of steps (7) reached")
            }),
            origin: "tool:browse",
            says: &["proxy authentication required", "maximum number of steps (7) reached"],
        },
    ]
}

async fn call(ctx: &TraceContext, target: &'static str, error: &'static str) -> anyhow::Result<()> {
    ctx.dependency("http", target, async move { Err::<(), _>(anyhow!(error)) }).await?
}
