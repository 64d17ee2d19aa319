//! What the library can say of it all.

use std::path::Path;

use anyhow::{Context as _, bail};
use throughline::query::Style;
use throughline::{ExpositionFormat, Prometheus, RunState, Throughline};

use crate::clients::{Order, UNLUCKY};

/// Prints the story.
pub(crate) async fn tell(
    throughline: &Throughline,
    metrics: &Prometheus,
    orders: &[Order],
    database: &Path,
    style: &Style,
) -> anyhow::Result<()> {
    println!("{} payouts ordered over HTTP; each was answered with 202 before it was paid.\n", orders.len());
    println!("Each is one run, from the request through the queue to the last step of the worker:");
    for order in orders {
        let state = ended(throughline, order).await?;
        println!("  {}  run {}  {state}", order.loan, order.run);
    }

    let unlucky = orders.iter().find(|order| order.loan == UNLUCKY).context("one of them was unlucky")?;
    let query = throughline.query(unlucky.run).await?;
    let short: String = unlucky.run.to_string().chars().take(16).collect();
    heading("What happened?", &format!("throughline show {short}"));
    println!("{}", query.tree().render(style).trim_end());
    heading("What went wrong on the way?", &format!("throughline why {short}"));
    println!("{}", query.explain().render(style).trim_end());

    heading("What did the worker measure?", "GET /metrics");
    let page = metrics.render(ExpositionFormat::Text);
    let is_told = |line: &&str| {
        let about_jobs = ["throughline_job", "throughline_workers", "throughline_queue_depth"];
        about_jobs.iter().any(|name| line.starts_with(name)) && !line.contains("_bucket")
    };
    page.lines().filter(is_told).for_each(|line| println!("{line}"));

    println!("\nLook further:");
    let store = format!("--store sqlite:{}", database.display());
    for command in [format!("show {short}"), "list".to_owned(), "running".to_owned()] {
        println!("  cargo run --release -p throughline-cli -- {store} {command}");
    }
    Ok(())
}

/// How a run ended.
async fn ended(throughline: &Throughline, order: &Order) -> anyhow::Result<RunState> {
    let reader = throughline.reader().context("the store can be read")?;
    match reader.run(order.run).await?.context("the run is there")?.state {
        RunState::Succeeded => Ok(RunState::Succeeded),
        state => bail!("the run of {} has not succeeded, it is {state}", order.loan),
    }
}

fn heading(question: &str, command: &str) {
    println!("\n── {question}  ({command})");
}
