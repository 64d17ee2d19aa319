//! Workflows, workers, sagas and decisions.

use throughline_core::metrics::catalogue::{
    COMPENSATION_DURATION, JOB_ATTEMPTS, JOB_DURATION, JOB_WAIT, JOBS_IN_FLIGHT, POINT_EVENTS, QUEUE_DEPTH,
    QUEUE_DEPTH_FAILURES, RESOURCES_ORPHANED, RETRIES, RUNS_OPEN, SAGA_DURATION, STEP_DURATION, STEPS_ACTIVE,
    WORKERS_ACTIVE, WORKFLOW_DURATION, WORKFLOWS_ACTIVE,
};

use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::Window::Graph;
use crate::expr::{Expr, buckets, count, hours, level, share};

const BY_WORKFLOW: &[&str] = &["workflow"];
const BY_STEP: &[&str] = &["step_type"];
const BY_QUEUE: &[&str] = &["queue"];
const BY_JOB: &[&str] = &["queue", "job_type"];

pub(super) fn workflows() -> Dashboard {
    let runs = || count(&WORKFLOW_DURATION).rate(Graph).by(BY_WORKFLOW);
    let steps = || count(&STEP_DURATION).rate(Graph).by(BY_STEP);
    let panels = vec![
        Panel::graph("Runs by Workflow", Unit::PerSecond, "Runs that ended.").shows(runs(), "{{workflow}}"),
        Panel::graph("Failure Rate by Workflow", Unit::Share, "The share of runs that failed.")
            .shows(share(runs().with("status", "failed"), runs()), "{{workflow}}"),
        Panel::graph(
            "P95 Duration by Workflow",
            Unit::Seconds,
            "19 of 20 runs took less; the exemplars name runs.",
        )
        .shows(buckets(&WORKFLOW_DURATION).rate(Graph).by(BY_WORKFLOW).quantile(0.95), "{{workflow}}"),
        Panel::graph("Runs in Progress", Unit::Count, "Workflows that executors run now.")
            .shows(level(&WORKFLOWS_ACTIVE).by(BY_WORKFLOW), "{{workflow}}"),
        Panel::graph(
            "Open Runs",
            Unit::Count,
            "Runs in the store that are running, stuck or interrupted, requests among them.",
        )
        .shows(level(&RUNS_OPEN).by(&["workflow", "state"]).most(), "{{workflow}} {{state}}"),
        Panel::graph("Runs by Tenant", Unit::PerSecond, "Runs that ended, of each tenant.")
            .shows(count(&WORKFLOW_DURATION).rate(Graph).by(&["tenant"]), "{{tenant}}"),
        Panel::graph("Steps by Type", Unit::PerSecond, "Steps that ended.").shows(steps(), "{{step_type}}"),
        Panel::graph("Failure Rate by Step Type", Unit::Share, "The share of steps that failed.")
            .shows(share(steps().with("status", "failed"), steps()), "{{step_type}}"),
        Panel::graph("P95 Duration by Step Type", Unit::Seconds, "19 of 20 steps took less.")
            .shows(buckets(&STEP_DURATION).rate(Graph).by(BY_STEP).quantile(0.95), "{{step_type}}"),
        Panel::graph("Steps in Progress", Unit::Count, "Steps that executors run now.")
            .shows(level(&STEPS_ACTIVE).by(BY_STEP), "{{step_type}}"),
        Panel::table(
            "Failed Runs (24h)",
            Unit::Count,
            "How many runs of each workflow failed in 24 hours, the ten with the most; a row leads to its runs where the viewer is known.",
        )
        .shows(
            Expr::from(count(&WORKFLOW_DURATION).with("status", "failed").increase(hours(24)).by(BY_WORKFLOW))
                .top(10),
            "{{workflow}}",
        )
        .since("24h"),
        Panel::graph(
            "Retries",
            Unit::PerSecond,
            "Second and later attempts, by how they ended: what was saved, and what was not.",
        )
        .shows(count(&RETRIES).rate(Graph).by(&["step_type", "status"]), "{{step_type}} {{status}}"),
    ];
    Dashboard {
        name: "workflows",
        title: "Workflows",
        about: "Which workflow or step fails or is slow?",
        panels,
    }
}

