//! The kinds of trouble, each in a real service with a store.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use throughline::metrics::{Prometheus, catalogue};
use throughline::{HandlerError, LayerExt as _, Traced};
use throughline_core::{BoxError, NotRecorded, Throughline, TraceContext};
use throughline_postgres::PostgresStore;
use throughline_sqlite::{SqliteSpool, SqliteStore};
use tower::ServiceExt as _;

use super::{Trouble, assert_shown};
use crate::anomalies;
use crate::sandbox::Sandbox;
use crate::services::{end, service, stay, stay_in_saga, succeed};

const STORE: &str = "sqlite:traces.db";

/// Why there is no loan.
#[derive(Debug, thiserror::Error)]
enum LoanError {
    #[error("the credit bureau refuses to answer")]
    Refused,
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

/// What answers requests for loans, as the bureau does.
#[derive(Clone, Copy)]
pub(super) enum Bureau {
    IsWell,
    IsSlow,
    Refuses,
}

async fn loan(State(bureau): State<Bureau>, Traced(ctx): Traced) -> Result<&'static str, HandlerError> {
    let asked = ctx.step("stage:credit-check").run(|ctx| async move {
        ctx.dependency("http", "credit-bureau", async {
            match bureau {
                Bureau::IsWell => Ok(()),
                Bureau::IsSlow => {
                    tokio::time::sleep(Duration::from_millis(120)).await;
                    Ok(())
                }
                Bureau::Refuses => Err(LoanError::Refused),
            }
        })
        .await?
    });
    match asked.await? {
        Ok(()) => Ok("3.2 %"),
        Err(error) => Err(HandlerError::new(StatusCode::BAD_GATEWAY, error.to_string()).caused_by(&error)),
    }
}

/// Asks the service for a loan so many times, while the bureau does so.
pub(super) async fn ask(service: &Throughline, bureau: Bureau, times: usize) {
    let app = Router::new().route("/loans", get(loan)).with_state(bureau).layer(service.layer());
    for _ in 0..times {
        let request = Request::get("/loans").body(Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        // A request ends with its body.
        axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    }
    let report = service.flush(Duration::from_secs(10)).await;
    assert!(report.is_complete(), "{report}");
}

/// A workflow of two steps, of which the second fails if somebody says why.
async fn approve(
    service: &Throughline,
    key: &str,
    second: &'static str,
    reason: Option<&'static str>,
) -> String {
    let mut id = None;
    let run = service.workflow("loan-approval").key(key.to_owned()).run(|ctx: TraceContext| {
        id = Some(ctx.trace_id());
        async move {
            ctx.trace("stage:score", async { Ok::<_, BoxError>(()) }).await??;
            ctx.trace(second, async { reason.map_or(Ok(()), |reason| Err(BoxError::from(reason))) }).await?
        }
    });
    assert_eq!(run.await.unwrap().is_err(), reason.is_some());
    id.unwrap().to_string()[..16].to_owned()
}

/// The run of the latest request, as a page would list it.
pub(super) fn latest(sandbox: &Sandbox) -> String {
    let runs = sandbox.json(&["list", "--limit", "1"]);
    runs["runs"][0]["trace_id"].as_str().unwrap()[..16].to_owned()
}

pub(super) fn in_trouble(sandbox: Sandbox, run: String, alive: impl Send + 'static) -> Trouble {
    Trouble {
        sandbox,
        store: STORE.into(),
        run,
        workflow: "loan-approval",
        url: String::new(),
        _alive: Box::new(alive),
    }
}

#[tokio::test]
async fn pages_about_requests_that_fail_lead_to_what_refuses() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    ask(&loans, Bureau::IsWell, 2).await;
    ask(&loans, Bureau::Refuses, 3).await;
    let run = latest(&sandbox);
    assert_shown("requests fail", &in_trouble(sandbox, run, loans));
}

