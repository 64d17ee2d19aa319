//! `throughline funnel` and `recovery`: how many get from step to step, and what saves those that stumble.

use std::path::Path;

use serde_json::{Value, json};
use throughline_core::{BoxError, Throughline};

use crate::sandbox::Sandbox;
use crate::services::{end, fail, left_in_saga, service, succeed};

/// A visit of somebody: a run of its own for each step, as requests are.
async fn visit(shop: &Throughline, tenant: &'static str, session: &str, steps: &[&'static str]) {
    for step in steps.iter().copied() {
        let run = shop.workflow("visit").attr("tenant", tenant).attr("session", session.to_owned());
        run.run(|ctx| async move { ctx.event(step, json!({})).await }).await.unwrap().unwrap();
    }
}

async fn visited() -> Sandbox {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    const ALL: [&str; 3] = ["cart:opened", "order:placed", "order:paid"];
    for number in 0..4 {
        visit(&shop, "acme", &format!("a{number}"), &ALL[..if number == 0 { 1 } else { 2 }]).await;
    }
    visit(&shop, "acme", "a9", &ALL).await;
    visit(&shop, "bolt", "b1", &ALL).await;
    // It is not in this order that one pays.
    visit(&shop, "bolt", "b2", &["order:paid", "order:placed", "cart:opened"]).await;
    shop.workflow("visit")
        .run(|ctx| async move { ctx.event("cart:opened", json!({})).await })
        .await
        .unwrap()
        .unwrap();
    end(shop).await;
    sandbox
}

const STEPS: [&str; 4] = ["funnel", "cart:opened", "order:placed", "order:paid"];

#[tokio::test]
async fn who_gets_from_step_to_step_is_counted_and_the_lost_are_named() {
    let sandbox = visited().await;
    let said = sandbox.run(&[&STEPS[..], &["--per", "session", "--by", "tenant", "--json"]].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    let reached = |steps: &Value| -> Vec<u64> {
        steps.as_array().unwrap().iter().map(|step| step["reached"].as_u64().unwrap()).collect()
    };
    assert_eq!(reached(&answer["steps"]), [7, 5, 2]);
    assert_eq!(answer["without"], 1, "one has no session");
    let groups: Vec<_> = answer["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (&group["value"], reached(&group["steps"])))
        .collect();
    assert_eq!(groups, [(&json!("acme"), vec![5, 4, 1]), (&json!("bolt"), vec![2, 1, 1])]);
    let second = &answer["steps"][1];
    assert_eq!((second["lost"].as_u64(), second["of_previous"].as_f64()), (Some(3), Some(5.0 / 7.0)));
    assert!(second["median_us"].as_u64().unwrap() > 0);
    assert_eq!(answer["steps"][2]["lost"], 0, "nobody is lost after the last step");
    // What a lost run did can be asked for.
    let run = second["lost_in"][0].as_str().unwrap();
    assert_eq!(sandbox.run(&["show", run]).code, 0);
}

#[tokio::test]
async fn each_run_by_itself_gets_no_further_than_its_own_steps() {
    let sandbox = visited().await;
    let said = sandbox.see(&STEPS);
    assert!(said.contains("0 of 8 runs got through within 1"), "{said}");
    assert!(said.contains("cart:opened") && said.contains("100.0 %"), "{said}");
    let said = sandbox.run(&["funnel", "nobody:came", "order:paid"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
}

#[test]
fn a_funnel_has_at_least_two_steps() {
    let said = Sandbox::empty().see(&["funnel", "cart:opened"]);
    assert!(said.contains("[exit code 2]") && said.contains("STEP"), "{said}");
}

#[tokio::test]
async fn a_run_is_saved_if_something_failed_in_it_and_it_succeeded() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    succeed(shop.workflow("order")).await;
    let lost = fail(shop.workflow("order"), "no stock").await;
    let tried = shop.workflow("order").run(|ctx| async move {
        let first = ctx.step("stage:charge").run(|_| async { Err::<(), _>(std::io::Error::other("busy")) });
        first.await?.unwrap_err();
        ctx.step("stage:charge").attempt(2).run(|_| async { Ok::<_, std::io::Error>(()) }).await?.unwrap();
        Ok::<_, throughline_core::NotRecorded>(())
    });
    tried.await.unwrap().unwrap();
    end(shop).await;
    let answer: Value = serde_json::from_str(&sandbox.run(&["recovery", "--json"]).stdout).unwrap();
    assert_eq!(answer["ended"], 3);
    assert_eq!(answer["saved"], json!({ "hits": 1, "total": 2 }));
    assert_eq!((&answer["by_retries"], &answer["lost_in"]), (&json!(1), &json!([lost.to_string()])));
    let said = sandbox.see(&["recovery"]);
    assert!(said.contains("Something failed in 2 of 3 ended runs; 1 succeeded all the same"), "{said}");
}

#[tokio::test]
async fn what_was_resumed_and_what_was_undone_is_counted_with_how_often_it_helped() {
    let (sandbox, interrupted) = left_in_saga("loan-41").await;
    let loans = service(&sandbox, "loan-service");
    loans.resume(interrupted).run(|_| async { Ok::<_, BoxError>(()) }).await.unwrap().unwrap();
    // Of two steps that succeeded, one can be undone.
    let refused = loans.workflow("loan-approval").key("loan-42").run(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let held = saga.step("stage:reserve-funds").compensate(|(), _| async { Ok::<_, BoxError>(()) });
            held.run(|(), _| async { Ok::<_, BoxError>(()) }).await??;
            let sent = saga.step("stage:send-letter");
            let sent = sent.compensate(|(), _| async { Err::<(), BoxError>("it was read".into()) });
            sent.run(|(), _| async { Ok::<_, BoxError>(()) }).await??;
            saga.trace("stage:sign", async { Err::<(), BoxError>("nobody signs".into()) }).await?
        });
        saga.await?.map_err(|failed| failed.error)
    });
    refused.await.unwrap().unwrap_err();
    end(loans).await;
    let answer = sandbox.json(&["recovery"]);
    assert_eq!(answer["resumed"], json!({ "hits": 1, "total": 1 }), "{answer:#}");
    assert_eq!(answer["compensations"], json!({ "hits": 1, "total": 2 }), "{answer:#}");
    let said = sandbox.see(&["recovery"]);
    let rows: Vec<_> =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(rows.contains(&"a resumption (runs) 1 1 100.0 %".to_owned()), "{said}");
    assert!(rows.contains(&"compensations (steps) 1 2 50.0 %".to_owned()), "{said}");
}

