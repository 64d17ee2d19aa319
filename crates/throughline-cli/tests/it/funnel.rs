//! `throughline funnel` and `recovery`: how many get from step to step, and what saves those that stumble.

use serde_json::{Value, json};
use throughline_core::Throughline;

use crate::sandbox::Sandbox;
use crate::services::{end, fail, service, succeed};

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
