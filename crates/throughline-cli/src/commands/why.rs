//! `throughline why`: why a run failed.

use std::sync::Arc;

use serde::Serialize;
use throughline_core::query::{Comparison, Explanation};
use throughline_core::{Timestamp, TraceReader, beside};

use super::named;
use crate::args::WhyArgs;
use crate::error::{Answer, CliError};
use crate::output::Screen;
use crate::related::{Related, WithRelated};
use crate::resolve::Run;
use crate::store::Store;

/// An explanation, and what was found beside the run.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    /// How it differs from good runs; `null` if there are none, or if it is one.
    comparison: Option<&'a Comparison>,
}

/// How many lines a page has.
const PAGE: usize = 50;
/// Among how many runs of another store those are looked for that went wrong.
const CANDIDATES: usize = 40;

pub(super) async fn run(args: &WhyArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let Found { reader, run, explanation, comparison, related } = find(args, store).await?;
    if screen.wants_json() {
        let answer = Explained { explanation: &explanation, comparison: comparison.as_ref() };
        screen.json(&WithRelated { answer: &answer, related: &related })?;
    } else {
        let rows = related.rows(&*reader, &run.summary).await?;
        let style = match args.full {
            true => screen.style().full(),
            false => screen.style().page(PAGE.saturating_sub(rows.lines())),
        };
        screen.text(&explanation.render(&style))?;
        rows.write(screen)?;
    }
    Ok(Answer::of(explanation.cause.is_some()))
}

/// What was found out about a run.
pub(super) struct Found {
    pub(super) reader: Arc<dyn TraceReader>,
    pub(super) run: Run,
    pub(super) explanation: Explanation,
    comparison: Option<Comparison>,
    pub(super) related: Related,
}

/// Explains a run, with what is beside it.
pub(super) async fn find(args: &WhyArgs, store: &Store) -> Result<Found, CliError> {
    let reader = store.readers().await?.reader;
    let (run, mut explanation) = Run::explained(store, &*reader, &args.trace).await?;
    let mut related = Related::read(&*reader, &run).await?;
    explanation.add_moment(Timestamp::now());
    beside::add_process(&mut explanation, &*reader, &run.query).await?;
    beside::add_children(&mut explanation, &*reader, related.caused(), None).await?;
    let of_files = args.also_file.iter().map(|file| named(None, Some(file), "--also-file"));
    for name in args.also.iter().map(|name| Ok(Some(name.into()))).chain(of_files) {
        let store = Store::named(name?.as_deref())?;
        add_children_in(&mut explanation, &store, &run).await?;
        related.find_cause_in(&store).await?;
    }
    let comparison = beside::compare(&*reader, &run.query, &explanation).await?;
    if let Some(comparison) = &comparison {
        explanation.add_comparison(comparison);
    }
    Ok(Found { reader, run, explanation, comparison, related })
}

/// Says what went wrong in runs that this one caused and that are in another store.
async fn add_children_in(explanation: &mut Explanation, store: &Store, run: &Run) -> Result<(), CliError> {
    let reader = store.readers().await?.reader;
    let caused = beside::caused_by(&*reader, &run.query, CANDIDATES).await?;
    let place = format!(" --store {}", store.name());
    Ok(beside::add_children(explanation, &*reader, &caused, Some(&place)).await?)
}
