//! Failures whose likeliest reading is wrong, though the record has what it takes to know better.

use anyhow::{anyhow, bail};
use serde_json::json;
use throughline::event::{SpanId, names};
use throughline::query::TraceQuery;
use throughline::testing::{RunBuilder, run as told};

use crate::scenario::{Scenario, Story, run};
use crate::steps::text;
use crate::stories::{fail, pass};

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = texts();
    all.extend(work());
    all
}

#[derive(Debug, thiserror::Error)]
#[error("the manifest is invalid")]
struct ManifestError;

/// What an error has of others.
fn texts() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "words_that_say_nothing_are_those_of_a_failure_that_was_put_up_with",
            story: run!(|ctx| {
                let _ = text(&ctx, "stage:greet", "internal error").await;
                pass(&ctx, "stage:load").await?;
                let outer = ctx.trace("stage:outer", async {
                    text(&ctx, "stage:inner", "error 17").await.map_err(|_| "failed".to_owned())
                });
                outer.await?.map_err(|_| anyhow!("internal error"))
            }),
            origin: "stage:inner",
            says: &["error 17", "it ended with error: internal error"],
        },
        Scenario {
            name: "an_agent_ends_with_the_words_of_a_tool_though_its_model_failed",
            story: run!(|ctx| {
                for turn in 0..3 {
                    pass(&ctx, "ai:complete").await?;
                    let grep = ctx.step("tool:grep").input(&json!({"turn": turn}));
                    let _ = grep.run(|_| async { Err::<(), _>(anyhow!("exit status 1")) }).await?;
                }
                let last = fail(&ctx, "ai:complete", "210000 tokens, 200000 are allowed").await;
                last.map_err(|_| anyhow!("exit status 1"))
            }),
            origin: "ai:complete",
            says: &["210000 tokens"],
        },
        Scenario {
            name: "a_reason_in_brackets_was_put_there_as_a_whole",
            story: run!(|ctx| {
                let mut reason = None;
                for id in 0..6 {
                    let item = ctx.step("stage:item").input(&json!({"id": id}));
                    let item = item.run(move |_| async move {
                        match id {
                            1 | 4 => Err(anyhow!("duplicate, skipped")),
                            2 => Err(anyhow!("overflow in amount")),
                            _ => Ok(()),
                        }
                    });
                    if let Err(error) = item.await? {
                        reason = Some(error.to_string()).filter(|text| text.starts_with("over")).or(reason);
                    }
                }
                bail!("batch 7 was rejected ({})", reason.unwrap_or_default())
            }),
            origin: "stage:item",
            says: &["order failed: stage:item failed with error: overflow in amount", r#"{"id":2}"#],
        },
        Scenario {
            name: "all_that_was_tried_failed_and_was_counted",
            story: run!(|ctx| {
                let csv = fail(&ctx, "stage:export-csv", "column 9 has no name").await;
                let pdf = fail(&ctx, "stage:export-pdf", "the font Inter is missing").await;
                if csv.is_err() && pdf.is_err() {
                    bail!("2 of 2 exports failed");
                }
                Ok(())
            }),
            origin: "stage:export-csv",
            says: &["stage:export-pdf failed after it, for a reason of its own", "fixing one will not be"],
        },
        Scenario {
            name: "the_type_of_an_error_is_no_word_of_a_sentence",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:lint", "line 7 is too long").await;
                let parsed = ctx.trace("stage:parse", async { Err::<(), _>(ManifestError) }).await?;
                parsed.map_err(|error| anyhow!("{error:?} at line 7"))
            }),
            origin: "stage:parse",
            says: &["ManifestError: the manifest is invalid", "ManifestError at line 7"],
        },
        Scenario {
            name: "how_something_ended_says_not_why",
            story: run!(|ctx| {
                pass(&ctx, "stage:transform").await?;
                let sent = fail(&ctx, "stage:send-report", "554 relay refused").await;
                sent.map_err(|_| anyhow!("job 7 ended with code 3"))
            }),
            origin: "stage:send-report",
            says: &["554 relay refused", "it ended with error: job 7 ended with code 3"],
        },
    ]
}

