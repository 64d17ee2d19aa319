//! `throughline compensations`: whether what a run did was undone.

use crate::args::TraceArgs;
use crate::error::{Answer, CliError};
use crate::output::Screen;
use crate::resolve::Run;
use crate::store::Store;

pub(super) async fn run(args: &TraceArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let run = Run::named(store, &*store.readers().await?.reader, &args.trace).await?;
    let ledger = run.query.compensation_ledger();
    if screen.wants_json() {
        screen.json(&ledger)?;
    } else {
        screen.text(&ledger.render(&screen.style()))?;
    }
    Ok(Answer::of(ledger.is_clean()))
}