pub(super) fn workers() -> Dashboard {
    let panels = vec![
        Panel::graph("Workers", Unit::Count, "Workers that take jobs.")
            .shows(level(&WORKERS_ACTIVE), "workers"),
        Panel::graph("Queue Depth", Unit::Count, "Jobs that wait.")
            .shows(level(&QUEUE_DEPTH).by(BY_QUEUE), "{{queue}}"),
        Panel::graph("Jobs in Progress", Unit::Count, "Jobs that workers work on.")
            .shows(level(&JOBS_IN_FLIGHT).by(BY_JOB), "{{queue}} {{job_type}}"),
        Panel::graph(
            "P95 Wait",
            Unit::Seconds,
            "How long 19 of 20 jobs waited at most before a worker took them.",
        )
        .shows(buckets(&JOB_WAIT).rate(Graph).by(BY_JOB).quantile(0.95), "{{queue}} {{job_type}}"),
        Panel::graph("P95 Duration", Unit::Seconds, "How long 19 of 20 attempts took at most.")
            .shows(buckets(&JOB_DURATION).rate(Graph).by(BY_JOB).quantile(0.95), "{{queue}} {{job_type}}"),
        Panel::graph("Attempts by Outcome", Unit::PerSecond, "Attempts of jobs, by how they ended.")
            .shows(count(&JOB_ATTEMPTS).rate(Graph).by(&["queue", "outcome"]), "{{queue}} {{outcome}}"),
        Panel::graph("Depth Not Known", Unit::PerSecond, "Readings of the depth of a queue that failed.")
            .shows(count(&QUEUE_DEPTH_FAILURES).rate(Graph).by(&["queue", "reason"]), "{{queue}} {{reason}}")
            .wide(),
    ];
    Dashboard { name: "workers", title: "Workers and Queues", about: "Do workers keep up?", panels }
}

pub(super) fn sagas() -> Dashboard {
    let sagas = || count(&SAGA_DURATION).rate(Graph).by(&["saga"]);
    let undone = || count(&COMPENSATION_DURATION);
    let panels = vec![
        Panel::graph("Sagas by Status", Unit::PerSecond, "Sagas that ended, by how.")
            .shows(sagas().by(&["saga", "status"]), "{{saga}} {{status}}"),
        Panel::graph(
            "Failure Rate by Saga",
            Unit::Share,
            "The share of sagas that did not succeed, and were undone.",
        )
        .shows(share(sagas().without("status", "success"), sagas()), "{{saga}}"),
        Panel::graph("P95 Duration by Saga", Unit::Seconds, "19 of 20 sagas took less, undoing included.")
            .shows(buckets(&SAGA_DURATION).rate(Graph).by(&["saga"]).quantile(0.95), "{{saga}}"),
        Panel::graph(
            "Compensations by Status",
            Unit::PerSecond,
            "Steps that were undone; a failure leaves something that stands.",
        )
        .shows(undone().rate(Graph).by(&["workflow", "status"]), "{{workflow}} {{status}}"),
        Panel::bars(
            "Compensations in 24 Hours",
            Unit::Count,
            "How many steps were undone, by how that ended.",
        )
        .shows(undone().increase(hours(24)).by(&["workflow", "status"]), "{{workflow}} {{status}}"),
        Panel::graph(
            "Orphaned Resources",
            Unit::Count,
            "What sagas of the last day did, and nothing will remove any more.",
        )
        .shows(level(&RESOURCES_ORPHANED).by(BY_WORKFLOW).most(), "{{workflow}}"),
    ];
    Dashboard { name: "sagas", title: "Sagas and Compensations", about: "Is what failed undone?", panels }
}

pub(super) fn decisions() -> Dashboard {
    let points = || count(&POINT_EVENTS);
    let by = || points().rate(Graph).by(&["event_type"]);
    let panels = vec![
        Panel::graph(
            "Decisions",
            Unit::PerSecond,
            "Decisions that were recorded; `throughline decisions` says what followed from each.",
        )
        .shows(by().like("event_type", "(ai|decision):.*"), "{{event_type}}"),
        Panel::graph("Business Events", Unit::PerSecond, "What happened in terms of the business.")
            .shows(by().like("event_type", "business:.*"), "{{event_type}}"),
        Panel::bars("Top Events in 24 Hours", Unit::Count, "The ten point events that were recorded most.")
            .shows(Expr::from(points().increase(hours(24)).by(&["event_type"])).top(10), "{{event_type}}")
            .wide(),
    ];
    Dashboard {
        name: "decisions",
        title: "Decisions and Events",
        about: "What was decided, and how often?",
        panels,
    }
}
