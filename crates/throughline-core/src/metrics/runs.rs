//! Metrics of what only the store knows: which runs have not ended, and what sagas left behind.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use throughline_model::{
    Filter, Page, ReadError, RunSummary, Scope, Status, Text, Timestamp, TraceId, TraceReader,
};
use throughline_query::TraceQuery;

use super::{GaugeFamily, Meter, catalogue};
use crate::delivery::timer;
use crate::open::STUCK_AFTER;

/// It is never asked more often.
const SHORTEST: Duration = Duration::from_secs(1);
/// Of how long ago runs are looked at for what they left behind.
const LEFT_BEHIND_SINCE: Duration = Duration::from_secs(86_400);
/// How many of them are looked at: each is read as a whole.
const LOOKED_AT: usize = 100;

/// Measures again and again, for as long as there is a reader to ask.
pub(crate) async fn measure_runs(
    meter: Meter,
    reader: impl Fn() -> Option<Arc<dyn TraceReader>> + Send,
    every: Duration,
) {
    let mut runs = Runs::new(&meter);
    while let Some(reader) = reader() {
        if let Err(error) = runs.measure(&*reader).await {
            tracing::warn!(target: "throughline", %error, "runs could not be measured: their figures are those of before");
        }
        drop(reader);
        timer(every.max(SHORTEST)).await;
    }
}

/// What is measured, and what is known from the last time.
struct Runs {
    open: GaugeFamily<2>,
    orphaned: GaugeFamily<1>,
    /// What was found the last time: that there is no more of it has to be said.
    found_open: BTreeMap<(Text, &'static str), usize>,
    found_orphaned: BTreeMap<Text, usize>,
    /// Runs that have ended and left nothing behind.
    clean: HashSet<TraceId>,
}

impl Runs {
    fn new(meter: &Meter) -> Self {
        Self {
            open: meter.gauge(&catalogue::RUNS_OPEN),
            orphaned: meter.gauge(&catalogue::RESOURCES_ORPHANED),
            found_open: BTreeMap::new(),
            found_orphaned: BTreeMap::new(),
            clean: HashSet::new(),
        }
    }

    async fn measure(&mut self, reader: &dyn TraceReader) -> Result<(), ReadError> {
        let check = reader.safe_to_deploy(STUCK_AFTER).await?;
        self.found_open.values_mut().for_each(|count| *count = 0);
        for (state, runs) in
            [("running", check.running), ("stuck", check.stuck), ("interrupted", check.interrupted)]
        {
            for run in runs {
                *self.found_open.entry((workflow_of(&run.summary), state)).or_default() += 1;
            }
        }
        for ((workflow, state), count) in &self.found_open {
            self.open.with([workflow, state]).set(*count as f64);
        }
        self.measure_orphaned(reader).await
    }

    async fn measure_orphaned(&mut self, reader: &dyn TraceReader) -> Result<(), ReadError> {
        let since = Scope::all().since(Timestamp::now().minus(LEFT_BEHIND_SINCE));
        // A saga that could not be undone has failed, whatever became of its run.
        let failed = Filter::new().scope(since).event_type("saga:*").status(Status::Failed);
        let runs = reader.runs_without_causes(&failed, &Page::first(LOOKED_AT)).await?.items;
        let mut found: BTreeMap<Text, usize> = BTreeMap::new();
        let mut clean = HashSet::new();
        for run in runs {
            let mut orphaned = 0;
            if !self.clean.contains(&run.trace_id) {
                let query = TraceQuery::read(reader, run.trace_id).await?;
                orphaned = query.compensation_ledger().orphaned().count();
            }
            if orphaned == 0 && run.ended.is_some() {
                clean.insert(run.trace_id);
            }
            *found.entry(workflow_of(&run)).or_default() += orphaned;
        }
        self.clean = clean;
        for workflow in self.found_orphaned.keys() {
            found.entry(workflow.clone()).or_default();
        }
        for (workflow, count) in &found {
            self.orphaned.with([workflow]).set(*count as f64);
        }
        self.found_orphaned = found;
        Ok(())
    }
}

/// Nothing for what is no workflow, such as a request.
fn workflow_of(run: &RunSummary) -> Text {
    run.workflow.clone().unwrap_or_default()
}
