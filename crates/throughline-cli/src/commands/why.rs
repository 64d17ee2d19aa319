//! `throughline why`: why a run failed.

use crate::args::TraceArgs;
use crate::error::{Answer, CliError};
use crate::output::Screen;
use crate::related::{Related, WithRelated};
use crate::resolve::Run;
use crate::store::Store;

pub(super) async fn run(args: &TraceArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let run = Run::named(store, &*reader, &args.trace).await?;
    let related = Related::read(&*reader, &run).await?;
    let explanation = run.query.explain();
    if screen.wants_json() {
        screen.json(&WithRelated { answer: &explanation, related: &related })?;
    } else {
        screen.text(&explanation.render(&screen.style()))?;
        related.write(&*reader, &run.summary, screen).await?;
    }
    Ok(Answer::of(explanation.cause.is_some()))
}
