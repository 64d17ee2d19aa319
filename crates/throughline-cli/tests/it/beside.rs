//! What an explanation takes from beside the run: good runs, runs that it caused, the process.

use throughline_core::testing::run;
use throughline_core::{BoxError, InContext as _, Link, Relation, Throughline, Timestamp};
use throughline_sqlite::SqliteStore;

use crate::sandbox::Sandbox;
use crate::services::{end, fail, service, stay};

/// A page without the ends of its lines, which depend on its width.
fn in_one_line(page: &str) -> String {
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

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
    let words = in_one_line(&seen);
    assert!(words.contains("in child export-ledger export-1: dependency:s3"), "{seen}");
    assert!(words.contains("AccessDenied › throughline why "), "{seen}");
    let back = sandbox.see(&["why", "export-1"]);
    assert!(back.contains("caused by") && back.contains("order-1"), "{back}");
}

#[tokio::test]
async fn what_failed_in_the_child_of_a_child_is_said_too() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let run = shop.workflow("order").key("order-1").run(|ctx| async move {
        let billing = ctx.child_workflow("billing").key("bill-1").run(|ctx| async move {
            let ledger = ctx.child_workflow("ledger").key("ledger-1").run(|ctx| async move {
                ctx.dependency("s3", "ledger", async { Err::<(), BoxError>("AccessDenied".into()) }).await?
            });
            ledger.await?
        });
        billing.await?
    });
    run.await.unwrap().unwrap_err();
    end(shop).await;
    let seen = sandbox.see(&["why", "order-1"]);
    let words = in_one_line(&seen);
    assert!(words.contains("in child billing bill-1: "), "{seen}");
    let (_, of_the_ledger) = words.split_once("in child ledger ledger-1 of billing bill-1: ").expect(&seen);
    assert!(of_the_ledger.starts_with("dependency:s3 ledger error: AccessDenied"), "{seen}");
    let (_, command) = of_the_ledger.split_once("› throughline ").unwrap();
    let command: Vec<&str> = command.split(' ').take(2).collect();
    assert!(sandbox.see(&command).contains("AccessDenied"), "{command:?}");
}

#[tokio::test]
async fn what_failed_in_the_child_of_a_child_is_said_though_its_error_was_replaced() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let run = shop.workflow("order").key("order-1").run(|ctx| async move {
        let billing = ctx.child_workflow("billing").key("bill-1").run(|ctx| async move {
            fail(ctx.child_workflow("ledger").key("ledger-1"), "AccessDenied").await;
            Err::<(), BoxError>("not billed".into())
        });
        let _ = billing.await?;
        Err::<(), BoxError>("not placed".into())
    });
    run.await.unwrap().unwrap_err();
    end(shop).await;
    let seen = sandbox.see(&["why", "order-1"]);
    let words = in_one_line(&seen);
    let (_, of_the_ledger) = words.split_once("in child ledger ledger-1 of billing bill-1: ").expect(&seen);
    assert!(of_the_ledger.starts_with("stage:work error: AccessDenied › throughline why "), "{seen}");
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
    sandbox.write("billing.txt", "sqlite:billing.db\n");
    assert_eq!(sandbox.see(&["why", "order-1", "--also-file", "billing.txt"]), seen);
    let words = in_one_line(&seen);
    assert!(words.contains("in child invoice invoice-1: stage:work"), "{seen}");
    let (_, command) = words.split_once("› throughline ").unwrap();
    let command: Vec<&str> = command.split(' ').take(4).collect();
    assert!(sandbox.see(&command).contains("no address"), "{command:?}");
}

/// Whether each sentence of these kinds names events of its run that say what it says.
fn assert_grounded(sandbox: &Sandbox, found: &serde_json::Value, kind: &str, says: impl Fn(&str) -> bool) {
    let exported = sandbox.run(&["export"]).stdout;
    let statements = found["statements"].as_array().unwrap();
    let mut of_kind = statements.iter().filter(|statement| statement["says"] == kind).peekable();
    assert!(of_kind.peek().is_some(), "{found:#}");
    for statement in of_kind {
        let ids: Vec<&str> =
            statement["events"].as_array().unwrap().iter().filter_map(|id| id.as_str()).collect();
        let [id] = ids[..] else { panic!("{statement:#}") };
        let mut parts = id.split(':');
        let [trace, span, seq] = [(); 3].map(|()| parts.next().unwrap());
        let is_it = |line: &&str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["trace_id"] == trace
                && event["span_id"] == span
                && event["seq"].as_u64().unwrap_or(0).to_string() == seq
        };
        let event = exported.lines().find(is_it).unwrap_or_else(|| panic!("there is no event {id}"));
        assert!(says(event), "{statement:#} does not follow from {event}");
    }
}

#[tokio::test]
async fn sentences_about_children_and_processes_name_the_events_that_say_so() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let run = shop.workflow("order").key("order-1").run(|ctx| {
        let shop = shop.clone();
        async move {
            fail(shop.workflow("invoice").key("invoice-1"), "no address").in_context(&ctx).await;
            Err::<(), BoxError>("not invoiced".into())
        }
    });
    run.await.unwrap().unwrap_err();
    let _open = stay(shop.workflow("order").key("order-2")).await;
    end(shop).await;
    let found = sandbox.json(&["why", "order-1"]);
    assert_grounded(&sandbox, &found, "child", |event| {
        event.contains("\"status\":\"failed\"") && event.contains("no address") && event.contains("invoice-1")
    });
    let found = sandbox.json(&["why", "order-2"]);
    let said = found["statements"].to_string();
    assert_grounded(&sandbox, &found, "process", |event| {
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        event["event_type"] == "stage:wait" && said.contains(event["instance"].as_str().unwrap())
    });
}

