//! Opens so many runs in a new store, each in a step, and prints how many bytes of memory the process has then:
//! `throughline-open-runs FOLDER RUNS`.

use std::path::Path;

use anyhow::{Context as _, bail};
use throughline_benches::machine::resident_bytes;
use throughline_core::Throughline;
use throughline_sqlite::SqliteStore;
use tokio::sync::mpsc;

/// How many runs begin at once.
const WAVE: usize = 1_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, runs] = &arguments[..] else { bail!("usage: throughline-open-runs FOLDER RUNS") };
    let runs: usize = runs.parse().with_context(|| format!("`{runs}` is not a number of runs"))?;
    let store = SqliteStore::new(Path::new(folder).join("traces.db"));
    let throughline = Throughline::builder("bench").store(store).build()?;
    let (open, mut is_open) = mpsc::unbounded_channel();
    for wave in (0..runs).step_by(WAVE) {
        let numbers = wave..runs.min(wave + WAVE);
        for number in numbers.clone() {
            let (workflow, open) = (throughline.workflow("loan-approval"), open.clone());
            let workflow = workflow.attr("tenant", "acme").attr("request.id", format!("request-{number}"));
            tokio::spawn(workflow.run(async move |ctx| {
                let step = ctx.trace("stage:credit-check", async {
                    open.send(number)?;
                    // Until the process ends.
                    std::future::pending::<anyhow::Result<()>>().await
                });
                step.await?
            }));
        }
        for _ in numbers {
            is_open.recv().await.context("a run did not begin")?;
        }
    }
    println!("{}", resident_bytes().context("the kernel does not say how much memory this process has")?);
    Ok(())
}
