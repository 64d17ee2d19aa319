//! Answers across runs.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use throughline_model::fold::RunRow;
use throughline_model::{
    Bucket, ChoiceOutcome, Histogram, HotSpot, Rate, ReadError, Scope, SlowSpan, StageTimes, Text, Timestamp,
    TypeRate,
};
use tokio_postgres::{Client, Row};

use super::question::Question;
use crate::append::event_of;
use crate::error::Fault;
use crate::text::from_column;

/// More buckets than a chart or a person can use; a narrow width over a long log would fill the memory.
const MAX_BUCKETS: i64 = 100_000;

/// Events of runs that are there: the row of one that was removed goes first.
const EVENTS: &str = "FROM throughline.event e JOIN throughline.run r ON r.id = e.run AND r.day = e.day";

/// The two numbers in a row from here on.
fn rate(row: &Row, from: usize) -> Result<Rate, Fault> {
    let number = |at| Ok::<_, Fault>(u64::try_from(row.try_get::<_, i64>(at)?).unwrap_or_default());
    Ok(Rate::new(number(from)?, number(from + 1)?))
}

async fn count_of_runs(client: &Client, scope: &Scope, hits: &str, total: &str) -> Result<Rate, Fault> {
    let mut question = Question::default();
    question.require_scope(scope, "r.started", "r.workflow");
    let sql = format!(
        "SELECT count(*) FILTER (WHERE {hits}), count(*) FILTER (WHERE {total}) FROM throughline.run r WHERE {}",
        question.holds()
    );
    match &question.ask(client, &sql).await?[..] {
        [row] => rate(row, 0),
        _ => Ok(Rate::default()),
    }
}

pub(super) async fn failure_rate(client: &Client, scope: &Scope) -> Result<Rate, Fault> {
    count_of_runs(client, scope, "r.status = 2", "r.status <> 0").await
}

pub(super) async fn compensation_rate(client: &Client, scope: &Scope) -> Result<Rate, Fault> {
    count_of_runs(client, scope, "r.compensating", "true").await
}

pub(super) async fn failure_rate_by_type(client: &Client, scope: &Scope) -> Result<Vec<TypeRate>, Fault> {
    let mut question = Question::default();
    question.require_scope(scope, "e.ts", "e.workflow");
    let sql = format!(
        "SELECT e.event_type, count(*) FILTER (WHERE e.status = 2), count(*) {EVENTS} \
         WHERE e.status <> 0 AND {} GROUP BY e.event_type",
        question.holds()
    );
    let mut rates = Vec::new();
    for row in question.ask(client, &sql).await? {
        rates.push(TypeRate { event_type: from_column(row.try_get(0)?), rate: rate(&row, 1)? });
    }
    rates.sort_by(|a, b| b.rate.hits.cmp(&a.rate.hits).then_with(|| a.event_type.cmp(&b.event_type)));
    Ok(rates)
}

