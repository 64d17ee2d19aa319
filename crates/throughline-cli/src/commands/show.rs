//! `throughline show`: what happened in a run.

use crate::args::ShowArgs;
use crate::error::{Answer, CliError};
use crate::output::Screen;
use crate::resolve::Run;
use crate::store::Store;

pub(super) async fn run(args: &ShowArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let run = Run::named(store, &*store.readers().await?.reader, &args.trace).await?;
    match (args.timeline, screen.wants_json()) {
        (true, true) => screen.json(&run.query.timeline())?,
        (true, false) => screen.text(&run.query.timeline().render(&screen.style()))?,
        (false, true) => screen.json(&run.query.tree())?,
        (false, false) => screen.text(&run.query.tree().render(&screen.style()))?,
    }
    Ok(Answer::Yes)
}
