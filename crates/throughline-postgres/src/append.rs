//! Appending: a group of events is one transaction of two round trips.
//!
//! The first creates the rows of new runs, locks those of all runs in the order of their ids, and inserts the events that are
//! not there yet. The transaction that holds the row of a run is the only one that writes to that run, so the partition key, which is a
//! day, need not be part of what identifies an event: all events of a run are in the partition that its row names. The
//! second brings the rows up to date, and commits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use throughline_model::fold::{Change, Mark, RowCause, RowFold, RunRow, RunStanding, cause_of_run, outline};
use throughline_model::names::{attrs, data, tags};
use throughline_model::{Histogram, InstanceId, SpanId, Timestamp, TraceEvent, TraceId};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::connect::Param;
use crate::error::Fault;
use crate::text::{capped, sortable, status_code, to_column};

/// What holds in this transaction alone. Each statement sees what was committed before it, so what comes after a lock sees
/// what its last holder wrote. A pause of this process must not lock others out for long; and whatever the
/// defaults of the role are, what is acknowledged is on the disk.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SET LOCAL lock_timeout = '5s'; \
    SET LOCAL idle_in_transaction_session_timeout = '10s'; \
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

const NEW_INSTANCES: &str = "INSERT INTO throughline.instance (id) \
    SELECT id FROM unnest($1::bigint[]) AS id ORDER BY id ON CONFLICT (id) DO NOTHING";

const NEW_RUNS: &str = "INSERT INTO throughline.run (trace_id, day) \
    SELECT t, (clock_timestamp() AT TIME ZONE 'UTC')::date FROM unnest($1::bytea[]) AS t \
    WHERE NOT EXISTS (SELECT FROM throughline.run r WHERE r.trace_id = t) \
    ORDER BY t ON CONFLICT (trace_id) DO NOTHING";

/// The state is left out where it is what the caller remembers.
const LOCK_RUNS: &str = "SELECT r.trace_id, r.id, r.version, r.started, r.compensating, \
        CASE WHEN r.version IS DISTINCT FROM known.version THEN r.state::text END \
    FROM unnest($1::bytea[], $2::bigint[]) AS known (trace_id, version) \
    JOIN throughline.run r ON r.trace_id = known.trace_id ORDER BY r.trace_id FOR UPDATE OF r";

const INSERT: &str = "INSERT INTO throughline.event (day, run, span, seq, ts, instance, n, ord, status, event_type, \
        service, workflow, correlation_id, duration, bucket, detached, job, choice, event) \
    SELECT r.day, r.id, e.span, e.seq, e.ts, e.instance, e.n, e.ord - 1, e.status, e.event_type, e.service, \
        e.workflow, e.correlation_id, e.duration, e.bucket, e.detached, e.job, e.choice, e.event::json \
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::smallint[], \
        $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::integer[], $14::boolean[], $15::text[], \
        $16::text[], $17::text[]) WITH ORDINALITY \
        AS e (trace_id, span, seq, ts, instance, n, status, event_type, service, workflow, correlation_id, duration, \
        bucket, detached, job, choice, event, ord) \
    JOIN throughline.run r ON r.trace_id = e.trace_id \
    ORDER BY e.ord ON CONFLICT DO NOTHING RETURNING ord";

/// Where nothing is different but the time of the last event, the state is not written.
const UPDATE: &str = "UPDATE throughline.run r SET version = r.version + 1, latest = greatest(r.latest, u.latest), \
        started = u.started, ended = u.ended, status = u.status, owner = u.owner, service = u.service, \
        workflow = u.workflow, correlation_id = u.correlation_id, has_failure = u.has_failure, \
        compensating = u.compensating, state = coalesce(u.state::json, r.state) \
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::text[], \
        $8::text[], $9::text[], $10::boolean[], $11::boolean[], $12::text[]) \
        AS u (id, latest, started, ended, status, owner, service, workflow, correlation_id, has_failure, compensating, \
        state) \
    WHERE r.id = u.id";

const OF_RUN: &str = "SELECT e.event::text FROM throughline.run r \
    JOIN throughline.event e ON e.run = r.id AND e.day = r.day WHERE r.id = $1";

/// This transaction, as the column `xid` has it.
const OWN: &str = "pg_current_xact_id()::text::bigint";