#[tokio::test]
async fn pages_about_requests_that_are_slow_lead_to_the_slow_step() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    ask(&loans, Bureau::IsWell, 1).await;
    ask(&loans, Bureau::IsSlow, 3).await;
    let waits = stay(loans.workflow("loan-approval").key("loan-42")).await;
    let run = latest(&sandbox);
    assert_shown("requests are slow", &in_trouble(sandbox, run, (loans, waits)));
}

#[tokio::test]
async fn pages_about_workflows_that_fail_lead_to_the_step_that_does() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    approve(&loans, "loan-1", "stage:register", None).await;
    approve(&loans, "loan-2", "action:http-notify", Some("the gateway answers with 502")).await;
    let run = approve(&loans, "loan-3", "stage:register", Some("the registry refuses the boat")).await;
    assert_shown("workflows fail", &in_trouble(sandbox, run, loans));
}

#[tokio::test]
async fn pages_about_compensations_that_fail_lead_to_what_is_left_behind() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let run = loans.workflow("loan-approval").key("loan-42").run(|ctx| async move {
        let saga = ctx.saga("loan-approval").steps(2).run(|saga| async move {
            saga.step("stage:reserve-funds")
                .resource("reservation r-42")
                .compensate(|(), _| async { Err::<(), BoxError>("the treasury is frozen".into()) })
                .run(|(), _| async { Ok::<_, BoxError>(()) })
                .await??;
            saga.trace("stage:sign", async { Err::<(), BoxError>("the signature server is away".into()) })
                .await?
        });
        saga.await?.map_err(|failed| failed.error)
    });
    run.await.unwrap().unwrap_err();
    assert_shown("compensations fail", &in_trouble(sandbox, "loan-42".into(), loans));
}

#[tokio::test]
async fn pages_about_a_dependency_that_is_away_lead_to_the_calls_that_fail() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    for (kind, target) in [("db", "ledger"), ("redis", "prices")] {
        let run = loans.workflow("loan-approval").key(format!("loan-{target}")).run(|ctx| async move {
            let refused = async { Err::<(), BoxError>("connection refused".into()) };
            ctx.dependency(kind, target, refused).await?
        });
        run.await.unwrap().unwrap_err();
    }
    assert_shown("a dependency is away", &in_trouble(sandbox, "loan-ledger".into(), loans));
}

#[tokio::test]
async fn pages_about_a_store_that_is_away_lead_to_what_waits_for_it() {
    let sandbox = Sandbox::empty();
    // Nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = format!("postgres://app@{free}/traces");
    let spool = SqliteSpool::new(sandbox.path("outbox.db"));
    let loans =
        Throughline::builder("loan-service").store(PostgresStore::new(&store)).spool(spool).build().unwrap();
    succeed(loans.workflow("loan-approval").key("loan-42")).await;
    let trouble = Trouble { store, ..in_trouble(sandbox, "loan-42".into(), loans) };
    assert_shown("the store is away", &trouble);
}

#[tokio::test]
async fn the_page_about_a_file_that_is_gone_says_which() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    succeed(loans.workflow("loan-approval").key("loan-42")).await;
    std::fs::rename(sandbox.path("traces.db"), sandbox.path("elsewhere.db")).unwrap();
    let refused = loans.workflow("loan-approval").key("loan-43").run_infallible(|_| async {}).await;
    assert!(refused.is_err(), "nothing can be recorded");
    assert_shown("the file of the store is gone", &in_trouble(sandbox, "loan-42".into(), loans));
}

#[tokio::test]
async fn pages_about_runs_that_hang_lead_to_the_step_in_which_they_stand() {
    let sandbox = Sandbox::empty();
    let before = service(&sandbox, "loan-service");
    let (_, left) = stay_in_saga(&before, "loan-41").await;
    end(before).await;
    let loans = service(&sandbox, "loan-service");
    let waits = stay(loans.workflow("loan-approval").key("loan-42")).await;
    assert_shown("runs hang", &in_trouble(sandbox, "loan-42".into(), (loans, waits, left)));
}

