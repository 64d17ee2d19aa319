//! What is asked of events across runs: from the counts by the minute, and from the blocks.

use std::ops::ControlFlow;

use rusqlite::{Connection, params};
use rustc_hash::FxHashMap;
use throughline_core::{Histogram, Rate, Scope, SlowSpan, SpanId, StageTimes, TypeRate};

use super::descending::Descending;
use super::session::{Session, trace_id};
use crate::block::entries;
use crate::error::Fault;
use crate::names::find_name;
use crate::rollup::{self, Counts, Key, MINUTE};

/// The minutes and the workflow that a scope means. A minute belongs to it if any part of it does.
struct Minutes {
    first: i64,
    last: i64,
    workflow: Option<i64>,
}

impl Minutes {
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
            first: scope.since.map_or(i64::MIN, |since| since.as_micros().div_euclid(MINUTE)),
            last: scope
                .until
                .map_or(i64::MAX, |until| until.as_micros().saturating_sub(1).div_euclid(MINUTE)),
            workflow,
        }))
    }

    fn hold(&self, key: &Key) -> bool {
        (self.first..=self.last).contains(&key.minute)
            && self.workflow.is_none_or(|workflow| workflow == key.workflow)
    }
}

/// Counts by event type, of the rollups and of what is not in them yet.
fn by_type(
    connection: &Connection,
    scope: &Scope,
    with_durations: bool,
) -> Result<FxHashMap<i64, Counts>, Fault> {
    let mut by_type: FxHashMap<i64, Counts> = FxHashMap::default();
    let Some(minutes) = Minutes::of(connection, scope)? else { return Ok(by_type) };
    let sql = match with_durations {
        false => {
            "SELECT type, sum(pending), sum(success), sum(failed), sum(cancelled), NULL, NULL FROM rollup \
             WHERE minute BETWEEN ?1 AND ?2 AND (?3 IS NULL OR workflow = ?3) GROUP BY type"
        }
        true => {
            "SELECT type, pending, success, failed, cancelled, max_duration, durations FROM rollup \
             WHERE minute BETWEEN ?1 AND ?2 AND (?3 IS NULL OR workflow = ?3)"
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![minutes.first, minutes.last, minutes.workflow])?;
    while let Some(row) = rows.next()? {
        let counts = by_type.entry(row.get(0)?).or_default();
        for (at, sum) in counts.by_status.iter_mut().enumerate() {
            *sum += row.get::<_, i64>(at + 1)?;
        }
        if with_durations {
            let longest = row.get::<_, Option<i64>>(5)?.map(|micros| micros as u64);
            counts.max_duration = counts.max_duration.max(longest);
            rollup::unpack(row.get_ref(6)?.as_bytes().unwrap_or_default(), &mut counts.durations);
        }
    }
    rollup::each_unfolded(connection, rollup::folded(connection)?, |entry| {
        if minutes.hold(&rollup::key(entry)) {
            by_type.entry(entry.event_type).or_default().add(entry);
        }
    })?;
    Ok(by_type)
}

pub(super) fn failure_rate_by_type(session: &mut Session, scope: &Scope) -> Result<Vec<TypeRate>, Fault> {
    let (snapshot, memory) = session.snapshot()?;
    let mut rates = Vec::new();
    for (event_type, counts) in by_type(&snapshot, scope, false)? {
        let (failed, ended) = counts.failed_and_ended();
        if ended > 0 {
            rates.push(TypeRate {
                event_type: memory.name(&snapshot, event_type)?,
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
    let (snapshot, memory) = session.snapshot()?;
    let mut stages = Vec::new();
    for (event_type, counts) in by_type(&snapshot, scope, true)? {
        let Some(max_us) = counts.max_duration else { continue };
        let quantile = |histogram: &Histogram, part| histogram.quantile(part).min(max_us);
        stages.push(StageTimes {
            event_type: memory.name(&snapshot, event_type)?,
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
    let (snapshot, memory) = session.snapshot()?;
    let connection = &snapshot;
    let mut spans: Vec<SlowSpan> = Vec::new();
    let Some(minutes) = Minutes::of(connection, scope)? else { return Ok(spans) };
    let since = scope.since.map_or(i64::MIN, |since| since.as_micros());
    let until = scope.until.map_or(i64::MAX, |until| until.as_micros().saturating_sub(1));
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
                event_type: memory.name(connection, row.get(2)?)?,
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
    let mut rows = blocks.query([since, until])?;
    let mut candidates = Descending::default();
    let mut ended = ControlFlow::Continue(());
    while let Some(row) = rows.next()? {
        ended = candidates.begin_source(row.get(0)?, &mut visit)?;
        if ended.is_break() {
            break;
        }
        for (event, entry) in entries(row.get(1)?, row.get_ref(2)?.as_bytes().unwrap_or_default()) {
            if let Some(duration) = entry.duration
                && (since..=until).contains(&entry.ts)
                && minutes.workflow.is_none_or(|workflow| workflow == entry.workflow)
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