/// The largest event that is taken; a parameter of a statement can't have more than a gigabyte.
const MAX_EVENT: usize = 64 << 20;

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

    fn keep(&mut self, runs: Vec<Run>, instances: Vec<i64>) {
        if self.folds.len() + runs.len() > Self::RUNS {
            self.folds.clear();
        }
        // Of a run that has ended, little more is to come.
        for run in runs {
            match run.fold.is_open() {
                true => {
                    self.folds.insert(run.trace_id, (run.version + i64::from(run.is_written()), run.fold))
                }
                false => self.folds.remove(&run.trace_id),
            };
        }
        if self.instances.len() + instances.len() > Self::INSTANCES {
            self.instances.clear();
        }
        self.instances.extend(instances.into_iter().map(|id| InstanceId::from_u64(id as u64)));
    }
}

/// A run that the transaction has locked.
struct Run {
    trace_id: TraceId,
    id: i64,
    version: i64,
    fold: RowFold,
    change: Change,
    /// The latest of its new events; `None` if it has none.
    latest: Option<Timestamp>,
    missing: Vec<SpanId>,
}

impl Run {
    fn is_written(&self) -> bool {
        self.latest.is_some()
    }
}

/// Makes events durable.
pub(crate) async fn append(
    client: &Client,
    memory: &mut Memory,
    events: &[Arc<TraceEvent>],
) -> Result<(), Fault> {
    let mut traces: Vec<TraceId> = events.iter().map(|event| event.trace_id).collect();
    traces.sort_unstable();
    traces.dedup();
    let known: Vec<Option<i64>> = traces.iter().map(|trace| memory.version_of(trace)).collect();
    let ids: Vec<[u8; 16]> = traces.iter().map(|trace| trace.to_bytes()).collect();
    let ids: Vec<&[u8]> = ids.iter().map(|id| &id[..]).collect();
    let mut instances: Vec<i64> = events
        .iter()
        .map(|event| event.instance)
        .filter(|instance| !memory.instances.contains(instance))
        .map(|instance| instance.to_u64() as i64)
        .collect();
    instances.sort_unstable();
    instances.dedup();
    let columns = Columns::of(events)?;
    let new_runs: &[Param<'_>] = &[(&ids, Type::BYTEA_ARRAY)];
    let locked_runs: &[Param<'_>] = &[(&ids, Type::BYTEA_ARRAY), (&known, Type::INT8_ARRAY)];

    let new_instances = async {
        match instances.is_empty() {
            true => Ok(0),
            false => client.execute_typed(NEW_INSTANCES, &[(&instances, Type::INT8_ARRAY)]).await,
        }
    };
    // Sent one behind the other; the server begins with the first, and answers all at once.
    let (begun, registered, created, locked, inserted) = tokio::join!(
        client.batch_execute(BEGIN),
        new_instances,
        client.execute_typed(NEW_RUNS, new_runs),
        client.query_typed(LOCK_RUNS, locked_runs),
        columns.insert(client),
    );
    // The first that failed is the one that says why.
    begun?;
    registered?;
    created?;
    let (locked, inserted) = (locked?, inserted?);
    if locked.len() != traces.len() {
        return Err(Fault::Passing("a run was removed at this very moment"));
    }
    let mut runs = Vec::with_capacity(locked.len());
    for (row, trace_id) in locked.iter().zip(&traces) {
        runs.push(load(client, memory, *trace_id, row).await?);
    }
    add_new(&mut runs, events, &inserted)?;
    let mut rows = Rows::default();
    for run in runs.iter_mut().filter(|run| run.is_written()) {
        for span in std::mem::take(&mut run.missing) {
            let sql = format!("{OF_RUN} AND e.span = $2");
            let span = span.to_u64() as i64;
            let found = client.query_typed(&sql, &[(&run.id, Type::INT8), (&span, Type::INT8)]).await?;
            let found = found.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
            run.fold.add_missing(found.iter().map(|event| Mark::of(outline(event), event)));
        }
        let cause = cause(client, run).await?;
        rows.push(run, cause);
    }
    let (updated, committed) = tokio::join!(rows.update(client), client.batch_execute("COMMIT"));
    updated?;
    committed?;
    memory.keep(runs, instances);
    Ok(())
}

/// The fold of a run as its row has it, or as it is remembered.
async fn load(client: &Client, memory: &Memory, trace_id: TraceId, row: &Row) -> Result<Run, Fault> {
    let (id, version): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    let run = |fold| Run {
        trace_id,
        id,
        version,
        fold,
        change: Change::Nothing,
        latest: None,
        missing: Vec::new(),
    };
    let Some(state) = row.try_get::<_, Option<&str>>(5)? else {
        let known = memory.folds.get(&trace_id);
        let (_, fold) = known.ok_or(Fault::Passing("what was remembered of a run is gone"))?;
        return Ok(run(fold.clone()));
    };
    let state: RunRow = serde_json::from_str(state)
        .map_err(|_| Fault::Damaged(format!("the column `state` of run {trace_id} can't be read")))?;
    let (started, is_compensating) = (Timestamp::from_micros(row.try_get(3)?), row.try_get(4)?);
    // Without the events of this transaction: `add_new` finds out what these change.
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

/// Adds the events that were inserted to their runs.
fn add_new(runs: &mut [Run], events: &[Arc<TraceEvent>], inserted: &[Row]) -> Result<(), Fault> {
    let mut new: Vec<i32> = inserted.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    new.sort_unstable();
    for place in new {
        let event = usize::try_from(place).ok().and_then(|place| events.get(place));
        let Some(event) = event else { continue };
        let Ok(run) = runs.binary_search_by_key(&event.trace_id, |run| run.trace_id) else { continue };
        let run = &mut runs[run];
        let added = run.fold.add(outline(event), event);
        run.change = run.change.max(added.change);
        run.missing.extend(added.missing_span);
        run.latest = run.latest.max(Some(event.timestamp));
    }
    Ok(())
}

async fn cause(client: &Client, run: &Run) -> Result<RowCause, Fault> {
    if !run.fold.may_have_cause() {
        return Ok(RowCause::None);
    }
    let sql = format!("SELECT count(*) FROM ({OF_RUN} LIMIT {}) AS events", LONG_RUN + 1);
    let count: i64 = client.query_typed_one(&sql, &[(&run.id, Type::INT8)]).await?.try_get(0)?;
    if count > LONG_RUN {
        return Ok(RowCause::Unknown);
    }
    let events = client.query_typed(OF_RUN, &[(&run.id, Type::INT8)]).await?;
    let events = events.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
    let found = cause_of_run(&run.fold, &events);
    Ok(found.map_or(RowCause::None, |event| RowCause::Found(Box::new(event.clone()))))
}

/// The event in the first column.
pub(crate) fn event_of(row: &Row) -> Result<TraceEvent, Fault> {
    serde_json::from_str(row.try_get(0)?)
        .map_err(|error| Fault::Damaged(format!("the column `event` of an event can't be read: {error}")))
}

/// The columns of new events, an array each.
#[derive(Default)]
struct Columns<'e> {
    trace_id: Vec<Vec<u8>>,
    span: Vec<i64>,
    seq: Vec<i64>,
    ts: Vec<i64>,
    instance: Vec<i64>,
    n: Vec<i64>,
    status: Vec<i16>,
    event_type: Vec<std::borrow::Cow<'e, str>>,
    service: Vec<std::borrow::Cow<'e, str>>,
    workflow: Vec<Option<std::borrow::Cow<'e, str>>>,
    correlation_id: Vec<Option<std::borrow::Cow<'e, str>>>,
    duration: Vec<Option<i64>>,
    bucket: Vec<Option<i32>>,
    detached: Vec<bool>,
    job: Vec<Option<String>>,
    choice: Vec<Option<std::borrow::Cow<'e, str>>>,
    event: Vec<String>,
}

impl<'e> Columns<'e> {
    fn of(events: &'e [Arc<TraceEvent>]) -> Result<Self, Fault> {
        let mut columns = Self::default();
        for (index, event) in events.iter().enumerate() {
            let json = serde_json::to_string(event).map_err(|error| Fault::Rejected {
                index,
                reason: format!("its JSON can't be written: {error}"),
            })?;
            if json.len() > MAX_EVENT {
                let reason = format!("its JSON has {} bytes; at most {MAX_EVENT} can be stored", json.len());
                return Err(Fault::Rejected { index, reason });
            }
            columns.trace_id.push(event.trace_id.to_bytes().to_vec());
            columns.span.push(event.span_id.to_u64() as i64);
            columns.seq.push(i64::from(event.seq));
            columns.ts.push(event.timestamp.as_micros());
            columns.instance.push(sortable(event.instance.to_u64()));
            columns.n.push(sortable(event.n));
            columns.status.push(status_code(event.status));
            columns.event_type.push(to_column(&event.event_type));
            columns.service.push(to_column(&event.service));
            columns.workflow.push(event.workflow.as_deref().map(to_column));
            columns.correlation_id.push(event.correlation_id.as_deref().map(to_column));
            columns.duration.push(event.duration_us.map(capped));
            columns.bucket.push(event.duration_us.map(|micros| i32::from(Histogram::bucket(micros))));
            columns.detached.push(event.is_detached());
            let job = event.attrs.get(attrs::JOB_ID).filter(|_| event.is_detached());
            columns.job.push(job.map(job_column));
            columns.choice.push(choice(event).map(to_column));
            columns.event.push(json);
        }
        Ok(columns)
    }

    async fn insert(&self, client: &Client) -> Result<Vec<Row>, tokio_postgres::Error> {
        client
            .query_typed(
                INSERT,
                &[
                    (&self.trace_id, Type::BYTEA_ARRAY),
                    (&self.span, Type::INT8_ARRAY),
                    (&self.seq, Type::INT8_ARRAY),
                    (&self.ts, Type::INT8_ARRAY),
                    (&self.instance, Type::INT8_ARRAY),
                    (&self.n, Type::INT8_ARRAY),
                    (&self.status, Type::INT2_ARRAY),
                    (&self.event_type, Type::TEXT_ARRAY),
                    (&self.service, Type::TEXT_ARRAY),
                    (&self.workflow, Type::TEXT_ARRAY),
                    (&self.correlation_id, Type::TEXT_ARRAY),
                    (&self.duration, Type::INT8_ARRAY),
                    (&self.bucket, Type::INT4_ARRAY),
                    (&self.detached, Type::BOOL_ARRAY),
                    (&self.job, Type::TEXT_ARRAY),
                    (&self.choice, Type::TEXT_ARRAY),
                    (&self.event, Type::TEXT_ARRAY),
                ],
            )
            .await
    }
}

/// The id of a job as the column `job` has it: the beginning of it, for an index holds no text of any length.
pub(crate) fn job_column(job_id: &str) -> String {
    to_column(job_id).chars().take(200).collect()
}

fn choice(event: &TraceEvent) -> Option<&str> {
    event.data.as_ref().filter(|_| event.has_tag(tags::DECISION))?.get(data::CHOICE)?.as_str()
}

/// The new columns of runs, an array each.
#[derive(Default)]
struct Rows {
    id: Vec<i64>,
    latest: Vec<i64>,
    started: Vec<i64>,
    ended: Vec<Option<i64>>,
    status: Vec<i16>,
    owner: Vec<i64>,
    service: Vec<String>,
    workflow: Vec<Option<String>>,
    correlation_id: Vec<Option<String>>,
    has_failure: Vec<bool>,
    compensating: Vec<bool>,
    state: Vec<Option<String>>,
}

impl Rows {
    fn push(&mut self, run: &Run, cause: RowCause) {
        let fold = &run.fold;
        let (Some(latest), Some(started), Some(head), Some(RunStanding { status, owner })) =
            (run.latest, fold.started(), fold.head(), fold.standing())
        else {
            return;
        };
        let is_different = run.change != Change::Nothing || fold.may_have_cause();
        let column = |text: &str| to_column(text).into_owned();
        self.id.push(run.id);
        self.latest.push(latest.as_micros());
        self.started.push(started.as_micros());
        self.ended.push(fold.ended().map(Timestamp::as_micros));
        self.status.push(status_code(status));
        self.owner.push(owner.to_u64() as i64);
        self.service.push(column(&head.service));
        self.workflow.push(fold.workflow().map(|workflow| column(workflow)));
        self.correlation_id.push(fold.correlation_id().map(|key| column(key)));
        self.has_failure.push(fold.first_failure().is_some());
        self.compensating.push(fold.is_compensating());
        // Writing to a text does not fail: it is maps with text keys, lists, texts and numbers.
        let state = || serde_json::to_string(&RunRow::of(fold, cause)).ok();
        self.state.push(if is_different { state() } else { None });
    }

    async fn update(&self, client: &Client) -> Result<u64, tokio_postgres::Error> {
        if self.id.is_empty() {
            return Ok(0);
        }
        client
            .execute_typed(
                UPDATE,
                &[
                    (&self.id, Type::INT8_ARRAY),
                    (&self.latest, Type::INT8_ARRAY),
                    (&self.started, Type::INT8_ARRAY),
                    (&self.ended, Type::INT8_ARRAY),
                    (&self.status, Type::INT2_ARRAY),
                    (&self.owner, Type::INT8_ARRAY),
                    (&self.service, Type::TEXT_ARRAY),
                    (&self.workflow, Type::TEXT_ARRAY),
                    (&self.correlation_id, Type::TEXT_ARRAY),
                    (&self.has_failure, Type::BOOL_ARRAY),
                    (&self.compensating, Type::BOOL_ARRAY),
                    (&self.state, Type::TEXT_ARRAY),
                ],
            )
            .await
    }
}
