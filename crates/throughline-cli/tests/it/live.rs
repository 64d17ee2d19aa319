//! What a service does while the command looks on.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use throughline_core::{BoxError, Throughline};
use throughline_sqlite::SqliteStore;
use tokio::sync::oneshot;

use crate::sandbox::Sandbox;
use crate::services::{end, service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_workflow_is_seen_at_its_step_and_watched_to_its_end() {
    let sandbox = Sandbox::empty();
    let store = SqliteStore::new(sandbox.path("traces.db"));
    let throughline = Throughline::builder("loan-service").store(store).build().unwrap();
    let (entered, in_step) = oneshot::channel();
    let (go_on, released) = oneshot::channel::<()>();
    let run =
        throughline.workflow("loan-approval").key("loan-42").steps(3).run_infallible(|ctx| async move {
            ctx.step("stage:submit").run_infallible(|_| async {}).await.unwrap();
            let waiting = ctx.step("stage:credit-check").attempt(1).run_infallible(|_| async move {
                entered.send(()).unwrap();
                released.await.unwrap();
            });
            waiting.await.unwrap();
        });
    let run = tokio::spawn(run);
    in_step.await.unwrap();

    // The step runs, so that its start is in the store.
    let open = sandbox.json(&["running"]);
    assert_eq!(open["runs"][0]["summary"]["state"], "running");
    assert_eq!(open["runs"][0]["current"]["event_type"], "stage:credit-check");
    let seen = sandbox.see(&["running"]);
    assert!(seen.contains("loan-42") && seen.contains("step 2 of 3"), "{seen}");
    let check = sandbox.run(&["running", "--check"]);
    assert_eq!(check.code, 1);
    assert!(check.stdout.starts_with("Not safe to deploy: 1 running"), "{}", check.stdout);
    let stuck = sandbox.json(&["running", "--check", "--stuck-after", "0s"]);
    assert_eq!(stuck["stuck"][0]["summary"]["correlation_id"], "loan-42");

    let mut watch =
        sandbox.command(&["watch", "loan-42", "--for", "60s"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("stage:credit-check") {
        line.clear();
        assert!(seen.read_line(&mut line).unwrap() > 0, "the watch ended early");
    }
    go_on.send(()).unwrap();
    run.await.unwrap().unwrap();
    let mut rest = String::new();
    seen.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("workflow:completed"), "{rest}");
    assert!(watch.wait().unwrap().success());

    throughline.shutdown(Duration::from_secs(10)).await;
    assert_eq!(sandbox.run(&["running", "--check"]).code, 0);
}

#[tokio::test]
async fn a_run_that_is_under_way_is_shown_with_what_failed_in_it_first() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let (entered, in_call) = oneshot::channel();
    let run = shop.workflow("order").key("order-7").run(|ctx| async move {
        let refused = async { Err::<(), BoxError>("connection refused".into()) };
        let _ = ctx.dependency("redis", "prices", refused).await?;
        let call = ctx.dependency_step("http", "carrier-api").run_infallible(|_| async move {
            entered.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        call.await?;
        Ok::<_, BoxError>(())
    });
    let run = tokio::spawn(run);
    in_call.await.unwrap();

    let seen = sandbox.see(&["running"]);
    assert!(seen.contains("dependency:http carrier-api"), "{seen}");
    assert!(seen.contains("FIRST FAILURE") && seen.contains("dependency:redis prices: connection refused"));
    let open = &sandbox.json(&["running"])["runs"][0];
    assert_eq!(open["current"]["name"], "dependency:http carrier-api");
    assert_eq!(open["summary"]["first_failure"]["name"], "dependency:redis prices");
    let why = sandbox.see(&["why", "order-7"]);
    assert!(why.contains("dependency:redis prices") && why.contains("connection refused"), "{why}");
    let mut watch =
        sandbox.command(&["watch", "order-7", "--for", "60s"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let call = lines.map(Result::unwrap).find(|line| line.contains("dependency:http"));
    assert!(call.is_some_and(|line| line.ends_with("pending    dependency:http carrier-api")));
    watch.kill().unwrap();
    watch.wait().unwrap();
    drop(run);
    end(shop).await;
}

#[tokio::test]
async fn a_list_names_the_dependency_that_failed() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    let run = shop.workflow("order").key("order-7").run(|ctx| async move {
        let refused = async { Err::<(), BoxError>("connection refused".into()) };
        ctx.dependency("http", "carrier-api", refused).await?
    });
    run.await.unwrap().unwrap_err();
    end(shop).await;
    let seen = sandbox.see(&["list"]);
    assert!(seen.contains("dependency:http carrier-api: connection refused"), "{seen}");
}

#[tokio::test]
async fn a_list_and_the_statistics_name_the_cause_and_not_what_was_tolerated() {
    let sandbox = Sandbox::empty();
    let agents = service(&sandbox, "agents");
    let run = agents.workflow("review").key("pull-7").run(|ctx| async move {
        for _ in 0..30 {
            let missing = async { Err::<(), BoxError>("exit status 1".into()) };
            let _ = ctx.trace("tool:grep", missing).await?;
        }
        ctx.trace("tool:test", async { Err::<(), BoxError>("3 tests failed".into()) }).await?
    });
    run.await.unwrap().unwrap_err();
    end(agents).await;
    let list = sandbox.see(&["list", "--failed"]);
    assert!(list.contains("tool:test: 3 tests failed") && !list.contains("tool:grep"), "{list}");
    let stats = sandbox.json(&["stats"]);
    assert_eq!(stats["hot_spots"].as_array().unwrap().len(), 1, "{stats}");
    assert_eq!(stats["hot_spots"][0]["event_type"], "tool:test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_watched_until_the_job_that_its_request_enqueued_has_ended() {
    let sandbox = Sandbox::empty();
    let store = SqliteStore::new(sandbox.path("traces.db"));
    let throughline = Throughline::builder("loan-service").store(store).build().unwrap();
    let request = throughline
        .workflow("loan-approval")
        .key("loan-42")
        .run_infallible(|ctx| async move { ctx.propagation() });
    let carried = request.await.unwrap();
    assert_eq!(sandbox.run(&["running"]).code, 1, "the request has ended, and nobody has the job yet");

    let (entered, in_job) = oneshot::channel();
    let (go_on, released) = oneshot::channel::<()>();
    let job = throughline.workflow("payout").event_type("job:payout").detached().continue_from(carried);
    let job = tokio::spawn(job.run_infallible(|_| async move {
        entered.send(()).unwrap();
        released.await.unwrap();
    }));
    in_job.await.unwrap();
    let open = sandbox.json(&["running"]);
    assert_eq!(open["runs"][0]["current"]["event_type"], "job:payout");

    let mut watch =
        sandbox.command(&["watch", "loan-42", "--for", "60s"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watch.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("job:payout") {
        line.clear();
        assert!(seen.read_line(&mut line).unwrap() > 0, "the watch ended early");
    }
    go_on.send(()).unwrap();
    job.await.unwrap().unwrap();
    let mut rest = String::new();
    seen.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("success    job:payout"), "{rest}");
    assert!(watch.wait().unwrap().success());
    throughline.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn what_a_service_left_open_when_it_ended_is_interrupted() {
    let sandbox = Sandbox::empty();
    let store = SqliteStore::new(sandbox.path("traces.db"));
    let throughline = Throughline::builder("loan-service").store(store).build().unwrap();
    let (entered, in_step) = oneshot::channel();
    let run = throughline.workflow("loan-approval").key("loan-42").run_infallible(|_| async move {
        entered.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    // Kept to the end of the test: dropped, it would be cancelled.
    let _run = tokio::spawn(run);
    in_step.await.unwrap();
    throughline.shutdown(Duration::from_secs(10)).await;

    assert_eq!(sandbox.json(&["running"])["runs"][0]["summary"]["state"], "interrupted");
    let check = sandbox.run(&["running", "--check"]);
    assert_eq!(check.code, 0);
    let said = "Safe to deploy: nothing is running; 1 interrupted run";
    assert!(check.stdout.starts_with(said), "{}", check.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_after_the_cursor_of_an_event() {
    let sandbox = Sandbox::empty();
    let store = SqliteStore::new(sandbox.path("traces.db"));
    let throughline = Throughline::builder("loan-service").store(store).build().unwrap();
    let watch = async |args: &[&str]| {
        let mut watch =
            sandbox.command(&[&["watch", "--json"], args].concat()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        // Events are recorded until the watch, which begins at some time, sees one.
        let seen = std::thread::spawn({
            let mut lines = BufReader::new(watch.stdout.take().unwrap());
            move || lines.read_line(&mut line).map(|_| line).unwrap()
        });
        while !seen.is_finished() {
            throughline.workflow("loan-approval").run_infallible(|_| async {}).await.unwrap();
            tokio::task::yield_now().await;
        }
        watch.kill().and_then(|()| watch.wait()).unwrap();
        serde_json::from_str::<serde_json::Value>(&seen.join().unwrap()).unwrap()
    };
    let first = watch(&["--status", "pending"]).await;
    assert_eq!(first["event"]["event_type"], "workflow:started");
    let cursor = first["cursor"].as_str().unwrap();
    let second = watch(&["--after", cursor]).await;
    assert_eq!(second["event"]["trace_id"], first["event"]["trace_id"], "the very next event");
    assert_eq!(second["event"]["event_type"], "workflow:completed");
    throughline.shutdown(Duration::from_secs(10)).await;

    let said = sandbox.run(&["watch", "--after", "nonsense", "--for", "1s"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("`nonsense` is not a cursor"), "{}", said.stderr);
}

#[tokio::test]
async fn open_runs_are_listed_in_pages() {
    let sandbox = Sandbox::empty();
    let store = SqliteStore::new(sandbox.path("traces.db"));
    let throughline = Throughline::builder("loan-service").store(store).build().unwrap();
    let mut runs = Vec::new();
    for number in 0..3 {
        let (entered, in_step) = oneshot::channel();
        let run = throughline.workflow("loan-approval").key(format!("loan-{number}"));
        runs.push(tokio::spawn(run.run_infallible(|_| async move {
            entered.send(()).unwrap();
            std::future::pending::<()>().await;
        })));
        in_step.await.unwrap();
    }
    let first = sandbox.json(&["running", "--limit", "2"]);
    let rest = sandbox.json(&["running", "--limit", "2", "--after", first["next"].as_str().unwrap()]);
    let keys = |page: &serde_json::Value| -> Vec<_> {
        let runs = page["runs"].as_array().unwrap().iter();
        runs.map(|run| run["summary"]["correlation_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&first), ["loan-0", "loan-1"]);
    assert_eq!((keys(&rest), &rest["next"]), (vec!["loan-2".to_owned()], &serde_json::Value::Null));
    assert!(sandbox.see(&["running", "--limit", "2"]).contains("There are more: use --after "));
    let check = sandbox.json(&["running", "--check"]);
    assert_eq!(check["running"].as_array().unwrap().len(), 3);
}
