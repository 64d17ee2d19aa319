//! What sagas left behind that no process works on: steps that stand, and steps that are in doubt.

use throughline_core::{RunSummary, TraceQuery, TraceReader, beside};

use crate::error::CliError;
use crate::output::{count, group, name_of};

/// What is left of the sagas of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// How many steps stand: they succeeded, and were not undone.
    pub(crate) standing: usize,
    /// How many steps are in doubt: nobody knows whether they had their effect.
    pub(crate) in_doubt: usize,
    /// Whether resuming the run continues all of that.
    can_be_resumed: bool,
}

impl Left {
    pub(crate) fn of(run: &TraceQuery) -> Self {
        let ledger = run.compensation_ledger();
        let (standing, in_doubt) = (ledger.all_that_stands().count(), ledger.in_doubt().count());
        let mut with_any = ledger.sagas.iter().filter(|saga| {
            saga.entries.iter().any(|entry| entry.state.stands() || entry.state.is_in_doubt())
        });
        Self { standing, in_doubt, can_be_resumed: with_any.all(|saga| saga.can_be_resumed) }
    }

    /// Reads all of the run.
    pub(crate) async fn read(reader: &dyn TraceReader, run: &RunSummary) -> Result<Self, CliError> {
        Ok(Self::of(&TraceQuery::read(reader, run.trace_id).await?))
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.standing == 0 && self.in_doubt == 0
    }

    /// Says what is left of a run, and what can be done about it.
    pub(crate) async fn sentence(
        &self,
        reader: &dyn TraceReader,
        run: &RunSummary,
    ) -> Result<String, CliError> {
        let tally = tally(self.standing, self.in_doubt, &format!(" of {}", name_of(run)));
        let what = if self.can_be_resumed { "resume or undo" } else { "undo" };
        let id = beside::shortest_id(reader, run.trace_id).await?;
        Ok(format!("{tally}: {what} (throughline compensations {id})"))
    }
}

/// How much is left: `2 steps stand, 1 is in doubt`. The first number may say of what.
pub(crate) fn tally(standing: usize, in_doubt: usize, of: &str) -> String {
    let verb = |number, one, many| if number == 1 { one } else { many };
    let steps = |number| format!("{}{of}", count(number as u64, "step"));
    let stand = format!("{} {}", steps(standing), verb(standing, "stands", "stand"));
    let are = verb(in_doubt, "is", "are");
    match (standing, in_doubt) {
        (0, _) => format!("{} {are} in doubt", steps(in_doubt)),
        (_, 0) => stand,
        _ => format!("{stand}, {} {are} in doubt", group(in_doubt as u64)),
    }
}