pub(super) async fn slowest_stages(
    client: &Client,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<StageTimes>, Fault> {
    let mut question = Question::default();
    question.require_scope(scope, "e.ts", "e.workflow");
    let sql = format!(
        "SELECT e.event_type, e.bucket, count(*), max(e.duration) {EVENTS} \
         WHERE e.bucket IS NOT NULL AND {} GROUP BY e.event_type, e.bucket",
        question.holds()
    );
    let mut stages: HashMap<Text, (Histogram, u64)> = HashMap::new();
    for row in question.ask(client, &sql).await? {
        let (bucket, count, max): (i32, i64, i64) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let (histogram, greatest) = stages.entry(from_column(row.try_get(0)?)).or_default();
        let bucket = u16::try_from(bucket).unwrap_or(u16::MAX);
        histogram.add(bucket, u64::try_from(count).unwrap_or_default());
        // The column ends at 63 bits; the bucket knows better what is beyond.
        let max = if max == i64::MAX { Histogram::upper_bound(bucket) } else { max.unsigned_abs() };
        *greatest = max.max(*greatest);
    }
    let times = |(event_type, (histogram, max_us)): (Text, (Histogram, u64))| StageTimes {
        event_type,
        count: histogram.count(),
        p50_us: histogram.quantile(0.5).min(max_us),
        p95_us: histogram.quantile(0.95).min(max_us),
        p99_us: histogram.quantile(0.99).min(max_us),
        max_us,
    };
    let mut stages: Vec<_> = stages.into_iter().map(times).collect();
    stages.sort_by(|a, b| b.p95_us.cmp(&a.p95_us).then_with(|| a.event_type.cmp(&b.event_type)));
    stages.truncate(limit);
    Ok(stages)
}

pub(super) async fn slowest_spans(
    client: &Client,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<SlowSpan>, Fault> {
    let mut question = Question::default();
    question.require_scope(scope, "e.ts", "e.workflow");
    // With all that are as slow as the last one: which of them come first is for their ids to say.
    let sql = format!(
        "SELECT e.event::text {EVENTS} WHERE e.duration IS NOT NULL AND {} \
         ORDER BY e.duration DESC FETCH FIRST {} ROWS WITH TIES",
        question.holds(),
        i64::try_from(limit).unwrap_or(i64::MAX)
    );
    let mut spans = Vec::new();
    for row in question.ask(client, &sql).await? {
        let event = event_of(&row)?;
        if let Some(duration_us) = event.duration_us {
            let (trace_id, span_id, event_type) = (event.trace_id, event.span_id, event.event_type);
            spans.push(SlowSpan { trace_id, span_id, event_type, duration_us });
        }
    }
    spans.sort_by_key(|span| (std::cmp::Reverse(span.duration_us), span.trace_id, span.span_id));
    spans.truncate(limit);
    Ok(spans)
}

pub(super) async fn hot_spots(client: &Client, scope: &Scope, limit: usize) -> Result<Vec<HotSpot>, Fault> {
    let mut question = Question::default();
    question.require_scope(scope, "r.started", "r.workflow");
    let sql = format!(
        "SELECT r.state::text FROM throughline.run r WHERE r.has_failure AND r.status = 2 AND {}",
        question.holds()
    );
    let mut counts: BTreeMap<(Text, Option<Text>), u64> = BTreeMap::new();
    for row in question.ask(client, &sql).await? {
        let state: RunRow = serde_json::from_str(row.try_get(0)?)
            .map_err(|_| Fault::Damaged("the column `state` of a run can't be read".to_owned()))?;
        if let Some(blamed) = state.blamed() {
            let error_type = blamed.error.as_ref().map(|error| error.kind.clone());
            *counts.entry((blamed.event_type.clone(), error_type)).or_default() += 1;
        }
    }
    Ok(HotSpot::rank(counts, limit))
}

pub(super) async fn decision_outcomes(client: &Client, scope: &Scope) -> Result<Vec<ChoiceOutcome>, Fault> {
    let mut question = Question::default();
    question.require_scope(scope, "r.started", "r.workflow");
    let sql = format!(
        "SELECT e.event_type, e.choice, count(DISTINCT r.id) FILTER (WHERE r.status = 2), count(DISTINCT r.id) {EVENTS} \
         WHERE e.choice IS NOT NULL AND r.status <> 0 AND {} GROUP BY e.event_type, e.choice",
        question.holds()
    );
    let mut outcomes = Vec::new();
    for row in question.ask(client, &sql).await? {
        outcomes.push(ChoiceOutcome {
            decision: from_column(row.try_get(0)?),
            choice: from_column(row.try_get(1)?),
            failed: rate(&row, 2)?,
        });
    }
    outcomes.sort_by(|a, b| (&a.decision, &a.choice).cmp(&(&b.decision, &b.choice)));
    Ok(outcomes)
}

pub(super) async fn over_time(client: &Client, scope: &Scope, width: Duration) -> Result<Vec<Bucket>, Fault> {
    let width = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(60_000_000);
    let mut question = Question::default();
    question.require_scope(scope, "r.started", "r.workflow");
    let unknown = question.number(Timestamp::UNKNOWN.as_micros());
    question.require(format!("r.started <> {unknown}"));
    let wide = question.number(width);
    let sql = format!(
        "SELECT floor(r.started::numeric / {wide})::bigint, count(*) FILTER (WHERE r.status = 2), \
         count(*) FILTER (WHERE r.status <> 0) FROM throughline.run r WHERE {} GROUP BY 1",
        question.holds()
    );
    let mut rates: BTreeMap<i64, Rate> = BTreeMap::new();
    for row in question.ask(client, &sql).await? {
        rates.insert(row.try_get(0)?, rate(&row, 1)?);
    }
    let (Some((&first, _)), Some((&last, _))) = (rates.first_key_value(), rates.last_key_value()) else {
        return Ok(Vec::new());
    };
    if last.saturating_sub(first) >= MAX_BUCKETS {
        return Err(Fault::Read(ReadError::InvalidQuery {
            reason: format!(
                "buckets of {} s from the first run to the last are more than {MAX_BUCKETS}; ask for wider ones or a \
                 shorter time",
                width / 1_000_000
            ),
        }));
    }
    let bucket = |at: i64| Bucket {
        start: Timestamp::from_micros(at.saturating_mul(width)),
        failed: rates.get(&at).copied().unwrap_or_default(),
    };
    Ok((first..=last).map(bucket).collect())
}
