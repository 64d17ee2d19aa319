//! Calls, and what came of them.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use throughline::event::{Status, names};
use throughline::query::Style;
use throughline::transport::{Analyzer, CallError, Caller, Inspector, Profiler};
use throughline::{Throughline, TraceContext, TraceId, TraceQuery};

use crate::application::Client;
use crate::sidecar::{Record, Sidecar};

/// How long something may take that happens soon.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often each function is called over each transport.
const CALLS: usize = 100;

pub(crate) async fn run(ours: &Throughline, theirs: &Throughline, sidecar: &Sidecar) -> anyhow::Result<()> {
    let style = if std::io::stdout().is_terminal() { Style::ansi() } else { Style::plain() };
    let clients = Client::for_each_transport(ours, sidecar)?;
    println!(
        "An application calls the functions of its sidecar: over HTTP, over a Unix socket, and directly."
    );

    heading(
        "One call over each transport, as the inspector shows it. What is nobody's business is taken out.",
    );
    let inspector = Inspector::to_writer(std::io::stdout(), style);
    let inspected: Vec<_> = clients.iter().map(|client| client.inspected(&inspector)).collect();
    let run = ours.workflow("month-end").key("2026-11").run(async |_: TraceContext| {
        for client in &inspected {
            client.process_data(&few_records()).await?;
        }
        Ok::<_, CallError>(TraceContext::current().map(|context| context.trace_id()))
    });
    let trace_id = run.await??.context("a run has a context")?;

    heading("Both sides of all three calls are in one trace.");
    let query = told_by_both(ours, theirs, trace_id).await?;
    let answered =
        query.find_by_type(names::HTTP_REQUEST).filter(|span| span.status() == Status::Success).count();
    ensure!(answered == clients.len(), "the sidecar recorded {answered} calls in this trace");
    print!("{}", query.tree().render(&style));

    heading(&format!("Where does the time go? Each function was called {CALLS} times over each transport."));
    let profiler = Profiler::new();
    for client in &clients {
        call_often(&client.profiled(&profiler)).await?;
    }
    let report = profiler.report();
    print!("{}", report.render(&style));

    heading("What does that mean, and what is to do?");
    let analysis = Analyzer::default().analyze(&report);
    ensure!(!analysis.findings.is_empty(), "a function that does next to nothing is not worth a socket");
    print!("{}", analysis.render(&style));

    heading("And if the sidecar is not there?");
    let gone = Caller::ipc(ours, sidecar.socket.with_file_name("other.sock"));
    let error = Client(gone).is_known("account-7").await.err().context("nobody listens there")?;
    println!("{error}");
    println!("(worth trying again: {})", if error.is_retryable() { "yes" } else { "no" });
    Ok(())
}

/// The trace once both sides have recorded everything. The caller has its answer a moment before the callee's span ends.
async fn told_by_both(
    ours: &Throughline,
    theirs: &Throughline,
    trace_id: TraceId,
) -> anyhow::Result<TraceQuery> {
    let recorded = async {
        loop {
            for side in [ours, theirs] {
                let report = side.flush(PATIENCE).await;
                ensure!(report.is_complete(), "not everything was delivered: {report}");
            }
            let query = ours.query(trace_id).await?;
            if query.pending().next().is_none() {
                return Ok(query);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, recorded).await.context("a span does not end")?
}

/// Calls every function, one call after the other.
async fn call_often(client: &Client) -> Result<(), CallError> {
    let records = many_records();
    for _ in 0..CALLS {
        client.process_data(&records).await?;
        client.is_known("account-7").await?;
        client.history("account-7").await?;
    }
    Ok(())
}

fn few_records() -> Vec<Record> {
    let record = |category: &str, note: &str| Record {
        account: "account-7".to_owned(),
        category: category.to_owned(),
        cents: 4_200,
        note: note.to_owned(),
    };
    vec![record("food", "card 4111 1111 1111 1111"), record("travel", "ask ada@example.org")]
}

fn many_records() -> Vec<Record> {
    let records = few_records().into_iter().cycle().take(200);
    records.enumerate().map(|(n, record)| Record { account: format!("account-{n}"), ..record }).collect()
}

fn heading(text: &str) {
    println!("\n── {text}\n");
}