/// The commands of the guide, as they are written there.
fn recipes() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/business.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let in_blocks = blocks.flat_map(str::lines).map(|line| line.split('#').next().unwrap().trim().to_owned());
    let in_table = page.lines().filter(|line| line.starts_with("| ")).flat_map(|row| {
        let quoted = row.split('`').skip(1).step_by(2);
        quoted.filter(|text| text.starts_with("throughline ")).map(str::to_owned)
    });
    in_blocks.chain(in_table).collect()
}

#[tokio::test]
async fn the_commands_of_the_guide_answer_what_it_says_they_do() {
    let sandbox = visited().await;
    let shop = service(&sandbox, "shop");
    let stayed = shop.workflow("visit").key("s-17").attr("session", "s-17").run(|ctx| async move {
        ctx.event("feature:preview", json!({})).await?;
        ctx.event("feature:export", json!({})).await?;
        ctx.trace("ws:session", async { Ok::<_, std::io::Error>(()) }).await?.unwrap();
        for state in ["state:session:paused", "state:session:running"] {
            ctx.step(state).run_infallible(|_| async {}).await?;
        }
        Ok::<_, throughline_core::NotRecorded>(())
    });
    stayed.await.unwrap().unwrap();
    end(shop).await;
    let said = |command: &str| {
        let words: Vec<_> = command.strip_prefix("throughline ").expect(command).split_whitespace().collect();
        let said = sandbox.run(&words);
        assert_eq!(said.code, 0, "{command}: {}{}", said.stdout, said.stderr);
        said.stdout
    };
    let recipes: Vec<_> = recipes().into_iter().filter(|command| command != "throughline funnel").collect();
    let all: Vec<_> = recipes.iter().map(|command| (command, said(command))).collect();
    for (begins, shows) in [
        ("throughline list --type feature:export", "s-17"),
        ("throughline funnel feature:preview", "1 of 1 run got through"),
        ("throughline stats", "ws:session"),
        ("throughline funnel state:session:paused", "1 of 1 key got through"),
        ("throughline recovery", "Something failed in"),
        ("throughline dashboards --funnel", "grafana/business.json"),
    ] {
        let of: Vec<_> = all.iter().filter(|(command, _)| command.starts_with(begins)).collect();
        assert!(!of.is_empty(), "{begins} is not in the guide: {recipes:?}");
        assert!(of.iter().all(|(_, said)| said.contains(shows)), "{of:?}");
    }
}
