//! Appending: a group of events is one transaction, a large one a few side by side, each with other runs.
//!
//! It creates the rows of new runs, locks those of all runs in the order of their ids, and inserts the events that are
//! not there yet. The transaction that holds the row of a run is the only one that writes to that run, so the partition key, which is a
//! day, need not be part of what identifies an event: all events of a run are in the partition that its row names. Then it
//! brings the rows up to date.
//!
//! What a row says follows from its fold. A writer that remembers the folds of all runs of a group sends everything at once: it
//! takes one round trip, and nothing is written if a row is not as it is remembered. Otherwise there are two, and the rows
//! are made from what the first one brings.

mod columns;
mod parts;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use throughline_model::fold::{Change, Mark, RowCause, RowFold, RunRow, cause_of_run, outline};
use throughline_model::{FailureSummary, InstanceId, SpanId, Timestamp, TraceEvent, TraceId};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

pub(crate) use self::columns::job_column;
use self::columns::{Columns, Rows};
pub(crate) use self::parts::{Part, parts};
use crate::connect::Param;
use crate::error::Fault;

/// Each statement sees what was committed before it, so what comes after a lock sees what its last holder wrote.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The same, and a pause of this process must not lock others out for long.
const BEGIN_WITH_PAUSE: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// What the server calls it if a row is not as it was remembered, or if a row or an event is there already.
const IS_DIFFERENT: [&str; 2] = ["TL001", "23505"];

const OF_RUN: &str = "SELECT e.event::text FROM throughline.run r \
    JOIN throughline.event e ON e.run = r.id AND e.day = r.day WHERE r.id = $1";

/// This transaction, as the column `xid` has it.
const OWN: &str = "pg_current_xact_id()::text::bigint";

/// Of runs with more events than this the writer does not look for the cause: others would wait for it.
const LONG_RUN: i64 = 20_000;

/// What a writer remembers, so that most events cost no look-up. It is never wrong: a fold counts for nothing if the
/// version of its row is another one.
#[derive(Default)]
pub(crate) struct Memory {
    folds: HashMap<TraceId, (i64, RowFold)>,
    instances: HashSet<InstanceId>,
}

impl Memory {
    const RUNS: usize = 8192;
    const INSTANCES: usize = 8192;

    fn version_of(&self, trace: &TraceId) -> Option<i64> {
        self.folds.get(trace).map(|(version, _)| *version)
    }

    pub(crate) fn keep(&mut self, Appended { runs, instances }: Appended) {
        if self.folds.len() + runs.len() > Self::RUNS {
            self.folds.clear();
        }
        // Of a run that has ended, little more is to come.
        for run in runs {
            match run.fold.is_open() {
                true => {
                    self.folds.insert(run.trace_id, (run.version + i64::from(run.is_different()), run.fold))
                }
                false => self.folds.remove(&run.trace_id),
            };
        }
        if self.instances.len() + instances.len() > Self::INSTANCES {
            self.instances.clear();
        }
        self.instances.extend(instances.iter().map(|id| InstanceId::from_u64(*id as u64)));
    }
}

/// What a transaction leaves to be remembered: its runs as they are now, and the instances that were not known before.
pub(crate) struct Appended {
    runs: Vec<Run>,
    instances: Vec<i64>,
}

/// A run that the transaction writes to.
pub(crate) struct Run {
    trace_id: TraceId,
    version: i64,
    pub(crate) fold: RowFold,
    pub(crate) change: Change,
    /// The latest of its new events; `None` if it has none.
    pub(crate) latest: Option<Timestamp>,
    missing: Vec<SpanId>,
}

impl Run {
    fn new(trace_id: TraceId, version: i64, fold: RowFold) -> Self {
        Self { trace_id, version, fold, change: Change::Nothing, latest: None, missing: Vec::new() }
    }

    /// Whether its row is another one with its new events. With most it stays.
    fn is_different(&self) -> bool {
        self.latest.is_some() && (self.change != Change::Nothing || self.fold.may_have_cause())
    }

    fn add(&mut self, event: &TraceEvent) {
        let added = self.fold.add(outline(event), event);
        self.change = self.change.max(added.change);
        self.missing.extend(added.missing_span);
        self.latest = self.latest.max(Some(event.timestamp));
    }
}

/// Makes events durable.
pub(crate) async fn append(
    client: &Client,
    memory: &Memory,
    events: &[Arc<TraceEvent>],
) -> Result<Appended, Fault> {
    let group = Group::of(events, memory)?;
    let runs = match group.as_remembered(memory) {
        None => group.append(client, memory).await?,
        Some(runs) => match group.append_at_once(client, &runs).await {
            Ok(()) => runs,
            Err(fault) if fault.code().is_some_and(|code| IS_DIFFERENT.contains(&code.code())) => {
                group.append(client, memory).await?
            }
            Err(fault) => return Err(fault),
        },
    };
    Ok(Appended { runs, instances: group.instances })
}

