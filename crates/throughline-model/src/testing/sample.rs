//! [`sample_log`], a log of many runs.

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::builder::{RunBuilder, run};
use crate::names::{
    COMPENSATE_PREFIX, SAGA_CANCELLED, SAGA_COMPENSATING, SAGA_DETACHED, SAGA_STARTED, attrs, data, tags,
};
use crate::{InstanceId, Link, Relation, SpanId, Timestamp, TraceEvent};

/// A log of so many runs with all that runs have: retries, decisions, failures, compensations, runs that are
/// cancelled, still open, resumed, that put jobs into a queue, whose sagas continue without their callers, or of which the root never appeared.
///
/// It begins at 2026-03-01T00:00:00Z; runs start within a minute and a half of each other and no two at the same moment.
/// The same seed gives the same log (except across versions of this library). The events are emitted by these instances in
/// turn (by [`InstanceId::IMPORTED`] if none are named), and come in order.
///
/// ```
/// use throughline_model::InstanceId;
/// use throughline_model::testing::sample_log;
///
/// let log = sample_log(1, 50, &[InstanceId::from_u64(1), InstanceId::from_u64(2)]);
/// assert!(log.is_sorted_by_key(|event| event.order()));
/// assert_eq!(log, sample_log(1, 50, &[InstanceId::from_u64(1), InstanceId::from_u64(2)]));
/// ```
pub fn sample_log(seed: u64, runs: usize, instances: &[InstanceId]) -> Vec<TraceEvent> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut start = Timestamp::from_micros(1_772_323_200_000_000);
    let mut events = Vec::new();
    for index in 0..runs {
        start = start.plus(Duration::from_micros(random.random_range(1..90_000_000)));
        let instance = match instances {
            [] => InstanceId::IMPORTED,
            _ => instances[index % instances.len()],
        };
        let successor = match instances {
            [] => InstanceId::IMPORTED,
            _ => instances[(index + 1) % instances.len()],
        };
        let workflow = pick(&mut random, &["loan-approval", "onboarding", "über%weisung_"]);
        let builder = run(workflow)
            .key(&format!("{workflow} {seed}-{index}"))
            .service(pick(&mut random, &["loan-service", "batch"]))
            .instance(instance)
            .at(start);
        events.extend(one_run(builder, successor, &mut random));
    }
    events.sort_by_key(TraceEvent::order);
    let mut places: HashMap<InstanceId, u64> = HashMap::new();
    for event in &mut events {
        let place = places.entry(event.instance).or_default();
        event.n = *place;
        *place += 1;
    }
    events
}

const STAGES: [&str; 8] = [
    "stage:credit-check",
    "stage:credit-check-deep",
    "stage:reserve-funds",
    "stage:100%_sure",
    "stage:100 sure",
    "Stage:credit-check",
    "dependency:db",
    "stage:*'\"\\",
];

fn one_run(mut run: RunBuilder, successor: InstanceId, random: &mut StdRng) -> Vec<TraceEvent> {
    run.root();
    let mut done: Vec<(SpanId, &str)> = Vec::new();
    let mut failed = false;
    for _ in 0..random.random_range(1..6) {
        if random.random_bool(0.2) {
            decide(&mut run, random);
        }
        let stage = pick(random, &STAGES);
        let parent = match done.last() {
            Some((span, _)) if random.random_bool(0.2) => *span,
            _ => run.root(),
        };
        let (span, well) = attempt(&mut run, parent, stage, random);
        if !well {
            failed = true;
            break;
        }
        done.push((span, stage));
        if random.random_bool(0.04) {
            run.resume(successor);
        }
    }
    if failed && random.random_bool(0.7) {
        run.point(SAGA_COMPENSATING);
        for (original, stage) in done.iter().rev() {
            compensate(&mut run, *original, stage, random);
        }
    }
    if random.random_bool(0.06) {
        leave_saga(&mut run, random);
    } else if random.random_bool(0.1) {
        run.begin("stage:waiting");
        run.edit(|event| (event.step_index, event.step_total) = (Some(4), Some(10)));
    } else if random.random_bool(0.06) {
        run.cancel_run();
    } else if failed {
        run.fail_run("StepFailed", "a step failed");
    } else {
        run.complete_run();
    }
    if random.random_bool(0.15) {
        enqueue(&mut run, successor, random);
    }
    let tenant = pick(random, &["acme", "globex", "a'b\"c"]);
    let mut events = run.events();
    events.iter_mut().for_each(|event| event.attrs = event.attrs.with("tenant", tenant));
    if random.random_bool(0.04) {
        events.retain(|event| !event.is_root());
    }
    events
}

/// Tries a stage until it succeeds, at most three times.
fn attempt(run: &mut RunBuilder, parent: SpanId, stage: &str, random: &mut StdRng) -> (SpanId, bool) {
    let mut number = 1;
    loop {
        let span = run.begin_in(parent, stage);
        run.edit(|event| {
            event.attempt = Some(number);
            event.tags.push(tags::COMPENSABLE.into());
            event.data = Some(object(json!({ data::INPUT: { "amount": 100 + number } })));
        });
        run.pass(Duration::from_micros(random.random_range(0..5_000_000)));
        if random.random_bool(0.8) {
            run.succeed(span);
            return (span, true);
        }
        let kind = pick(random, &["Timeout", "Refused", "panic"]);
        run.fail(span, kind, "it did not work");
        if number == 3 || random.random_bool(0.5) {
            return (span, false);
        }
        number += 1;
    }
}

