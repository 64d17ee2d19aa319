//! Reads the last runs of a file, and prints how many bytes of memory the process has then: `throughline-read-runs FILE`.

use anyhow::Context as _;
use throughline_benches::machine::resident_bytes;
use throughline_core::{Filter, Page, TraceReader as _};
use throughline_sqlite::SqliteStore;

/// How many runs are read, a page of summaries and then the events of each.
const RUNS: usize = 20_000;
const PAGE: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("usage: throughline-read-runs FILE")?;
    let reader = SqliteStore::new(path).open_reader()?;
    let (mut page, mut read) = (Page::first(PAGE), 0);
    loop {
        let runs = reader.runs(&Filter::new(), &page).await?;
        for run in &runs.items {
            std::hint::black_box(reader.trace(run.trace_id).await?);
        }
        read += runs.items.len();
        if read >= RUNS || !page.turn(&runs)? {
            break;
        }
    }
    println!("{}", resident_bytes().context("the kernel does not say how much memory this process has")?);
    Ok(())
}
