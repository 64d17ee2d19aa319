//! A store of one's own: a folder with a file of JSON lines for each run.
//!
//! `store.rs` is where it begins, `docs/write-a-store.md` what it was written from. Here it is put to use: loans are
//! approved, one of them fails, and the answers come from the files. Run it with `cargo run --example json_lines_store`,
//! followed by a folder if it should not be a new one.

mod folder;
mod lease;
mod reader;
mod store;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;
use throughline::event::Status;
use throughline::query::Style;
use throughline::store::{Filter, Page, Scope, StoreConfig as _};
use throughline::{Throughline, TraceContext, TraceQuery};

use store::JsonLinesStore;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = match std::env::args().nth(1).as_deref() {
        None | Some("--demo") => tempfile::Builder::new().prefix("json_lines_store-").tempdir()?.keep(),
        Some(option) if option.starts_with('-') => {
            bail!("`{option}` is not known here: expected a folder, --demo or nothing")
        }
        Some(folder) => PathBuf::from(folder),
    };
    approve_loans(&folder).await?;
    tell(&folder).await
}

#[derive(Debug, thiserror::Error)]
enum LoanError {
    #[error("the credit bureau answered with status {status}")]
    Bureau { status: u16 },
    #[error(transparent)]
    NotRecorded(#[from] throughline::NotRecorded),
}

/// A few runs of a workflow, all of which are on disk when this is over.
async fn approve_loans(folder: &Path) -> anyhow::Result<()> {
    let throughline = Throughline::builder("loan-service").store(JsonLinesStore::new(folder)).build()?;
    for (loan, bureau) in [("loan-41", 200), ("loan-42", 500), ("loan-43", 200)] {
        let run = throughline.workflow("loan-approval").run(|ctx| approve(ctx, loan, bureau)).await?;
        println!("{loan}: {}", run.map_or_else(|error| error.to_string(), |()| "approved".to_owned()));
    }
    let report = throughline.shutdown(Duration::from_secs(5)).await;
    if !report.is_complete() {
        bail!("not everything was delivered: {report}");
    }
    Ok(())
}

async fn approve(ctx: TraceContext, loan: &str, bureau: u16) -> Result<(), LoanError> {
    ctx.event("business:applied", json!({ "loan": loan })).await?;
    let credit_check = async {
        match bureau {
            200 => Ok(()),
            status => Err(LoanError::Bureau { status }),
        }
    };
    ctx.trace("stage:credit-check", credit_check).await??;
    ctx.trace("stage:payout", async { Ok::<_, LoanError>(()) }).await?
}

/// Why it failed, as another process would ask: with the readers alone.
async fn tell(folder: &Path) -> anyhow::Result<()> {
    let readers = JsonLinesStore::new(folder).open_readers().await?;
    let failed = readers.reader.runs(&Filter::new().status(Status::Failed), &Page::first(1)).await?;
    let failed = failed.items.first().context("one of the runs has failed")?.trace_id;
    let query = TraceQuery::new(readers.reader.trace(failed).await?);
    println!("\nWhy did it fail?\n{}", query.explain().render(&Style::plain()).trim_end());

    let rate = readers.analytics.failure_rate(&Scope::all()).await?;
    println!("\nHow many fail?\n{} of {} runs", rate.hits, rate.total);

    println!("\nWhat is on disk?\n{}/", folder.display());
    for part in ["runs", "leases", "claims"] {
        println!("  {part}/");
        for entry in std::fs::read_dir(folder.join(part))? {
            let path = entry?.path();
            let lines = std::fs::read_to_string(&path)?.lines().count();
            println!("    {}  {lines} lines", path.file_name().unwrap_or_default().display());
        }
    }
    let file = std::fs::read_to_string(folder.join("runs").join(format!("{failed}.jsonl")))?;
    println!("\nThe last line of the run that failed:\n{}", file.lines().last().unwrap_or_default());
    Ok(())
}
