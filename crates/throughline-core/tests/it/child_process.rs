//! A context that a child process is handed in its environment.

use std::process::Command;

use throughline_core::{MemoryStore, Propagation, Throughline};

const ROLE: &str = "THROUGHLINE_TEST_CHILD_OF_A_RUN";

/// Says where a run would hang that begins in this process.
#[tokio::test]
async fn this_process_continues_what_its_environment_names_when_it_is_told_to() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let store = MemoryStore::new();
    let throughline = Throughline::builder("child").store(store.clone()).build().unwrap();
    let run = throughline.workflow("settle").continue_from(Propagation::from_environment());
    run.run_infallible(|_| async {}).await.unwrap();
    let root = &store.events()[0];
    println!("\nchild {} {:?} {:?}", root.trace_id, root.parent_span_id, root.correlation_id.as_deref());
}

/// What the child says that is started with these variables.
fn said(variables: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    for name in ["TRACEPARENT", "TRACESTATE", "BAGGAGE"] {
        child.env_remove(name);
    }
    let test = "child_process::this_process_continues_what_its_environment_names_when_it_is_told_to";
    let output =
        child.args(["--exact", test, "--nocapture"]).env(ROLE, "1").envs(variables).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find(|line| line.starts_with("child ")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[tokio::test]
async fn a_child_process_continues_the_run_that_its_environment_names() {
    let throughline = Throughline::builder("parent").store(MemoryStore::new()).build().unwrap();
    let run = throughline.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
        ctx.step("stage:settle")
            .run_infallible(|ctx| async move {
                (ctx.trace_id(), ctx.span_id(), said(ctx.propagation().variables()))
            })
            .await
    });
    let (trace, span, said_by_child) = run.await.unwrap().unwrap();
    assert_eq!(said_by_child, format!("child {trace} {:?} {:?}", Some(span), Some("loan-42")));
    // Without them, or with rubbish, it has a trace of its own.
    for alone in [said([]), said([("TRACEPARENT", "rubbish".to_owned())])] {
        assert!(!alone.contains(&trace.to_string()) && alone.ends_with("None None"), "{alone}");
    }
}