// The service answers while a command asks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_about_jobs_that_nobody_does_lead_to_what_waits_and_who_works() {
    let sandbox = Sandbox::empty();
    let before = service(&sandbox, "loan-service");
    let (_, left) = stay_in_saga(&before, "loan-41").await;
    end(before).await;
    let metrics = Prometheus::builder().process(false).build().unwrap();
    let loans = Throughline::builder("loan-service")
        .store(SqliteStore::new(sandbox.path("traces.db")))
        .metrics(&metrics)
        .build()
        .unwrap();
    let waits = stay(loans.workflow("loan-approval").key("loan-42")).await;
    let meter = loans.meter();
    meter.gauge(&catalogue::QUEUE_DEPTH).with(["mail"]).set(1_200.0);
    meter.gauge(&catalogue::WORKERS_ACTIVE).with(["mail"]).set(0.0);
    let page = metrics.serve(([127, 0, 0, 1], 0)).await.unwrap();
    let url = format!("http://{}/metrics", page.local_addr());
    let trouble = in_trouble(sandbox, "loan-42".into(), (loans, waits, left, page));
    assert_shown("a queue is full", &Trouble { url, ..trouble });
}

#[tokio::test]
async fn pages_about_certificates_say_until_when_that_of_the_service_is_valid() {
    if Command::new("openssl").arg("version").output().is_err() {
        let required = std::env::var("THROUGHLINE_SERVICES").is_ok_and(|services| services == "required");
        assert!(!required, "openssl is missing: `apt-get install openssl`");
        eprintln!("left out: there is no openssl to ask for a certificate");
        return;
    }
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let waits = stay(loans.workflow("loan-approval").key("loan-42")).await;
    let made = rcgen::generate_simple_self_signed(vec!["loans.example.org".to_owned()]).unwrap();
    sandbox.write("key.pem", made.signing_key.serialize_pem());
    sandbox.write("certificate.pem", made.cert.pem());
    let mut server = Command::new("openssl");
    server.args([
        "s_server",
        "-www",
        "-accept",
        "127.0.0.1:0",
        "-key",
        "key.pem",
        "-cert",
        "certificate.pem",
    ]);
    server.current_dir(sandbox.path("")).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut encrypted = Encrypted(server.spawn().unwrap());
    let mut lines = BufReader::new(encrypted.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
    // It stands still once nobody reads what it says.
    std::thread::spawn(move || lines.for_each(drop));
    let trouble = in_trouble(sandbox, "loan-42".into(), (loans, waits, encrypted));
    assert_shown("a certificate expires", &Trouble { url, ..trouble });
}

/// A server that ends with the test.
struct Encrypted(Child);

impl Drop for Encrypted {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_page_about_runs_that_were_interrupted_leads_to_what_stands() {
    let sandbox = Sandbox::empty();
    let before = service(&sandbox, "loan-service");
    let (_, left) = stay_in_saga(&before, "loan-41").await;
    end(before).await;
    assert_shown("runs were interrupted", &in_trouble(sandbox, "loan-41".into(), left));
}

#[test]
fn pages_about_what_is_unusual_lead_to_its_runs_and_what_differs_in_them() {
    let sandbox = anomalies::store(true);
    let run = sandbox.json(&["list", "--failed", "--limit", "1"])["runs"][0]["trace_id"].as_str().unwrap()
        [..16]
        .to_owned();
    assert_shown("something is unusual", &in_trouble(sandbox, run, ()));
}

#[tokio::test]
async fn the_page_about_a_store_that_grows_removes_what_is_old() {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    succeed(loans.workflow("loan-approval").key("loan-42")).await;
    end(loans).await;
    assert!(SqliteStore::new(sandbox.path("traces.db")).open_reader().is_ok());
    assert_shown("the store grows", &in_trouble(sandbox, "loan-42".into(), ()));
}
