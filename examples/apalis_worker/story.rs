//! What the library can say of it all.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use throughline::Throughline;
use throughline::metrics::{ExpositionFormat, Prometheus};
use throughline::query::RunState;
use throughline::query::Style;

use crate::clients::{Order, UNLUCKY};

/// How long something may take that happens soon.
const PATIENCE: Duration = Duration::from_secs(20);

/// Prints the story, as the two services recorded it.
pub(crate) async fn tell(
    services: [&Throughline; 2],
    metrics: &Prometheus,
    orders: &[Order],
    database: &Path,
    style: &Style,
) -> anyhow::Result<()> {
    println!("\nEach is one run, from the request through the queue to the last step of the worker:");
    for order in orders {
        let state = ended(services, order).await?;
        println!("  {}  run {}  {state}", order.loan, order.run);
    }

    let unlucky = orders.iter().find(|order| order.loan == UNLUCKY).context("one of them was unlucky")?;
    let query = services[0].query(unlucky.run).await?;
    let short: String = unlucky.run.to_string().chars().take(16).collect();
    heading("What happened?", &format!("throughline show {short}"));
    println!("{}", query.tree().render(style).trim_end());
    heading("What went wrong on the way?", &format!("throughline why {short}"));
    println!("{}", query.explain().render(style).trim_end());

    heading("What did the worker measure?", "what Prometheus would read");
    print_metrics(metrics, &["throughline_job", "throughline_workers", "throughline_queue_depth"]);

    println!("\nLook further:");
    let store = format!("--store sqlite:{}", database.display());
    for command in [format!("show {short}"), "list".to_owned(), "running".to_owned()] {
        println!("  cargo run --release -p throughline-cli -- {store} {command}");
    }
    Ok(())
}

/// Prints what was measured under names that begin so, without the buckets.
pub(crate) fn print_metrics(metrics: &Prometheus, names: &[&str]) {
    let page = metrics.render(ExpositionFormat::Text);
    let is_told = |line: &&str| names.iter().any(|name| line.starts_with(name)) && !line.contains("_bucket");
    page.lines().filter(is_told).for_each(|line| println!("  {line}"));
}

/// How a run ended. A client has its answer a moment before the span of its request ends, so there may be something to
/// wait for.
async fn ended(services: [&Throughline; 2], order: &Order) -> anyhow::Result<RunState> {
    let reader = services[0].reader().context("the store can be read")?;
    let ended = async {
        loop {
            for service in services {
                let report = service.flush(PATIENCE).await;
                ensure!(report.is_complete(), "not everything was delivered: {report}");
            }
            match reader.run(order.run).await?.context("the run is there")?.state {
                RunState::Running => tokio::time::sleep(Duration::from_millis(10)).await,
                RunState::Succeeded => return Ok(RunState::Succeeded),
                state => bail!("the run of {} has not succeeded, it is {state}", order.loan),
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, ended).await;
    in_time.with_context(|| format!("the run of {} does not end", order.loan))?
}

fn heading(question: &str, command: &str) {
    println!("\n── {question}  ({command})");
}
