//! `throughline running`: what waits to be resumed, what can't be, and what stands.

use throughline_core::{BoxError, RequestSpan, Throughline, TraceId};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::sandbox::Sandbox;
use crate::services::{end, leave_open, left_in_saga, service, stay, stay_in_doubt, stay_in_saga, succeed};

/// A request that its service is at work on.
async fn open_request(service: &Throughline) -> RequestSpan {
    let request = service.request("http:request").open();
    request.context().event("request:arrived", ()).await.unwrap();
    request
}

#[tokio::test]
async fn a_request_of_a_dead_process_does_not_wait_to_be_resumed_and_can_be_closed() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let request = open_request(&shop).await;
    let id = request.context().trace_id().to_string();
    let _order = stay(shop.workflow("order").key("order-2")).await;
    end(shop).await;

    let check = sandbox.run(&["running", "--check"]);
    assert_eq!(check.code, 0);
    let lines: Vec<_> = check.stdout.lines().collect();
    assert_eq!(lines[0], "Safe to deploy: nothing is running; 1 interrupted run is waiting to be resumed.");
    assert_eq!(lines[1], "1 interrupted run can't be resumed; `throughline abandon RUN` closes it.");
    let seen = sandbox.see(&["running"]);
    let rows: Vec<_> = seen.lines().collect();
    assert!(rows[1].contains("order-2") && rows[1].contains("interrupted"), "{seen}");
    assert!(rows[2].contains("http:request") && rows[2].contains("interrupted"), "{seen}");
    assert!(seen.contains("1 interrupted run can't be resumed"), "{seen}");

    let said = sandbox.run(&["abandon", &id[..16], "--reason", "left by a deployment"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.starts_with("Closed http:request "), "{}", said.stdout);
    let check = sandbox.run(&["running", "--check"]).stdout;
    assert!(!check.contains("can't be resumed"), "{check}");
    assert_eq!(sandbox.json(&["running"])["runs"].as_array().unwrap().len(), 1);
    assert!(sandbox.see(&["why", &id]).contains("left by a deployment"));
    drop(request);
}

#[tokio::test]
async fn steps_that_stand_are_told_with_what_can_be_done_about_them() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let (id, _run) = stay_in_saga(&loans, "loan-42").await;
    let (of_request, _saga) = request_with_saga(&loans).await;
    end(loans).await;

    let said = sandbox.run(&["running"]);
    assert_eq!(said.code, 1, "steps stand that nobody works on");
    let line = format!(
        "2 steps of loan-42 stand: resume or undo (throughline compensations {})",
        &id.to_string()[..16]
    );
    assert!(said.stdout.contains(&line), "{}", said.stdout);
    let short = &of_request.to_string()[..16];
    let line = format!("1 step of http:request stands: undo (throughline compensations {short})");
    assert!(said.stdout.contains(&line), "{}", said.stdout);
    assert_eq!(sandbox.run(&["compensations", short]).code, 1);
    let open = sandbox.json(&["running"]);
    let standing = |id: TraceId| {
        let runs = open["runs"].as_array().unwrap();
        let run = runs.iter().find(|run| run["summary"]["trace_id"] == id.to_string()).unwrap();
        run["standing"].as_u64().unwrap()
    };
    assert_eq!((standing(id), standing(of_request)), (2, 1));

    let check = sandbox.run(&["running", "--check"]);
    assert_eq!(check.code, 0, "no deployment interrupts them");
    assert!(check.stdout.contains("2 steps of loan-42 stand: resume or undo"), "{}", check.stdout);
    assert_eq!(sandbox.json(&["running", "--check"])["standing"], 3);
    let first = sandbox.see(&["running", "--check", "--limit", "1"]);
    assert!(
        first.contains("Not searched for steps that stand or are in doubt: 1 more interrupted run"),
        "{first}"
    );
}

#[tokio::test]
async fn a_run_is_told_with_what_is_usual_its_process_its_next_attempt_and_what_a_deployment_does() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    for key in ["order-1", "order-2"] {
        succeed(shop.workflow("order").key(key)).await;
    }
    let (scheduled, is_scheduled) = oneshot::channel();
    let run = shop.workflow("order").key("order-3").run_infallible(|ctx| async move {
        ctx.retry_in(std::time::Duration::from_secs(3_600)).await.unwrap();
        scheduled.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    let _run = tokio::spawn(run);
    is_scheduled.await.unwrap();
    let request = open_request(&shop).await;

    let open = sandbox.json(&["running"]);
    let runs = open["runs"].as_array().unwrap();
    let order = runs.iter().find(|run| run["summary"]["correlation_id"] == "order-3").unwrap();
    assert_eq!(order["usual"]["count"], 2);
    assert_eq!(order["deployment"], "cuts_short");
    assert_eq!(order["holder"]["pid"], std::process::id());
    assert_eq!(order["holder"]["lease"], "alive");
    assert!(order["next_retry"].as_str().unwrap() > order["last_event"].as_str().unwrap(), "{order}");
    let seen = sandbox.see(&["running"]);
    assert!(seen.contains("USUALLY") && seen.contains(&format!("pid {}", std::process::id())), "{seen}");
    assert!(seen.contains("NEXT RETRY") && seen.contains(" in 59"), "{seen}");
    let check = sandbox.run(&["running", "--check"]).stdout;
    assert!(check.contains("cut short, can be resumed") && check.contains("cut short for good"), "{check}");
    drop(request);
}

/// A request in which a saga has one step that succeeded, and does not end.
async fn request_with_saga(service: &Throughline) -> (TraceId, JoinHandle<()>) {
    let request = service.request("http:request").open();
    let (entered, in_saga) = oneshot::channel();
    let context = request.context().clone();
    let run = tokio::spawn(async move {
        let saga = context.saga("checkout").run(|saga| async move {
            let step = saga.step("stage:reserve-stock").compensate(|(), _| async { Ok::<_, BoxError>(()) });
            step.run(|(), _| async { Ok::<_, BoxError>(()) }).await??;
            entered.send(()).unwrap();
            std::future::pending::<Result<(), BoxError>>().await
        });
        drop(saga.await);
        drop(request);
    });
    in_saga.await.unwrap();
    let id = service.reader().unwrap().open_runs(&throughline_core::Page::first(9)).await.unwrap();
    let id = id.items.iter().find(|run| run.summary.workflow.is_none()).unwrap().summary.trace_id;
    (id, run)
}

#[tokio::test]
async fn runs_are_listed_with_exit_code_0_and_none_with_exit_code_1() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let run = stay(shop.workflow("order").key("order-2")).await;
    assert_eq!(sandbox.run(&["running"]).code, 0);
    assert_eq!(sandbox.json(&["running"])["runs"][0]["standing"], 0);
    end(shop).await;
    assert_eq!(sandbox.run(&["running"]).code, 0, "it is interrupted, and nothing of it stands");
    let closed = sandbox.run(&["abandon", &run.id.to_string(), "--reason", "not needed"]);
    assert_eq!(closed.code, 0, "{}", closed.stderr);
    assert_eq!(sandbox.run(&["running"]).code, 1);
}

