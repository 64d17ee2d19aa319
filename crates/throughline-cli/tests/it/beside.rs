//! What an explanation takes from beside the run: good runs, runs that it caused, the process.

use throughline_core::{BoxError, InContext as _, Throughline};
use throughline_sqlite::SqliteStore;

use crate::sandbox::Sandbox;
use crate::services::{end, fail, service, stay};

#[tokio::test]
async fn a_failed_run_is_compared_with_the_last_good_runs_of_its_workflow() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    for (key, flag) in [("order-1", "off"), ("order-2", "off"), ("order-3", "off"), ("order-4", "on")] {
        let order = shop.workflow("order").key(key).attr("flag.new-pricing", flag);
        let price = |flag: &'static str| async move {
            if flag == "on" { Err::<(), BoxError>("no price list".into()) } else { Ok(()) }
        };
        let _ = order.run(|ctx| async move { ctx.trace("stage:price", price(flag)).await? }).await.unwrap();
    }
    end(shop).await;
    let seen = sandbox.see(&["why", "order-4"]);
    assert!(seen.contains("flag.new-pricing off → on since the last 3 good runs (by comparison)"), "{seen}");
    let found = sandbox.json(&["why", "order-4"]);
    assert_eq!(found["comparison"]["differences"][0]["name"], "flag.new-pricing");
    assert_eq!(sandbox.json(&["why", "order-1"])["comparison"], serde_json::Value::Null);
}

#[tokio::test]
async fn what_failed_in_a_child_with_a_trace_of_its_own_is_said_with_the_command_that_explains_it() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let run = shop.workflow("order").key("order-1").run(|ctx| {
        let shop = shop.clone();
        async move {
            let export = shop.workflow("export-ledger").key("export-1").run(|ctx| async move {
                ctx.dependency("s3", "ledger", async { Err::<(), BoxError>("AccessDenied".into()) }).await?
            });
            let step = ctx.trace("stage:export", async move { export.await? });
            let _ = step.await?;
            Err::<(), BoxError>("the ledger is not exported".into())
        }
    });
    run.await.unwrap().unwrap_err();
    end(shop).await;
    let seen = sandbox.see(&["why", "order-1"]);
    let words = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("in child export-ledger export-1: dependency:s3"), "{seen}");
    assert!(words.contains("AccessDenied › throughline why "), "{seen}");
    let back = sandbox.see(&["why", "export-1"]);
    assert!(back.contains("caused by") && back.contains("order-1"), "{back}");
}

#[tokio::test]
async fn a_child_in_another_store_is_found_if_that_store_is_named() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let billing = Throughline::builder("billing").store(SqliteStore::new(sandbox.path("billing.db")));
    let billing = billing.build().unwrap();
    let run = shop.workflow("order").key("order-1").run(|ctx| async move {
        fail(billing.workflow("invoice").key("invoice-1"), "no address").in_context(&ctx).await;
        end(billing).await;
        Err::<(), BoxError>("not invoiced".into())
    });
    run.await.unwrap().unwrap_err();
    end(shop).await;
    assert!(!sandbox.see(&["why", "order-1"]).contains("in child"));
    let seen = sandbox.see(&["why", "order-1", "--also", "sqlite:billing.db"]);
    let words = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("in child invoice invoice-1: stage:work"), "{seen}");
    let (_, command) = words.split_once("› throughline ").unwrap();
    let command: Vec<&str> = command.split(' ').take(4).collect();
    assert!(sandbox.see(&command).contains("no address"), "{command:?}");
}

#[tokio::test]
async fn a_full_page_leaves_nothing_out_and_a_page_fits_a_screen() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let run = shop.workflow("order").key("order-1").run(|ctx| async move {
        const NAMES: [&str; 60] = ["stage:a"; 60];
        for (at, name) in NAMES.iter().enumerate() {
            let name = format!("{name}{at}");
            let failed = ctx.trace(name, async move { Err::<(), BoxError>(format!("error {at}").into()) });
            let _ = failed.await?;
        }
        Err::<(), BoxError>("too many errors".into())
    });
    run.await.unwrap().unwrap_err();
    end(shop).await;
    let page = sandbox.see(&["why", "order-1"]);
    assert!(page.lines().count() <= 50 && page.contains("more lines"), "{page}");
    assert!(page.lines().nth(3).unwrap().contains("too many errors"), "{page}");
    let full = sandbox.see(&["why", "order-1", "--full"]);
    assert!(full.contains("stage:a0 ") && full.contains("stage:a59 "), "{full}");
    assert!(!full.contains("more lines"), "{full}");
}

#[tokio::test]
async fn requests_are_called_by_method_and_route_and_can_be_left_out() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let request = shop
        .request("http:request")
        .describe(|request| request.attr("http.request.method", "POST").attr("http.route", "/orders"));
    let request = request.open();
    request.ensure_recorded();
    request.succeed();
    shop.workflow("order").key("order-1").run_infallible(|_| async {}).await.unwrap();
    end(shop).await;
    let listed = sandbox.see(&["list"]);
    assert!(listed.contains("POST /orders") && listed.contains("order-1"), "{listed}");
    let without = sandbox.see(&["list", "--no-http"]);
    assert!(!without.contains("POST /orders") && without.contains("order-1"), "{without}");
}

#[tokio::test]
async fn an_interrupted_run_names_the_process_that_died() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let _run = stay(shop.workflow("order").key("order-1")).await;
    end(shop).await;
    let seen = sandbox.see(&["why", "order-1"]);
    assert!(seen.contains("the process died in stage:wait"), "{seen}");
    let seen = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(seen.contains("its process died about") && seen.contains("it can be resumed"), "{seen}");
    assert!(seen.contains(&format!("pid {}", std::process::id())), "{seen}");
}
