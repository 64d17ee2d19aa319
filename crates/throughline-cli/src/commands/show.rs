//! `throughline show`: what happened in a run.

use crate::args::ShowArgs;
use crate::error::{Answer, CliError};
use crate::output::Screen;
use crate::related::{Related, WithRelated};
use crate::resolve::Run;
use crate::store::Store;

pub(super) async fn run(args: &ShowArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let run = Run::named(store, &*reader, &args.trace).await?;
    let related = &Related::read(&*reader, &run).await?;
    match (args.timeline, screen.wants_json()) {
        (true, true) => screen.json(&WithRelated { answer: &run.query.timeline(), related })?,
        (true, false) => screen.text(&run.query.timeline().render(&screen.style()))?,
        (false, true) => screen.json(&WithRelated { answer: &run.query.tree(), related })?,
        (false, false) => screen.text(&run.query.tree().render(&screen.style()))?,
    }
    if !screen.wants_json() {
        related.write(&*reader, &run.summary, screen).await?;
    }
    Ok(Answer::Yes)
}
