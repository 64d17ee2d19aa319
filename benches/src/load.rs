//! The work that both sides of a comparison are given.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use throughline_core::{ErrorInfo, InstanceId, SpanId, Status, Timestamp, TraceEvent, TraceId, names};

use crate::duel::{nanos, quantile};

/// What many emitters got out of a destination.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Emits in a second, of all emitters together.
    pub per_second: f64,
    /// Half the emits took at most so many nanoseconds.
    pub p50: f64,
    /// 99 % of the emits took at most so many nanoseconds.
    pub p99: f64,
}

/// Counts the emits of one emitter and measures those that it waits for.
#[derive(Debug)]
pub struct Meter {
    wanted: usize,
    is_over: Option<Arc<AtomicBool>>,
    counted: usize,
    latencies: Vec<f64>,
}

impl Meter {
    /// A meter for so many emits.
    pub fn new(wanted: usize) -> Self {
        Self { wanted, is_over: None, counted: 0, latencies: Vec::with_capacity(wanted) }
    }

    /// A meter for all emits until something is over.
    pub fn until(is_over: Arc<AtomicBool>) -> Self {
        Self { wanted: usize::MAX, is_over: Some(is_over), counted: 0, latencies: Vec::new() }
    }

    /// Whether there is more to emit.
    pub fn wants_more(&self) -> bool {
        let is_over = self.is_over.as_ref().is_some_and(|is_over| is_over.load(Ordering::Relaxed));
        self.counted < self.wanted && !is_over
    }

    /// Measures one emit.
    ///
    /// # Errors
    /// That of the emit.
    pub async fn measure(&mut self, emit: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let started = Instant::now();
        emit.await?;
        self.latencies.push(nanos(started.elapsed()));
        self.counted += 1;
        Ok(())
    }

    /// The nanoseconds that this part of the measured emits (0 to 1) did not exceed.
    pub fn quantile(&self, part: f64) -> f64 {
        quantile(&self.latencies, part)
    }

    /// How many nanoseconds each measured emit took.
    pub fn into_latencies(self) -> Vec<f64> {
        self.latencies
    }

    /// Counts emits that were not measured by themselves.
    pub fn count(&mut self, emits: usize) {
        self.counted += emits;
    }
}

/// Lets so many emitters emit side by side, so often each.
///
/// # Errors
/// The first error of an emitter.
pub async fn drive<F, E>(emitters: usize, each: usize, emitter: F) -> anyhow::Result<Load>
where
    F: Fn(Meter) -> E,
    E: Future<Output = anyhow::Result<Meter>> + Send + 'static,
{
    let started = Instant::now();
    let tasks: Vec<_> = (0..emitters).map(|_| tokio::spawn(emitter(Meter::new(each)))).collect();
    let (mut counted, mut latencies) = (0, Vec::with_capacity(emitters * each));
    for task in tasks {
        let meter = task.await??;
        counted += meter.counted;
        latencies.extend(meter.latencies);
    }
    let per_second = counted as f64 / started.elapsed().as_secs_f64();
    Ok(Load { per_second, p50: quantile(&latencies, 0.5), p99: quantile(&latencies, 0.99) })
}

/// What a step of a loan application carries: about 200 bytes of JSON.
pub fn payload() -> Map<String, Value> {
    let payload = json!({
        "applicant": "a-93817",
        "product": "instalment-credit",
        "amount": 12_500,
        "currency": "EUR",
        "term_months": 48,
        "score": {"band": "B", "points": 641, "model": "scorecard-2026-02"},
        "checks": ["identity", "income", "bureau"],
    });
    payload.as_object().cloned().unwrap_or_default()
}

/// The events of so many runs, 15 of each, in the order in which concurrent runs would emit them: 64 runs go along
/// together, and the whole takes `span` up to `end`. In one run of twenty a step fails, and the run with it. The
/// same seed gives the same events.
pub fn runs(
    count: usize,
    end: Timestamp,
    span: Duration,
    seed: u64,
) -> impl Iterator<Item = Arc<TraceEvent>> {
    const ABREAST: usize = 64;
    let mut random = StdRng::seed_from_u64(seed);
    let start = end.minus(span);
    let blocks = count.div_ceil(ABREAST);
    let mut n = 0;
    (0..blocks).flat_map(move |block| {
        let width = ABREAST.min(count - block * ABREAST);
        let began =
            start.plus(span.checked_div(blocks as u32).unwrap_or_default().saturating_mul(block as u32));
        let runs: Vec<_> = (0..width).map(|_| run(&mut random)).collect();
        let mut events = Vec::with_capacity(width * EVENTS_OF_A_RUN);
        for place in 0..EVENTS_OF_A_RUN {
            for run in &runs {
                let Some(event) = run.get(place) else { continue };
                let mut event = event.clone();
                n += 1;
                event.n = n;
                event.timestamp = began.plus(Duration::from_micros((events.len() as u64) * 50));
                events.push(Arc::new(event));
            }
        }
        events
    })
}

/// How many events each of [`runs`] has.
pub const EVENTS_OF_A_RUN: usize = 15;

