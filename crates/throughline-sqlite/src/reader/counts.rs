//! Answers across runs that come from counts by the hour and from blocks.

use std::ops::{ControlFlow, RangeInclusive};

use rusqlite::{Connection, params};
use rustc_hash::FxHashMap;
use throughline_model::{Histogram, Rate, Scope, SlowSpan, SpanId, StageTimes, TypeRate};

use super::descending::Descending;
use super::rows::trace_id;
use super::session::Session;
use crate::block::{Entry, entries, stored};
use crate::error::Fault;
use crate::names::find_name;
use crate::rollup::{self, Counts};

/// The events in a scope: their time in microseconds, and their workflow.
struct Events {
    time: RangeInclusive<i64>,
    workflow: Option<i64>,
}

impl Events {
    /// `None` if there are none.
    fn of(connection: &Connection, scope: &Scope) -> Result<Option<Self>, Fault> {
        let workflow = match &scope.workflow {
            None => None,
            Some(workflow) => match find_name(connection, workflow)? {
                None => return Ok(None),
                known => known,
            },
        };
        let since = scope.since.map_or(i64::MIN, |since| since.as_micros());
        let until = scope.until.map_or(i64::MAX, |until| until.as_micros().saturating_sub(1));
        Ok((since <= until).then_some(Self { time: since..=until, workflow }))
    }

    fn contain(&self, entry: &Entry) -> bool {
        self.time.contains(&entry.ts) && self.workflow.is_none_or(|workflow| workflow == entry.workflow)
    }
}

/// Counts by event type, from the rollups and from what is not in them yet.
fn by_type(
    connection: &Connection,
    scope: &Scope,
    with_durations: bool,
) -> Result<FxHashMap<i64, Counts>, Fault> {
    let mut by_type: FxHashMap<i64, Counts> = FxHashMap::default();
    let Some(wanted) = Events::of(connection, scope)? else { return Ok(by_type) };
    let cover = rollup::cover(wanted.time.clone());
    let durations = if with_durations { "max_duration, durations" } else { "NULL, x''" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT type, pending, success, failed, cancelled, {durations} FROM rollup \
         WHERE width = ?1 AND start BETWEEN ?2 AND ?3 AND (?4 IS NULL OR workflow = ?4)"
    ))?;
    for (width, starts) in cover.rows {
        let mut rows = statement.query(params![width, starts.start(), starts.end(), wanted.workflow])?;
        while let Some(row) = rows.next()? {
            by_type.entry(row.get(0)?).or_default().add_row(row, 1)?;
        }
    }
    let mut count = |entry: &Entry| {
        if wanted.contain(entry) {
            by_type.entry(entry.event_type).or_default().add(entry);
        }
    };
    let folded = rollup::folded(connection)?;
    for edge in &cover.edges {
        rollup::each_folded(connection, folded, edge, &mut count)?;
    }
    rollup::each_unfolded(connection, folded, &mut count)?;
    Ok(by_type)
}

pub(super) fn failure_rate_by_type(session: &mut Session, scope: &Scope) -> Result<Vec<TypeRate>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let mut rates = Vec::new();
    for (event_type, counts) in by_type(&snapshot, scope, false)? {
        let (failed, ended) = counts.failed_and_ended();
        if ended > 0 {
            rates.push(TypeRate {
                event_type: cache.name(&snapshot, event_type)?,
                rate: Rate::new(failed as u64, ended as u64),
            });
        }
    }
    rates.sort_by(|a, b| b.rate.hits.cmp(&a.rate.hits).then_with(|| a.event_type.cmp(&b.event_type)));
    Ok(rates)
}

pub(super) fn slowest_stages(
    session: &mut Session,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<StageTimes>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let mut stages = Vec::new();
    for (event_type, counts) in by_type(&snapshot, scope, true)? {
        let Some(max_us) = counts.max_duration else { continue };
        let quantile = |histogram: &Histogram, part| histogram.quantile(part).min(max_us);
        stages.push(StageTimes {
            event_type: cache.name(&snapshot, event_type)?,
            count: counts.durations.count(),
            p50_us: quantile(&counts.durations, 0.5),
            p95_us: quantile(&counts.durations, 0.95),
            p99_us: quantile(&counts.durations, 0.99),
            max_us,
        });
    }
    stages.sort_by(|a, b| b.p95_us.cmp(&a.p95_us).then_with(|| a.event_type.cmp(&b.event_type)));
    stages.truncate(limit);
    Ok(stages)
}

pub(super) fn slowest_spans(
    session: &mut Session,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<SlowSpan>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let connection = &snapshot;
    let mut spans: Vec<SlowSpan> = Vec::new();
    let Some(wanted) = Events::of(connection, scope)? else { return Ok(spans) };
    let mut find = connection.prepare_cached(
        "SELECT r.trace_id, e.span, e.type, e.duration FROM event e JOIN run r ON r.id = e.run WHERE e.id = ?1",
    )?;
    let mut visit = |events: &[i64]| {
        let mut same = Vec::new();
        for event in events {
            let mut rows = find.query([event])?;
            let Some(row) = rows.next()? else { continue };
            let (Some(trace_id), Some(span_id)) =
                (trace_id(row.get_ref(0)?), SpanId::from_u64(row.get::<_, i64>(1)? as u64))
            else {
                continue;
            };
            same.push(SlowSpan {
                trace_id,
                span_id,
                event_type: cache.name(connection, row.get(2)?)?,
                duration_us: row.get::<_, i64>(3)? as u64,
            });
        }
        same.sort_by_key(|span| (std::cmp::Reverse(span.duration_us), span.trace_id, span.span_id));
        spans.extend(same);
        Ok(if spans.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    let mut blocks = connection.prepare_cached(
        "SELECT max_duration, id, entries FROM block INDEXED BY block_slow \
         WHERE max_duration IS NOT NULL AND last_ts >= ?1 AND first_ts <= ?2 ORDER BY max_duration DESC",
    )?;
    let mut rows = blocks.query([wanted.time.start(), wanted.time.end()])?;
    let mut candidates = Descending::default();
    let mut ended = ControlFlow::Continue(());
    while let Some(row) = rows.next()? {
        ended = candidates.begin_source(row.get(0)?, &mut visit)?;
        if ended.is_break() {
            break;
        }
        let first = row.get(1)?;
        let stored = stored(connection, first, row.get_ref(2)?.as_bytes().unwrap_or_default())?;
        for (event, entry) in entries(first, &stored) {
            if let Some(duration) = entry.duration
                && wanted.contain(&entry)
            {
                candidates.push(i64::try_from(duration).unwrap_or(i64::MAX), event);
            }
        }
    }
    if ended.is_continue() {
        candidates.finish(&mut visit)?;
    }
    spans.truncate(limit);
    Ok(spans)
}