/// The events of a transaction.
struct Group<'e> {
    events: &'e [Arc<TraceEvent>],
    columns: Columns<'e>,
    /// In order, as `ids` has them.
    traces: Vec<TraceId>,
    ids: Vec<[u8; 16]>,
    /// Those that the writer does not know yet.
    instances: Vec<i64>,
}

impl<'e> Group<'e> {
    fn of(events: &'e [Arc<TraceEvent>], memory: &Memory) -> Result<Self, Fault> {
        let mut traces: Vec<TraceId> = events.iter().map(|event| event.trace_id).collect();
        traces.sort_unstable();
        traces.dedup();
        let mut instances: Vec<i64> = events
            .iter()
            .map(|event| event.instance)
            .filter(|instance| !memory.instances.contains(instance))
            .map(|instance| instance.to_u64() as i64)
            .collect();
        instances.sort_unstable();
        instances.dedup();
        let columns = Columns::of(events, &traces)?;
        let ids = traces.iter().map(|trace| trace.to_bytes()).collect();
        Ok(Self { events, columns, traces, ids, instances })
    }

    /// The runs as they will be if nobody else has written to them; `None` if that takes a look at what is stored.
    fn as_remembered(&self, memory: &Memory) -> Option<Vec<Run>> {
        let begins = |trace| {
            self.events.iter().any(|event| event.trace_id == trace && event.is_root() && event.seq == 0)
        };
        let mut runs = Vec::with_capacity(self.traces.len());
        for trace in &self.traces {
            runs.push(match memory.folds.get(trace) {
                Some((version, fold)) => Run::new(*trace, *version, fold.clone()),
                None if begins(*trace) => Run::new(*trace, 0, RowFold::new()),
                None => return None,
            });
        }
        for event in self.events {
            let run = runs.binary_search_by_key(&event.trace_id, |run| run.trace_id).ok()?;
            runs[run].add(event);
        }
        let is_settled = |run: &Run| run.missing.is_empty() && !run.fold.may_have_cause();
        runs.iter().all(is_settled).then_some(runs)
    }

    /// One round trip.
    async fn append_at_once(&self, client: &Client, runs: &[Run]) -> Result<(), Fault> {
        let (mut rows, mut places) = (Rows::default(), Vec::new());
        for (place, run) in (1..).zip(runs).filter(|(_, run)| run.is_different()) {
            rows.push(run, RowCause::None);
            places.push(place);
        }
        let known: Vec<Option<i64>> = runs.iter().map(|run| Some(run.version)).collect();
        let ids = self.ids();
        let mut params = self.params(&ids, &known);
        params.push((&places, Type::INT4_ARRAY));
        params.extend(rows.params());
        let sql = format!("SELECT throughline.append({})", placeholders(params.len()));
        // Sent one behind the other; the server begins with the first, and answers all at once.
        let (begun, appended, committed) = tokio::join!(
            client.batch_execute(BEGIN),
            client.query_typed(&sql, &params),
            client.batch_execute("COMMIT"),
        );
        // The first that failed is the one that says why.
        begun?;
        appended?;
        committed?;
        Ok(())
    }

    /// Two round trips, or more where events of a run have to be read.
    async fn append(&self, client: &Client, memory: &Memory) -> Result<Vec<Run>, Fault> {
        let known: Vec<Option<i64>> = self.traces.iter().map(|trace| memory.version_of(trace)).collect();
        let ids = self.ids();
        let params = self.params(&ids, &known);
        let sql = format!("SELECT * FROM throughline.add_events({})", placeholders(params.len()));
        let (begun, found) =
            tokio::join!(client.batch_execute(BEGIN_WITH_PAUSE), client.query_typed_one(&sql, &params));
        begun?;
        let found = Found::of(&found?, self.traces.len())?;
        let mut runs = Vec::with_capacity(self.traces.len());
        for (place, trace_id) in self.traces.iter().enumerate() {
            runs.push(found.load(place, client, memory, *trace_id).await?);
        }
        for place in &found.added {
            let event = usize::try_from(*place).ok().and_then(|place| self.events.get(place));
            let Some(event) = event else { continue };
            let Ok(run) = runs.binary_search_by_key(&event.trace_id, |run| run.trace_id) else { continue };
            runs[run].add(event);
        }
        let (mut rows, mut written) = (Rows::default(), Vec::new());
        for (run, id) in runs.iter_mut().zip(&found.ids).filter(|(run, _)| run.latest.is_some()) {
            for span in std::mem::take(&mut run.missing) {
                let sql = format!("{OF_RUN} AND e.span = $2");
                let span = span.to_u64() as i64;
                let found = client.query_typed(&sql, &[(id, Type::INT8), (&span, Type::INT8)]).await?;
                let found = found.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
                run.fold.add_missing(found.iter().map(|event| Mark::of(outline(event), event)));
            }
            if run.is_different() {
                rows.push(run, cause(client, run, *id).await?);
                written.push(*id);
            }
        }
        let mut params: Vec<Param<'_>> = vec![(&written, Type::INT8_ARRAY)];
        params.extend(rows.params());
        let sql = format!("SELECT throughline.update_runs({})", placeholders(params.len()));
        let (updated, committed) =
            tokio::join!(client.query_typed(&sql, &params), client.batch_execute("COMMIT"));
        updated?;
        committed?;
        Ok(runs)
    }