const STAGES: [&str; 6] = [
    "stage:validate",
    "stage:credit-check",
    "stage:income-check",
    "stage:price-offer",
    "stage:reserve-funds",
    "stage:notify",
];

/// A start, six steps of two events each, a decision among them, and an end.
fn run(random: &mut StdRng) -> Vec<TraceEvent> {
    let trace = TraceId::from_bytes(random.random()).unwrap_or_else(TraceId::random);
    let mut span = || SpanId::from_u64(random.random()).unwrap_or_else(SpanId::random);
    let (root, decision) = (span(), span());
    let steps = STAGES.map(|stage| (stage, span()));
    let failing = (random.random_range(0..20) == 0).then(|| random.random_range(0..STAGES.len()));
    let event = |span, event_type: &'static str| {
        let mut event = TraceEvent::new(trace, span, event_type, Timestamp::default(), "loan-service");
        event.instance = InstanceId::from_u64(1);
        event.workflow = Some("loan-approval".into());
        event.attrs = [("tenant", "acme")].into_iter().collect();
        event.parent_span_id = (span != root).then_some(root);
        event
    };
    let fail = |event: &mut TraceEvent| {
        event.status = Status::Failed;
        event.error = Some(Box::new(ErrorInfo {
            kind: "BureauError::Timeout".into(),
            message: "the bureau did not answer within 5 s".into(),
            chain: Vec::new(),
        }));
    };
    let mut events = Vec::with_capacity(EVENTS_OF_A_RUN);
    let mut start = event(root, names::WORKFLOW_STARTED);
    start.status = Status::Pending;
    events.push(start);
    let mut took = 0;
    for (index, (stage, span)) in steps.into_iter().enumerate() {
        let mut start = event(span, stage);
        start.status = Status::Pending;
        start.data = Some(payload());
        let mut end = event(span, stage);
        end.seq = 1;
        // Most steps are quick and a few are slow, as real ones are.
        let micros = 10_f64.powf(random.random_range(2.5..6.5)) as u64;
        end.duration_us = Some(micros);
        took += micros;
        if failing == Some(index) {
            fail(&mut end);
        }
        events.extend([start, end]);
        if index == 2 {
            let mut decision = event(decision, "ai:route");
            decision.tags = vec![names::tags::DECISION.into()];
            events.push(decision);
        }
    }
    let mut end =
        event(root, if failing.is_some() { names::WORKFLOW_FAILED } else { names::WORKFLOW_COMPLETED });
    end.seq = 1;
    end.duration_us = Some(took);
    if failing.is_some() {
        fail(&mut end);
    }
    events.push(end);
    events
}

/// The events of one run with half as many spans, in the order in which they happened: each span is below one that
/// began before it.
pub fn large_run(events: usize, seed: u64) -> Vec<TraceEvent> {
    let mut random = StdRng::seed_from_u64(seed);
    let trace = TraceId::from_key("large");
    let spans: Vec<_> =
        (0..events / 2).map(|_| SpanId::from_u64(random.random()).unwrap_or_else(SpanId::random)).collect();
    let event =
        |span, stage: &'static str| TraceEvent::new(trace, span, stage, Timestamp::default(), "loan-service");
    let mut starts = Vec::with_capacity(spans.len());
    for (index, span) in spans.iter().enumerate() {
        let mut start = event(*span, STAGES[index % STAGES.len()]);
        start.status = Status::Pending;
        start.parent_span_id = (index > 0).then(|| spans[random.random_range(0..index)]);
        starts.push(start);
    }
    let ends = starts.iter().rev().map(|start| {
        let mut end = start.clone();
        (end.seq, end.status, end.duration_us) = (1, Status::Success, Some(1_000));
        end
    });
    let mut events: Vec<_> = starts.iter().cloned().chain(ends).collect();
    for (n, event) in events.iter_mut().enumerate() {
        event.instance = InstanceId::from_u64(1);
        event.n = n as u64;
        event.timestamp = Timestamp::from_micros(1_790_000_000_000_000 + 10 * n as i64);
    }
    events
}

/// A large run in which every third span failed, and the run with the last of them.
pub fn failing_run(events: usize) -> Vec<TraceEvent> {
    let mut run = large_run(events, 7);
    let last = run.len() - 1;
    let ends =
        run.iter_mut().enumerate().filter(|(at, event)| event.seq == 1 && (at % 3 == 0 || *at == last));
    for (at, event) in ends {
        event.status = Status::Failed;
        event.error = Some(Box::new(ErrorInfo {
            kind: "StageError".into(),
            message: format!("stage {} failed: no answer", at % 100).into(),
            chain: vec!["no answer".into()],
        }));
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_fifteen_events_each_in_the_order_of_time() {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let events: Vec<_> = runs(100, now, Duration::from_secs(3600), 1).collect();
        assert_eq!(events.len(), 1500);
        assert!(events.is_sorted_by_key(|event| event.order()));
        assert!(events.iter().all(|event| event.timestamp < now));
        let again: Vec<_> = runs(100, now, Duration::from_secs(3600), 1).collect();
        assert_eq!(events, again);
        let roots = events.iter().filter(|event| event.is_root()).count();
        assert_eq!(roots, 200);
    }
}
