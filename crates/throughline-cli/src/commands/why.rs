//! `throughline why`: why a run failed.

use crate::args::TraceArgs;
use crate::error::{Answer, CliError};
use crate::output::Screen;
use crate::resolve::Run;
use crate::store::Store;

pub(super) async fn run(args: &TraceArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let run = Run::named(store, &*store.readers().await?.reader, &args.trace).await?;
    let explanation = run.query.explain();
    if screen.wants_json() {
        screen.json(&explanation)?;
    } else {
        screen.text(&explanation.render(&screen.style()))?;
    }
    Ok(Answer::of(explanation.cause.is_some()))
}