/// What was begun after a failure, and for whom.
fn work() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "nobody_rolls_back_because_of_what_can_be_done_without",
            story: run!(|ctx| {
                let deploy = ctx.trace("stage:deploy", async {
                    let _ = fail(&ctx, "stage:smoke-test", "12 of 80 checks are red").await;
                    let _ = fail(&ctx, "stage:rollback", "no migration to roll back").await;
                    Err::<(), _>(anyhow!("version 41 is not live"))
                });
                deploy.await?
            }),
            origin: "stage:smoke-test",
            says: &["12 of 80 checks are red", "no migration to roll back"],
        },
        Scenario {
            name: "an_error_that_says_enough_is_believed_in_spite_of_a_rollback",
            story: run!(|ctx| {
                let transfer = ctx.trace("stage:transfer", async {
                    let _ = fail(&ctx, "stage:greet-customer", "no greeting for 41").await;
                    pass(&ctx, "stage:rollback").await?;
                    Err::<(), _>(anyhow!("the balance differs from what the ledger says"))
                });
                transfer.await?
            }),
            origin: "stage:transfer",
            says: &["the balance differs from what the ledger says", "no greeting for 41"],
        },
        Scenario {
            name: "a_run_that_was_begun_after_a_failure_is_work",
            story: run!(|ctx| {
                let _ = fail(&ctx, "stage:load-hint", "no template for contracts").await;
                let child = ctx.child_workflow("make-contract").key("contract-1");
                let child =
                    child.run(|ctx| async move { fail(&ctx, "stage:sign", "slot 3 is locked").await });
                child.await?.map_err(|_| anyhow!("no contract"))
            }),
            origin: "workflow:order",
            says: &[
                "stage:load-hint failed with error: no template for contracts before, and workflow:order continued",
            ],
        },
        Scenario {
            name: "a_call_failed_because_of_what_the_service_did_for_it",
            story: Story::Told(answered_with_500),
            origin: "stage:post",
            says: &["ledger 7 is closed", "the order could not be billed"],
        },
        Scenario {
            name: "a_service_that_gave_up_says_for_whom_it_waited",
            story: Story::Told(answered_with_504),
            origin: "POST /bill",
            says: &["while it waited for dependency:http carrier-api", "billing answered 504"],
        },
        Scenario {
            name: "an_answer_that_was_not_understood_is_no_matter_of_the_service",
            story: Story::Told(not_understood),
            origin: "dependency:http billing",
            says: &["expected an invoice with a number, found null"],
        },
    ]
}

/// A call to another service, and what that did for it.
fn called(run: &mut RunBuilder) -> (SpanId, SpanId) {
    let call = run.begin("dependency:http");
    run.edit(|event| event.attrs = event.attrs.with(names::attrs::DEPENDENCY, "billing"));
    let answer = run.begin_in(call, names::HTTP_REQUEST);
    run.edit(|event| {
        event.attrs =
            event.attrs.with(names::attrs::HTTP_METHOD, "POST").with(names::attrs::HTTP_ROUTE, "/bill");
    });
    (call, answer)
}

fn answered_with_500() -> TraceQuery {
    let mut run = told("order").key("order-7");
    let (call, answer) = called(&mut run);
    let post = run.begin_in(answer, "stage:post");
    run.fail(post, "", "ledger 7 is closed");
    run.fail(answer, "http:500", "Internal Server Error");
    run.fail(call, "", "billing answered 500");
    run.fail_run("", "the order could not be billed");
    TraceQuery::new(run.events())
}

fn answered_with_504() -> TraceQuery {
    let mut run = told("order").key("order-7");
    let (call, answer) = called(&mut run);
    let carrier = run.begin_in(answer, "dependency:http");
    run.edit(|event| event.attrs = event.attrs.with(names::attrs::DEPENDENCY, "carrier-api"));
    run.cancel(carrier);
    run.fail(answer, "http:504", "Gateway Timeout");
    run.fail(call, "", "billing answered 504");
    run.fail_run("", "billing answered 504");
    TraceQuery::new(run.events())
}

fn not_understood() -> TraceQuery {
    let mut run = told("order").key("order-7");
    let (call, answer) = called(&mut run);
    run.fail(answer, "http:500", "Internal Server Error");
    run.fail(call, "", "expected an invoice with a number, found null");
    run.fail_run("", "expected an invoice with a number, found null");
    TraceQuery::new(run.events())
}