/// The caller of a saga is dropped, and the run with it. The saga is undone without it or, if its process died, is still open.
fn leave_saga(run: &mut RunBuilder, random: &mut StdRng) {
    let root = run.root();
    let saga = run.begin_in(root, SAGA_STARTED);
    run.edit(|event| event.attrs = event.attrs.with(attrs::SAGA, "left"));
    let stage = STAGES[0];
    let step = run.begin_in(saga, stage);
    run.edit(|event| event.tags.push(tags::COMPENSABLE.into()));
    run.succeed(step);
    run.detach(saga, SAGA_DETACHED);
    run.cancel_run();
    if random.random_bool(0.7) {
        compensate(run, step, stage, random);
        run.cancel(saga);
        run.edit(|event| event.event_type = SAGA_CANCELLED.into());
    }
}

/// Jobs of a queue, each with up to three attempts; the last may be open, failed or cancelled.
fn enqueue(run: &mut RunBuilder, worker: InstanceId, random: &mut StdRng) {
    let parent = run.root();
    for _ in 0..random.random_range(1..3) {
        let mut before = None;
        for number in 1..=random.random_range(1..4) {
            let job = run.begin_in(parent, "job:payout");
            run.edit(|event| {
                event.instance = worker;
                event.attempt = Some(number);
                event.tags = vec![tags::REMOTE_PARENT.into(), tags::DETACHED.into()];
                event.links.extend(before.map(|before| Link::to(Relation::RetryOf, before)));
            });
            let step = run.begin_in(job, pick(random, &STAGES));
            run.pass(Duration::from_micros(random.random_range(0..800_000)));
            match random.random_range(0..10) {
                0 => {}
                1 => run.cancel(job),
                2..5 => {
                    run.fail(step, "Refused", "it did not work");
                    run.fail(job, "Refused", "it did not work");
                }
                _ => {
                    run.succeed(step);
                    run.succeed(job);
                }
            }
            before = Some(job);
        }
    }
}

fn compensate(run: &mut RunBuilder, original: SpanId, stage: &str, random: &mut StdRng) {
    let name = stage.split_once(':').map_or(stage, |(_, name)| name);
    let span = run.begin(&format!("{COMPENSATE_PREFIX}{name}"));
    run.edit(|event| {
        event.tags.push(tags::COMPENSATION.into());
        event.links.push(Link::to(Relation::Compensates, original));
        event.attrs = event.attrs.with(attrs::RESOURCE, format!("resource of {name}"));
    });
    run.pass(Duration::from_micros(random.random_range(0..800_000)));
    match random.random_bool(0.85) {
        true => run.succeed(span),
        false => run.fail(span, "Gone", "there is nothing to undo"),
    }
}

fn decide(run: &mut RunBuilder, random: &mut StdRng) {
    run.point("ai:route");
    let choice = pick(random, &["fast", "thorough", "manual"]);
    run.edit(|event| {
        event.tags.push(tags::DECISION.into());
        event.data = Some(object(json!({ data::CHOICE: choice, data::CONFIDENCE: 0.7 })));
    });
}

fn pick(random: &mut StdRng, from: &[&'static str]) -> &'static str {
    from[random.random_range(0..from.len())]
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Log;
    use crate::{EventId, Liveness, RunState};

    #[test]
    fn a_log_of_two_hundred_runs_holds_every_kind_of_run() {
        let instances = [InstanceId::from_u64(1), InstanceId::from_u64(2), InstanceId::IMPORTED];
        let log = sample_log(1, 200, &instances);
        let runs = Log::new(log.iter(), |instance| match instance.to_u64() {
            1 => Liveness::Alive,
            2 => Liveness::Dead,
            _ => Liveness::Imported,
        });
        let states: BTreeSet<_> = runs.runs.values().map(|run| run.summary.state).collect();
        use RunState::{Cancelled, Failed, Interrupted, Running, Succeeded, Unfinished};
        assert_eq!(states, [Running, Interrupted, Unfinished, Succeeded, Failed, Cancelled].into());
        assert!(runs.runs.values().any(|run| run.events.iter().all(|event| !event.is_root())));
        assert!(log.iter().any(|event| event.event_type == crate::names::WORKFLOW_RESUMED));
        assert!(log.iter().any(|event| event.is_detached() && event.retried().next().is_some()));
        assert!(!runs.decision_outcomes(&crate::Scope::all()).is_empty());
        assert!(runs.compensation_rate(&crate::Scope::all()).hits > 0);
    }

    #[test]
    fn a_log_comes_in_order_without_repetition_and_the_same_from_the_same_seed() {
        let log = sample_log(7, 50, &[]);
        assert!(log.is_sorted_by(|a, b| a.order() < b.order()));
        assert_eq!(log.iter().map(TraceEvent::id).collect::<BTreeSet<EventId>>().len(), log.len());
        assert_eq!(log, sample_log(7, 50, &[]));
        assert_ne!(log, sample_log(8, 50, &[]));
    }
}
