//! What events say in figures: runs, steps, retries, sagas, compensations, dependencies.

use std::sync::Arc;

use super::catalogue;
use super::{CounterFamily, Exemplar, HistogramFamily, Meter};
use throughline_model::{EventSink, Status, TraceEvent, names};

/// The sink that turns ends of spans into measurements. What HTTP does is measured by its middleware, and
/// what jobs do, but for their retries, by that of their workers.
pub(crate) struct EventMetrics {
    workflows: HistogramFamily<3>,
    steps: HistogramFamily<4>,
    retries: CounterFamily<3>,
    sagas: HistogramFamily<2>,
    compensations: HistogramFamily<2>,
    dependencies: HistogramFamily<3>,
    points: CounterFamily<1>,
}

impl EventMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            workflows: meter.histogram(&catalogue::WORKFLOW_DURATION),
            steps: meter.histogram(&catalogue::STEP_DURATION),
            retries: meter.counter(&catalogue::RETRIES),
            sagas: meter.histogram(&catalogue::SAGA_DURATION),
            compensations: meter.histogram(&catalogue::COMPENSATION_DURATION),
            dependencies: meter.histogram(&catalogue::DEPENDENCY_DURATION),
            points: meter.counter(&catalogue::POINT_EVENTS),
        }
    }

    fn end(&self, event: &TraceEvent, seconds: f64) {
        let attr = |key| event.attrs.get(key).unwrap_or_default();
        let (name, status) = (&*event.event_type, event.status.as_str());
        let (tenant, workflow) = (attr(names::attrs::TENANT), event.workflow.as_deref().unwrap_or_default());
        if name == names::WORKFLOW_ABANDONED {
            // It says how long ago it began, not how long it took: nobody worked on it.
            return;
        }
        if is_one_of(name, [names::WORKFLOW_COMPLETED, names::WORKFLOW_FAILED, names::WORKFLOW_CANCELLED]) {
            self.workflows.with([tenant, workflow, status]).record(seconds);
        } else if is_one_of(name, [names::SAGA_COMPLETED, names::SAGA_FAILED, names::SAGA_CANCELLED]) {
            self.sagas.with([attr(names::attrs::SAGA), status]).record(seconds);
        } else if event.has_tag(names::tags::COMPENSATION) {
            self.compensations.with([workflow, status]).record(seconds);
        } else if event.has_tag(names::tags::DEPENDENCY) {
            let kind = name.strip_prefix(names::DEPENDENCY_PREFIX).unwrap_or(name);
            self.dependencies.with([kind, attr(names::attrs::DEPENDENCY), status]).record(seconds);
        } else if name != names::HTTP_REQUEST {
            let step_type = event.attrs.get(names::attrs::STEP_TYPE).unwrap_or(name);
            if !name.starts_with(names::JOB_PREFIX) {
                self.steps.with([tenant, workflow, step_type, status]).record(seconds);
            }
            if event.attempt.is_some_and(|attempt| attempt > 1) {
                self.retries.with([workflow, step_type, status]).increment(1);
            }
        }
    }
}

impl EventSink for EventMetrics {
    fn name(&self) -> &str {
        "metrics"
    }

    fn on_event(&self, event: &Arc<TraceEvent>) {
        match event.duration_us {
            Some(micros) => Exemplar::of(event).scope(|| self.end(event, micros as f64 / 1e6)),
            None if event.status != Status::Pending => self.points.with([&event.event_type]).increment(1),
            None => {}
        }
    }
}

fn is_one_of<const N: usize>(name: &str, names: [&str; N]) -> bool {
    names.contains(&name)
}