#[tokio::test]
async fn a_run_that_caused_another_one_is_found_in_another_store_too() {
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
    let alone = sandbox.see(&["why", "invoice-1", "--store", "sqlite:billing.db"]);
    assert!(alone.contains("which is not in this store"), "{alone}");
    let seen =
        sandbox.see(&["why", "invoice-1", "--store", "sqlite:billing.db", "--also", "sqlite:traces.db"]);
    let words = in_one_line(&seen);
    assert!(words.contains("caused by order-1 (failed): throughline why "), "{seen}");
    let (_, command) = words.split_once("(failed): throughline ").unwrap();
    let command: Vec<&str> = command.split(' ').take(4).collect();
    assert!(sandbox.see(&command).contains("not invoiced"), "{command:?}");
}

#[test]
fn a_run_that_another_one_says_it_began_is_its_child_whatever_it_says_itself() {
    let sandbox = Sandbox::empty();
    let mut invoice = run("invoice").key("invoice-1");
    let (trace_id, root) = (invoice.trace_id(), invoice.root());
    let address = invoice.begin("stage:address");
    invoice.fail(address, "AddressError", "no address");
    invoice.fail_run("AddressError", "no address");
    let mut order = run("order").key("order-1");
    order.point("workflow:child-began");
    order.edit(|event| {
        event.links.push(Link { rel: Relation::Began, trace_id: Some(trace_id), span_id: root });
    });
    order.fail_run("OrderError", "not invoiced");
    let events = invoice.events().into_iter().chain(order.events());
    let lines: Vec<String> = events.map(|event| serde_json::to_string(&event).unwrap()).collect();
    sandbox.write("events.jsonl", lines.join("\n"));
    sandbox.json(&["import", "events.jsonl"]);
    let seen = sandbox.see(&["why", "order-1"]);
    let words = in_one_line(&seen);
    assert!(words.contains("in child invoice invoice-1: stage:address AddressError: no address"), "{seen}");
}

#[tokio::test]
async fn a_run_that_is_running_says_where_it_is_and_for_how_long() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let work = shop.workflow("order").key("order-1");
    work.run_infallible(|ctx| async move {
        ctx.trace_infallible("stage:wait", async {}).await.unwrap();
    })
    .await
    .unwrap();
    let open = stay(shop.workflow("order").key("order-2")).await;
    let seen = sandbox.see(&["why", "order-2"]);
    let words = in_one_line(&seen);
    assert!(words.contains("● order is running, now at stage:wait; it has been running for "), "{seen}");
    assert!(words.contains("stage:wait has been at work for "), "{seen}");
    assert!(words.contains("Where it is ● workflow:order running"), "{seen}");
    assert!(words.contains("← here ● stage:wait running"), "{seen}");
    let found = sandbox.json(&["why", "order-2"]);
    assert_grounded(&sandbox, &found, "at_work", |event| event.contains("stage:wait"));
    drop(open);
    end(shop).await;
}

#[tokio::test]
async fn another_version_than_that_of_the_last_good_run_is_told() {
    let sandbox = Sandbox::empty();
    for (key, version) in [("order-1", "1.4.0"), ("order-2", "1.4.1")] {
        let store = SqliteStore::new(sandbox.path("traces.db"));
        let shop = Throughline::builder("shop").version(version).store(store).build().unwrap();
        let order = shop.workflow("order").key(key);
        let fails = key == "order-2";
        let work = async move { if fails { Err::<(), BoxError>("no price list".into()) } else { Ok(()) } };
        let _ = order.run(|ctx| async move { ctx.trace("stage:price", work).await? }).await.unwrap();
        end(shop).await;
    }
    let seen = sandbox.see(&["why", "order-2"]);
    assert!(seen.contains("version 1.4.0 → 1.4.1 since the last good run (by comparison)"), "{seen}");
}

#[test]
fn of_a_large_run_what_it_began_with_is_compared() {
    let sandbox = Sandbox::empty();
    let mut lines = Vec::new();
    for (hour, (key, flag)) in (0..).zip([("a", "off"), ("b", "off"), ("c", "off"), ("d", "on")]) {
        let mut order = run("order").key(key).at(Timestamp::from_micros(hour * 3_600_000_000));
        order.root();
        order.edit(|event| event.attrs = event.attrs.with("flag.new-pricing", flag));
        for _ in 0..4_200 {
            order.point("item:seen");
        }
        if flag == "on" {
            order.fail_run("PriceError", "no price list");
        } else {
            order.complete_run();
        }
        lines.extend(order.events().iter().map(|event| serde_json::to_string(event).unwrap()));
    }
    sandbox.write("events.jsonl", lines.join("\n"));
    sandbox.json(&["import", "events.jsonl"]);
    let seen = sandbox.see(&["why", "d"]);
    assert!(seen.contains("flag.new-pricing off → on since the last 3 good runs (by comparison)"), "{seen}");
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
    let seen = in_one_line(&seen);
    assert!(seen.contains("its process died about") && seen.contains("it can be resumed"), "{seen}");
    assert!(seen.contains(&format!("pid {}", std::process::id())), "{seen}");
}
