//! What the store knows of runs is measured: what stands still, what was interrupted, and what is left over.

use std::future::pending;
use std::time::{Duration, Instant};

use throughline::event::{SpanId, Status, Timestamp, TraceEvent, TraceId};
use throughline::metrics::{ExpositionFormat, Prometheus};
use throughline::store::BoxError;
use throughline::{MemoryStore, Throughline, TraceContext};
use tokio::sync::oneshot;

/// What is waited for either comes soon or never.
const PATIENCE: Duration = Duration::from_secs(60);

fn service(store: &MemoryStore, prometheus: &Prometheus) -> Throughline {
    Throughline::builder("loan-service").store(store.clone()).metrics(prometheus).build().unwrap()
}

/// A step was done that cannot be undone at first.
pub(super) async fn leave_something(throughline: &Throughline) -> TraceId {
    let (tell, told) = oneshot::channel();
    let run = throughline.workflow("loan").run(|ctx| async move {
        tell.send(ctx.trace_id()).unwrap();
        let saga = ctx.saga("loan").run(|saga| async move {
            let step = saga.step("stage:reserve").input("r-42").resource("reservation r-42");
            let step = step.compensate(|_, _| async { Err::<(), BoxError>("the treasury is frozen".into()) });
            step.run(|_, _| async { Ok::<_, BoxError>(()) }).await??;
            Err::<(), BoxError>("the customer does not sign".into())
        });
        saga.await?.map_err(|failed| failed.error)
    });
    run.await.unwrap().unwrap_err();
    told.await.unwrap()
}

/// Begins a run that does not end by itself.
pub(super) async fn begin(throughline: &Throughline) -> tokio::task::JoinHandle<()> {
    let (tell, told) = oneshot::channel();
    let run = throughline.workflow("mail").run_infallible(|_| async move {
        tell.send(()).unwrap();
        pending::<()>().await;
    });
    let run = tokio::spawn(async move { run.await.unwrap() });
    told.await.unwrap();
    run
}

/// Waits until the page has these lines.
pub(super) async fn until(prometheus: &Prometheus, lines: &[&str]) {
    let began = Instant::now();
    loop {
        let page = prometheus.render(ExpositionFormat::Text);
        let missing: Vec<_> =
            lines.iter().filter(|line| !page.lines().any(|found| found == **line)).collect();
        if missing.is_empty() {
            return;
        }
        let found =
            page.lines().filter(|line| line.starts_with("throughline_r")).collect::<Vec<_>>().join("\n");
        assert!(began.elapsed() < PATIENCE, "{missing:?} are not on the page:\n{found}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn runs_that_have_not_ended_and_what_sagas_left_behind_are_measured_until_there_are_none() {
    let (store, prometheus) = (MemoryStore::new(), Prometheus::new());
    let before = service(&store, &Prometheus::new());
    let gone = begin(&before).await;
    before.shutdown(PATIENCE).await;
    drop((before, gone));

    let throughline = service(&store, &prometheus);
    let left = leave_something(&throughline).await;
    let running = begin(&throughline).await;
    let alive = store.events().last().unwrap().instance;
    let began = Timestamp::now().minus(Duration::from_secs(3_600));
    let mut old =
        TraceEvent::new(TraceId::random(), SpanId::random(), "workflow:started", began, "loan-service");
    (old.instance, old.status, old.workflow) = (alive, Status::Pending, Some("mail".into()));
    throughline.ingest([old]).await.unwrap();

    let measuring = tokio::spawn(throughline.measure_runs(Duration::from_secs(1)));
    until(
        &prometheus,
        &[
            r#"throughline_runs_open{state="interrupted",workflow="mail"} 1"#,
            r#"throughline_runs_open{state="running",workflow="mail"} 1"#,
            r#"throughline_runs_open{state="stuck",workflow="mail"} 1"#,
            r#"throughline_resources_orphaned{workflow="loan"} 1"#,
        ],
    )
    .await;

    let undo =
        throughline
            .undo(left, "loan")
            .step("stage:reserve", "r-42", |_: &str, _: TraceContext| async { Ok::<_, BoxError>(()) });
    assert_eq!(undo.run().await.unwrap().orphaned().count(), 0);
    running.abort();
    let none = [
        r#"throughline_runs_open{state="running",workflow="mail"} 0"#,
        r#"throughline_resources_orphaned{workflow="loan"} 0"#,
    ];
    until(&prometheus, &none).await;

    throughline.shutdown(PATIENCE).await;
    tokio::time::timeout(PATIENCE, measuring).await.expect("it ends with the service").unwrap();
}