    fn ids(&self) -> Vec<&[u8]> {
        self.ids.iter().map(|id| &id[..]).collect()
    }

    fn params<'a>(&'a self, ids: &'a (dyn ToSql + Sync), known: &'a (dyn ToSql + Sync)) -> Vec<Param<'a>> {
        let mut params: Vec<Param<'a>> =
            vec![(ids, Type::BYTEA_ARRAY), (known, Type::INT8_ARRAY), (&self.instances, Type::INT8_ARRAY)];
        params.extend(self.columns.params());
        params
    }
}

/// `$1, $2` and so on.
fn placeholders(count: usize) -> String {
    (1..=count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// What the first round trip brings: the rows of the runs, in their order, and the places of the events that are new.
struct Found {
    ids: Vec<i64>,
    versions: Vec<i64>,
    started: Vec<i64>,
    compensating: Vec<bool>,
    /// `None` where it is as it is remembered.
    states: Vec<Option<String>>,
    added: Vec<i32>,
}

impl Found {
    fn of(row: &Row, runs: usize) -> Result<Self, Fault> {
        let found = Self {
            ids: row.try_get(0)?,
            versions: row.try_get(1)?,
            started: row.try_get(2)?,
            compensating: row.try_get(3)?,
            states: row.try_get(4)?,
            added: {
                let mut added = row.try_get::<_, Option<Vec<i32>>>(5)?.unwrap_or_default();
                added.sort_unstable();
                added
            },
        };
        let lengths = [
            found.ids.len(),
            found.versions.len(),
            found.started.len(),
            found.compensating.len(),
            found.states.len(),
        ];
        match lengths == [runs; 5] {
            true => Ok(found),
            false => Err(Fault::Damaged("`throughline.add_events` does not answer for each run".to_owned())),
        }
    }

    /// The fold of a run as its row has it, or as it is remembered.
    async fn load(
        &self,
        place: usize,
        client: &Client,
        memory: &Memory,
        trace_id: TraceId,
    ) -> Result<Run, Fault> {
        let (id, version) = (self.ids[place], self.versions[place]);
        let run = |fold| Run::new(trace_id, version, fold);
        let Some(state) = &self.states[place] else {
            let known = memory.folds.get(&trace_id);
            let (_, fold) = known.ok_or(Fault::Passing("what was remembered of a run is gone"))?;
            return Ok(run(fold.clone()));
        };
        let state: RunRow = serde_json::from_str(state)
            .map_err(|_| Fault::Damaged(format!("the column `state` of run {trace_id} can't be read")))?;
        let (started, is_compensating) =
            (Timestamp::from_micros(self.started[place]), self.compensating[place]);
        // Without the events of this transaction: they are added when all runs are there.
        let sql = match () {
            () if state.is_new() => return Ok(run(RowFold::new())),
            () if state.is_rootless() => format!("{OF_RUN} AND e.xid <> {OWN}"),
            () if state.has_detached() => format!(
                "{OF_RUN} AND e.xid <> {OWN} AND e.span IN (SELECT d.span FROM throughline.event d \
                 WHERE d.run = r.id AND d.day = r.day AND d.detached AND d.xid <> {OWN})"
            ),
            () => return Ok(run(state.restore(started, is_compensating, &[]))),
        };
        let found = client.query_typed(&sql, &[(&id, Type::INT8)]).await?;
        let found = found.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
        Ok(run(match state.is_rootless() {
            true => RowFold::of(found.iter().map(outline)),
            false => state.restore(started, is_compensating, &found),
        }))
    }
}

async fn cause(client: &Client, run: &Run, id: i64) -> Result<RowCause, Fault> {
    if !run.fold.may_have_cause() {
        return Ok(RowCause::None);
    }
    let sql = format!("SELECT count(*) FROM ({OF_RUN} LIMIT {}) AS events", LONG_RUN + 1);
    let count: i64 = client.query_typed_one(&sql, &[(&id, Type::INT8)]).await?.try_get(0)?;
    if count > LONG_RUN {
        return Ok(RowCause::Unknown);
    }
    let events = client.query_typed(OF_RUN, &[(&id, Type::INT8)]).await?;
    let events = events.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
    let Some(found) = cause_of_run(&run.fold, &events) else { return Ok(RowCause::None) };
    let FailureSummary { step_index, step_total, .. } = FailureSummary::among(found, &events);
    Ok(RowCause::Found(Box::new(TraceEvent { step_index, step_total, ..found.clone() })))
}

/// The event in the first column.
pub(crate) fn event_of(row: &Row) -> Result<TraceEvent, Fault> {
    serde_json::from_str(row.try_get(0)?)
        .map_err(|error| Fault::Damaged(format!("the column `event` of an event can't be read: {error}")))
}
