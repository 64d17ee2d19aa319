//! Answers across runs that come from the rows of runs.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use throughline_model::{Bucket, ChoiceOutcome, HotSpot, Rate, Scope, Status, Text, Timestamp};

use super::rows::json;
use super::session::Session;
use crate::block::status_of;
use crate::error::Fault;
use crate::names::find_name;
use crate::run_count;

/// More buckets than a chart or a person can use; a narrow width over a long log would fill the memory.
const MAX_BUCKETS: i64 = 100_000;

/// The runs in a scope, for the conditions `started BETWEEN ?1 AND ?2 AND (?3 IS NULL OR workflow = ?3)`.
struct Runs {
    first: i64,
    last: i64,
    workflow: Option<i64>,
}

impl Runs {
    /// `None` if there is no such workflow.
    fn of(connection: &Connection, scope: &Scope) -> Result<Option<Self>, Fault> {
        let workflow = match &scope.workflow {
            None => None,
            Some(workflow) => match find_name(connection, workflow)? {
                None => return Ok(None),
                known => known,
            },
        };
        Ok(Some(Self {
            first: scope.since.map_or(i64::MIN, |since| since.as_micros()),
            last: scope.until.map_or(i64::MAX, |until| until.as_micros().saturating_sub(1)),
            workflow,
        }))
    }

    /// Completes a statement that ends with `FROM run r` and joins. A scope without a time is read in the order of the
    /// table, which is quicker than through an index.
    fn select(&self, what: &str) -> String {
        let started = match (self.first, self.last) {
            (i64::MIN, i64::MAX) => "+r.started",
            _ => "r.started",
        };
        format!("{what} WHERE {started} BETWEEN ?1 AND ?2 AND (?3 IS NULL OR r.workflow = ?3)")
    }
}

pub(super) fn failure_rate(session: &mut Session, scope: &Scope) -> Result<Rate, Fault> {
    let (connection, _) = session.snapshot()?;
    let Some(runs) = Runs::of(&connection, scope)? else { return Ok(Rate::default()) };
    let (index, of_workflow) = match runs.workflow {
        Some(_) => ("run_lost_of", "workflow = ?3"),
        None => ("run_lost", "?3 IS NULL"),
    };
    let count = |from: &str| -> Result<i64, Fault> {
        let sql = format!("SELECT count(*) FROM {from} AND started BETWEEN ?1 AND ?2");
        let mut count = connection.prepare_cached(&sql)?;
        Ok(count.query_row(params![runs.first, runs.last, runs.workflow], |row| row.get(0))?)
    };
    let failed = count(&format!("run INDEXED BY {index} WHERE status = 2 AND status > 1 AND {of_workflow}"))?;
    let open = count("run INDEXED BY run_open WHERE status = 0 AND (?3 IS NULL OR workflow = ?3)")?;
    let began = run_count::began(&connection, &(runs.first..=runs.last), runs.workflow)?;
    Ok(Rate::new(failed as u64, began.saturating_sub(open) as u64))
}

pub(super) fn compensation_rate(session: &mut Session, scope: &Scope) -> Result<Rate, Fault> {
    let (connection, _) = session.snapshot()?;
    let Some(runs) = Runs::of(&connection, scope)? else { return Ok(Rate::default()) };
    let sql = runs.select("SELECT coalesce(sum(r.compensating), 0), count(*) FROM run r");
    let (hits, total) =
        connection.prepare_cached(&sql)?.query_row(params![runs.first, runs.last, runs.workflow], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
    Ok(Rate::new(hits as u64, total as u64))
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: Text,
}

pub(super) fn hot_spots(session: &mut Session, scope: &Scope, limit: usize) -> Result<Vec<HotSpot>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let Some(runs) = Runs::of(&snapshot, scope)? else { return Ok(Vec::new()) };
    let mut statement = snapshot.prepare_cached(&runs.select(
        "SELECT f.type, f.error FROM run r LEFT JOIN cause c ON c.run = r.id \
             JOIN event f ON f.id = coalesce(c.event, r.failure) AND r.status = 2",
    ))?;
    let mut rows = statement.query(params![runs.first, runs.last, runs.workflow])?;
    let mut counts: BTreeMap<(Text, Option<Text>), u64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let event_type = cache.name(&snapshot, row.get(0)?)?;
        let error_type = match row.get_ref(1)? {
            ValueRef::Null => None,
            error => json::<Kind>(error).map(|error| error.kind),
        };
        *counts.entry((event_type, error_type)).or_default() += 1;
    }
    Ok(HotSpot::rank(counts, limit))
}

pub(super) fn decision_outcomes(session: &mut Session, scope: &Scope) -> Result<Vec<ChoiceOutcome>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let Some(runs) = Runs::of(&snapshot, scope)? else { return Ok(Vec::new()) };
    let sql = runs.select(
        "SELECT d.type, d.choice, sum(r.status = 2), count(*) FROM decision d \
         JOIN run r ON r.id = d.run AND r.status != 0",
    ) + " GROUP BY d.type, d.choice";
    let mut statement = snapshot.prepare_cached(&sql)?;
    let mut rows = statement.query(params![runs.first, runs.last, runs.workflow])?;
    let mut outcomes = Vec::new();
    while let Some(row) = rows.next()? {
        outcomes.push(ChoiceOutcome {
            decision: cache.name(&snapshot, row.get(0)?)?,
            choice: Text::from(row.get::<_, String>(1)?),
            failed: Rate::new(row.get::<_, i64>(2)? as u64, row.get::<_, i64>(3)? as u64),
        });
    }
    outcomes.sort_by(|a, b| (&a.decision, &a.choice).cmp(&(&b.decision, &b.choice)));
    Ok(outcomes)
}

pub(super) fn over_time(session: &mut Session, scope: &Scope, width: Duration) -> Result<Vec<Bucket>, Fault> {
    let (connection, _) = session.snapshot()?;
    let Some(runs) = Runs::of(&connection, scope)? else { return Ok(Vec::new()) };
    let width = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(60_000_000);
    let mut statement = connection.prepare_cached(&runs.select("SELECT r.started, r.status FROM run r"))?;
    let mut rows = statement.query(params![runs.first, runs.last, runs.workflow])?;
    let mut rates: FxHashMap<i64, Rate> = FxHashMap::default();
    while let Some(row) = rows.next()? {
        let started = Timestamp::from_micros(row.get(0)?);
        if !started.is_known() {
            continue;
        }
        let rate = rates.entry(started.as_micros().div_euclid(width)).or_default();
        let status = status_of(row.get(1)?);
        rate.total += u64::from(status != Status::Pending);
        rate.hits += u64::from(status == Status::Failed);
    }
    let (Some(&first), Some(&last)) = (rates.keys().min(), rates.keys().max()) else {
        return Ok(Vec::new());
    };
    if last.saturating_sub(first) >= MAX_BUCKETS {
        return Err(Fault::invalid_query(format!(
            "there would be more than {MAX_BUCKETS} buckets of {} s from the first run to the last; ask for wider \
             buckets or a shorter time",
            width / 1_000_000
        )));
    }
    let bucket = |at: i64| Bucket {
        start: Timestamp::from_micros(at.saturating_mul(width)),
        failed: rates.get(&at).copied().unwrap_or_default(),
    };
    Ok((first..=last).map(bucket).collect())
}
