//! Steps that a dead process left standing: they succeeded, and can still be undone.

use throughline_core::{RunSummary, TraceQuery, TraceReader};

use crate::error::CliError;
use crate::output::{count, name_of};
use crate::resolve::shortest_id;

/// How many steps of a run stand. Reads all of the run.
pub(crate) async fn standing(reader: &dyn TraceReader, run: &RunSummary) -> Result<usize, CliError> {
    let query = TraceQuery::read(reader, run.trace_id).await?;
    Ok(query.compensation_ledger().standing().count())
}

/// Says that steps of a run stand, and what can be done about it.
pub(crate) async fn sentence(
    reader: &dyn TraceReader,
    run: &RunSummary,
    standing: usize,
) -> Result<String, CliError> {
    let steps = count(standing as u64, "step");
    let stand = if standing == 1 { "stands" } else { "stand" };
    let what = if run.can_be_resumed() { "resume or undo" } else { "undo" };
    let id = shortest_id(reader, run.trace_id).await?;
    Ok(format!("{steps} of {} {stand}: {what} (throughline compensations {id})", name_of(run)))
}
