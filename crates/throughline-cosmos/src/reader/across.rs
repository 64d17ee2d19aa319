//! Answers across runs.
//!
//! The service neither counts nor groups across partitions, so what a question is about is read: the documents of runs
//! where these have the answer, and else the events. That is charged for, and has a bound.

use std::collections::BTreeMap;
use std::time::Duration;

use azure_data_cosmos::FeedScope;
use throughline_model::names::tags;
use throughline_model::{
    Bucket, ChoiceOutcome, Filter, HotSpot, Liveness, Log, LoggedRun, Rate, ReadError, RunState, Scope,
    SlowSpan, StageTimes, TraceEvent, TypeRate,
};

use super::runs::{self, Found};
use crate::container::Container;
use crate::document::RUN;
use crate::error::Fault;
use crate::partition::{EVENT, read};
use crate::question::Question;

/// How many documents an answer is made of at most.
const MAX_DOCUMENTS: usize = 100_000;

fn check<T>(documents: Vec<T>) -> Result<Vec<T>, Fault> {
    match documents.len() > MAX_DOCUMENTS {
        true => Err(Fault::Read(ReadError::InvalidQuery {
            reason: format!(
                "the answer would be made of more than {MAX_DOCUMENTS} documents; ask for a shorter time"
            ),
        })),
        false => Ok(documents),
    }
}

/// The runs that started in a scope.
async fn runs_in(container: &Container, scope: &Scope) -> Result<Vec<Found>, Fault> {
    let mut question = Question::about(RUN);
    question.require_scope(scope, "c.place");
    let documents = runs::documents(container, question, "", Some(MAX_DOCUMENTS + 1)).await?;
    runs::stand(container, check(documents)?).await
}

async fn events(container: &Container, question: Question) -> Result<Vec<TraceEvent>, Fault> {
    let query = question.query(EVENT, "")?;
    let found = container.query(FeedScope::full_container(), query, Some(MAX_DOCUMENTS + 1)).await?;
    read(check(found.items)?)
}

/// The events in a scope. How their runs stand is not asked of them.
async fn events_in(container: &Container, scope: &Scope) -> Result<Log<Box<TraceEvent>>, Fault> {
    let mut question = Question::about("event");
    question.require_scope(scope, "c.at");
    Ok(Log::new(events(container, question).await?.into_iter().map(Box::new), |_| Liveness::Imported))
}

/// Runs without their events.
fn log(found: Vec<Found>) -> Log<Box<TraceEvent>> {
    let run =
        |found: Found| (found.summary.trace_id, LoggedRun { summary: found.summary, events: Vec::new() });
    Log { runs: found.into_iter().map(run).collect::<BTreeMap<_, _>>() }
}

pub(super) async fn failure_rate(container: &Container, scope: &Scope) -> Result<Rate, Fault> {
    Ok(log(runs_in(container, scope).await?).failure_rate(scope))
}

pub(super) async fn failure_rate_by_type(
    container: &Container,
    scope: &Scope,
) -> Result<Vec<TypeRate>, Fault> {
    Ok(events_in(container, scope).await?.failure_rate_by_type(scope))
}

pub(super) async fn slowest_stages(
    container: &Container,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<StageTimes>, Fault> {
    Ok(events_in(container, scope).await?.slowest_stages(scope, limit))
}

pub(super) async fn slowest_spans(
    container: &Container,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<SlowSpan>, Fault> {
    Ok(events_in(container, scope).await?.slowest_spans(scope, limit))
}

pub(super) async fn compensation_rate(container: &Container, scope: &Scope) -> Result<Rate, Fault> {
    let found = runs_in(container, scope).await?;
    let undone = found.iter().filter(|run| run.is_compensating).count();
    Ok(Rate::new(undone as u64, found.len() as u64))
}

pub(super) async fn hot_spots(
    container: &Container,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<HotSpot>, Fault> {
    let mut found = runs_in(container, scope).await?;
    found.retain(|run| run.summary.state == RunState::Failed);
    Ok(log(runs::complete(container, found).await?).hot_spots(scope, limit))
}

pub(super) async fn decision_outcomes(
    container: &Container,
    scope: &Scope,
) -> Result<Vec<ChoiceOutcome>, Fault> {
    let mut log = log(runs_in(container, scope).await?);
    // Nothing that happens in a run is before its start; what its decisions say of a workflow does not matter.
    let mut question = Question::about("event");
    question.require_kind(&Filter::new().tag(tags::DECISION));
    question.require_scope(&scope.since.map_or_else(Scope::all, |since| Scope::all().since(since)), "c.at");
    for event in events(container, question).await? {
        if let Some(run) = log.runs.get_mut(&event.trace_id) {
            run.events.push(Box::new(event));
        }
    }
    Ok(log.decision_outcomes(scope))
}

pub(super) async fn over_time(
    container: &Container,
    scope: &Scope,
    width: Duration,
) -> Result<Vec<Bucket>, Fault> {
    Ok(log(runs_in(container, scope).await?).over_time(scope, width)?)
}