#[tokio::test]
async fn steps_in_doubt_are_told_beside_those_that_stand() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let (_, _run) = stay_in_doubt(&loans, "loan-42").await;
    end(loans).await;

    let line = "1 step of loan-42 stands, 1 is in doubt: resume or undo (throughline compensations ";
    let said = sandbox.run(&["running"]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains(line), "{}", said.stdout);
    let run = &sandbox.json(&["running"])["runs"][0];
    assert_eq!((&run["standing"], &run["in_doubt"]), (&1.into(), &1.into()));
    let check = sandbox.run(&["running", "--check"]);
    assert_eq!(check.code, 0, "no deployment interrupts them");
    assert!(check.stdout.contains(line), "{}", check.stdout);
    let check = sandbox.json(&["running", "--check"]);
    assert_eq!((&check["standing"], &check["in_doubt"]), (&1.into(), &1.into()));

    // What stands is undone, and the doubt is left.
    let loans = service(&sandbox, "loan-service");
    let id = check["interrupted"][0]["summary"]["trace_id"].as_str().unwrap().parse().unwrap();
    let undone = loans
        .undo(id, "loan-approval")
        .step("stage:reserve-funds", (), |(), _| async { Ok::<_, BoxError>(()) });
    undone.run().await.unwrap();
    end(loans).await;
    let said = sandbox.run(&["compensations", "loan-42"]);
    assert!(said.stdout.contains("1 step undone, 1 in doubt"), "{}", said.stdout);
}

#[tokio::test]
async fn steps_whose_compensation_failed_stand_and_can_only_be_undone() {
    let (sandbox, id) = left_in_saga("loan-42").await;
    // The process that undoes it dies after one of them could not be undone.
    let loans = service(&sandbox, "loan-service");
    let (entered, in_step) = oneshot::channel();
    let undoing = loans
        .undo(id, "loan-approval")
        .step("stage:reserve-funds", 1, |_, _| async move {
            entered.send(()).unwrap();
            std::future::pending::<Result<(), BoxError>>().await
        })
        .step("stage:open-file", 1, |_, _| async { Err::<(), BoxError>("locked".into()) });
    let undoing = tokio::spawn(undoing.run());
    in_step.await.unwrap();
    end(loans).await;
    drop(undoing);

    let said = sandbox.run(&["running"]);
    assert_eq!(said.code, 1);
    let line = "2 steps of loan-42 stand: undo (throughline compensations ";
    assert!(said.stdout.contains(line), "{}{}", said.stdout, sandbox.see(&["compensations", "loan-42"]));
}

#[tokio::test]
async fn a_saga_that_was_left_open_by_choice_is_told_as_that() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    leave_open(&loans, "loan-42").await;
    end(loans).await;

    let seen = sandbox.see(&["why", "loan-42"]);
    assert!(seen.contains("loan-approval was left open at saga:loan-approval: resume or undo it"), "{seen}");
    assert!(!seen.contains("process died"), "{seen}");
    assert_eq!(sandbox.json(&["why", "loan-42"])["cause"]["kind"], "left_open");
    let seen = sandbox.see(&["running"]);
    assert!(seen.contains(" saga:loan-approval ") && !seen.contains("left_open"), "{seen}");
    assert!(seen.contains("1 step of loan-42 stands: resume or undo"), "{seen}");
}

#[tokio::test]
async fn a_workflow_of_which_only_a_job_is_left_is_said_to_be_a_run_that_cannot_be_resumed() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let request = loans.workflow("loan-approval").key("loan-42");
    let carried = request.run_infallible(|ctx| async move { ctx.propagation() }).await.unwrap();
    let (entered, in_job) = oneshot::channel();
    let job = loans.workflow("payout").event_type("job:payout").detached().continue_from(carried);
    let job = tokio::spawn(job.run_infallible(|_| async move {
        entered.send(()).unwrap();
        std::future::pending::<()>().await;
    }));
    in_job.await.unwrap();
    end(loans).await;
    drop(job);

    for command in [&["running"][..], &["running", "--check"]] {
        let seen = sandbox.see(command);
        assert!(seen.contains("\n1 interrupted run can't be resumed; `throughline abandon RUN`"), "{seen}");
        assert!(!seen.contains("interrupted request"), "{seen}");
    }
}
