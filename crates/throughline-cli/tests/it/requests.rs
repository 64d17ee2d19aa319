//! Requests and what they cause: found by the id of the request, told in both directions.

use throughline_core::{InContext as _, RequestSpan, Throughline};

use crate::sandbox::{Sandbox, follow, related};
use crate::services::{end, fail, service, succeed};

/// A request that came in under this id, as the HTTP layer opens it.
fn request(service: &Throughline, id: &'static str) -> RequestSpan {
    service.request("http:request").describe(move |request| request.attr("request_id", id)).open()
}

#[tokio::test]
async fn a_request_is_found_by_its_id_and_told_with_the_run_that_failed_in_the_background() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let answered = request(&shop, "req-1");
    let context = answered.context().clone();
    let own = context.trace_id().to_string();
    answered.ensure_recorded();
    answered.succeed();
    let order = fail(shop.workflow("order").key("order-2"), "no stock").in_context(&context).await;
    end(shop).await;

    let found = sandbox.json(&["why", "req-1"]);
    assert_eq!(found["run"]["trace_id"], own);
    assert_eq!(found["related"]["caused"][0]["trace_id"], order.to_string());
    let seen = sandbox.see(&["why", "req-1"]);
    assert!(seen.starts_with("http:request · succeeded"), "{seen}");
    let rows = related(&seen);
    assert!(rows[0].starts_with("caused order-2 (failed): throughline why "), "{rows:?}");
    assert_eq!(follow(&sandbox, &rows[0])["run"]["trace_id"], order.to_string());

    let found = sandbox.json(&["why", "order-2"]);
    assert_eq!(found["verdict"], "failed");
    assert_eq!(found["related"]["caused_by"][0]["trace_id"], own);
    let rows = related(&sandbox.see(&["why", "order-2"]));
    assert!(rows[0].starts_with("caused by http:request (succeeded): throughline why "), "{rows:?}");
    assert_eq!(follow(&sandbox, &rows[0])["run"]["trace_id"], own);
    let listed = sandbox.see(&["list"]);
    assert!(listed.contains("http:request"), "{listed}");
}

#[tokio::test]
async fn of_the_runs_of_a_request_the_one_that_caused_the_others_is_told() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let answered = request(&shop, "ada@example.org");
    let context = answered.context().clone();
    let order = shop.workflow("order").key("order-2").run_infallible(|ctx| async move {
        for _ in 0..3 {
            succeed(ctx.child_workflow("parcel")).await;
        }
        fail(ctx.child_workflow("invoice"), "no address").await;
        for _ in 0..10 {
            succeed(ctx.child_workflow("parcel")).await;
        }
    });
    order.in_context(&context).await.unwrap();
    answered.succeed();
    end(shop).await;

    let found = sandbox.json(&["show", "ada@example.org"]);
    assert_eq!(found["run"]["trace_id"], context.trace_id().to_string());
    let rows = related(&sandbox.see(&["show", "order-2"]));
    assert!(rows[0].starts_with("caused by http:request"), "{rows:?}");
    assert!(rows[1].starts_with("caused invoice (failed)"), "{rows:?}");
    assert!(rows[2].starts_with("caused parcel (succeeded)"), "{rows:?}");
    assert_eq!(rows.len(), 1 + 12 + 1, "{rows:?}");
    assert!(rows[13].starts_with("… and 2 more: throughline list --attr caused_by="), "{rows:?}");
    assert_eq!(follow(&sandbox, &rows[13])["runs"].as_array().unwrap().len(), 14);
}

#[tokio::test]
async fn an_id_that_several_requests_came_with_is_an_error_that_names_each() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answered = request(&shop, "req-1");
        answered.ensure_recorded();
        ids.push(answered.context().trace_id().to_string());
        answered.succeed();
    }
    end(shop).await;
    let said = sandbox.run(&["why", "req-1"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("`req-1` is the id of several requests"), "{}", said.stderr);
    assert!(ids.iter().all(|id| said.stderr.contains(id)), "{}", said.stderr);
}

#[tokio::test]
async fn a_cause_that_the_store_does_not_have_is_named_by_its_id() {
    let (sandbox, elsewhere) = (Sandbox::empty(), Sandbox::empty());
    let (gateway, shop) = (service(&elsewhere, "gateway"), service(&sandbox, "shop"));
    let (mut run, mut cause) = (None, None);
    let outer = gateway.workflow("checkout").run_infallible(|ctx| {
        cause = Some(ctx.trace_id());
        run = Some(ctx.propagation());
        async {}
    });
    outer.await.unwrap();
    fail(shop.workflow("order").key("order-2").continue_from(run.unwrap()), "no stock").await;
    end(shop).await;
    end(gateway).await;
    let rows = related(&sandbox.see(&["why", "order-2"]));
    let cause = cause.unwrap().to_string();
    assert_eq!(rows, [format!("caused by {cause}, which is not in this store")]);
    assert_eq!(sandbox.json(&["why", "order-2"])["related"]["unknown_cause"], cause);
}
