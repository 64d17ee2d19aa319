//! `throughline decisions`: the decisions of a run, or how runs ended after each choice.

use serde::Serialize;
use throughline_core::ChoiceOutcome;

use super::note_on_uncounted;
use super::stats::decisions_table;
use crate::args::DecisionsArgs;
use crate::error::{Answer, CliError};
use crate::output::Screen;
use crate::resolve::Run;
use crate::store::Store;

/// The JSON of `decisions` without a run.
#[derive(Serialize)]
struct Outcomes {
    decisions: Vec<ChoiceOutcome>,
    /// Events that wait in the outbox, and are in none of these figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    uncounted: Option<u64>,
}

pub(super) async fn run(
    args: &DecisionsArgs,
    store: &Store,
    screen: &mut Screen,
) -> Result<Answer, CliError> {
    let readers = store.readers().await?;
    match &args.trace {
        Some(trace) => {
            let run = Run::named(store, &*readers.reader, trace).await?;
            let decisions = run.query.decisions();
            if screen.wants_json() {
                screen.json(&decisions)?;
            } else {
                screen.text(&decisions.render(&screen.style()))?;
            }
            Ok(Answer::of(!decisions.outcomes.is_empty()))
        }
        None => {
            let uncounted = store.uncounted().await?;
            let note = note_on_uncounted(uncounted);
            let decisions = readers.analytics.decision_outcomes(&args.scope.to_scope()).await?;
            let answer = Answer::of(!decisions.is_empty());
            if screen.wants_json() {
                screen.json(&Outcomes { decisions, uncounted })?;
            } else if answer == Answer::No {
                let note = note.map(|note| format!("; {note}")).unwrap_or_default();
                return Err(CliError::NotFound(format!("no run that has ended made a decision{note}")));
            } else {
                screen.table(&decisions_table(&decisions))?;
                if let Some(note) = note {
                    screen.line(format_args!("\n{note}"))?;
                }
            }
            Ok(answer)
        }
    }
}
