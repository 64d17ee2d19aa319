//! What runs have in common.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::{Extension, Json};
use serde::Serialize;
use throughline_core::{
    Bucket, ChoiceOutcome, HotSpot, Rate, ReadError, Scope, StageTimes, TraceAnalytics, names,
};

use super::library::waiting;
use super::runs::supported;
use super::wanted::Wanted;
use crate::access::Access;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::state::State;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// How many bars are drawn at most.
const BARS: usize = 120;
/// What the ends of workflows and sagas are called: as stages they would always fail.
const OUTCOMES: [&str; 6] = [
    names::WORKFLOW_COMPLETED,
    names::WORKFLOW_FAILED,
    names::WORKFLOW_CANCELLED,
    names::SAGA_COMPLETED,
    names::SAGA_FAILED,
    names::SAGA_CANCELLED,
];

/// What runs have in common. What a store can't answer, or the caller may not see, is `null`.
#[derive(Serialize)]
pub(crate) struct Patterns {
    failures: Option<WithInterval>,
    compensations: Option<WithInterval>,
    over_time: Option<Vec<Bucket>>,
    /// How wide the bars of `over_time` are, in seconds.
    width_s: u64,
    hot_spots: Option<Vec<HotSpot>>,
    slowest_stages: Option<Vec<StageTimes>>,
    decisions: Option<Vec<Outcome>>,
    /// Events that wait in an outbox for the store, and are in none of these figures.
    uncounted: Option<u64>,
}

/// A rate, and how sure it is.
#[derive(Serialize)]
struct WithInterval {
    #[serde(flatten)]
    rate: Rate,
    ratio: f64,
    /// The 95 % Wilson interval.
    interval: (f64, f64),
}

impl From<Rate> for WithInterval {
    fn from(rate: Rate) -> Self {
        Self { rate, ratio: rate.ratio(), interval: rate.interval() }
    }
}

/// How runs ended after a choice, and how sure that is.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    outcome: ChoiceOutcome,
    interval: (f64, f64),
}

/// Failures over time, where runs fail, slow stages, and how decisions turned out.
pub(crate) async fn patterns(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<Patterns>, Problem> {
    let wanted = Wanted::of(parameters, access, &["since", "until", "workflow", "limit"])?;
    let seen = state.source.seen_with(access);
    let Some(analytics) = seen.analytics.as_deref() else {
        return Err(ReadError::Unsupported { question: "patterns" }.into());
    };
    let scope = wanted.scope();
    // Before the store is asked: what leaves the outbox meanwhile is counted, and never left out unsaid.
    let uncounted = waiting(&state, access).await;
    let (over_time, width) = over_time(analytics, &scope).await?;
    Ok(Json(Patterns {
        failures: supported(analytics.failure_rate(&scope).await)?.map(WithInterval::from),
        compensations: supported(analytics.compensation_rate(&scope).await)?.map(WithInterval::from),
        over_time,
        width_s: width.as_secs(),
        hot_spots: supported(analytics.hot_spots(&scope, wanted.limit).await)?,
        slowest_stages: supported(slowest_stages(analytics, &scope, wanted.limit).await)?,
        decisions: supported(decisions(analytics, &scope).await)?,
        uncounted,
    }))
}

/// Bars as wide as the time that runs span makes sensible.
async fn over_time(
    analytics: &dyn TraceAnalytics,
    scope: &Scope,
) -> Result<(Option<Vec<Bucket>>, Duration), ReadError> {
    let wide = DAY * 366;
    let mut found = (None, wide);
    // From wide to narrow: each step is tried only where the one before says that it is not too much.
    for width in [wide, DAY * 30, DAY, HOUR, MINUTE * 5, MINUTE] {
        let Some(buckets) = supported(analytics.over_time(scope, width).await)? else { break };
        if buckets.len() > BARS {
            break;
        }
        let next = finer(width);
        let is_fine = next.is_none_or(|next| {
            let times = (width.as_secs() / next.as_secs()).max(1) as usize;
            // The first and the last may be all but empty.
            buckets.len().saturating_sub(2).saturating_mul(times) > BARS
        });
        found = (Some(buckets), width);
        if is_fine {
            break;
        }
    }
    Ok(found)
}

fn finer(width: Duration) -> Option<Duration> {
    [DAY * 30, DAY, HOUR, MINUTE * 5, MINUTE].into_iter().find(|finer| *finer < width)
}

async fn slowest_stages(
    analytics: &dyn TraceAnalytics,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<StageTimes>, ReadError> {
    let mut stages = analytics.slowest_stages(scope, limit.saturating_add(OUTCOMES.len())).await?;
    stages.retain(|stage| !OUTCOMES.contains(&stage.event_type.as_str()));
    stages.truncate(limit);
    Ok(stages)
}

async fn decisions(analytics: &dyn TraceAnalytics, scope: &Scope) -> Result<Vec<Outcome>, ReadError> {
    let outcomes = analytics.decision_outcomes(scope).await?;
    let with_interval = |outcome: ChoiceOutcome| Outcome { interval: outcome.failed.interval(), outcome };
    Ok(outcomes.into_iter().map(with_interval).collect())
}
