//! Workflows, steps, sagas, jobs and queues.

use super::{
    Alias, Counter, Description, Gauge, Histogram, Kind, Metric, Unit, catalogue, completed, label, mapped,
};

/// A step may take a millisecond or wait for a person.
const STEP_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];
const WORKFLOW_SECONDS: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];

catalogue! {
    WORK:

    WORKFLOW_DURATION: Histogram["tenant", "workflow", "status"] = "throughline_workflow_duration_seconds", Seconds,
        "How long runs of workflows took, by how they ended.",
        buckets: WORKFLOW_SECONDS,
        aliases: [
            Alias::counter(
                "{prefix}_workflow_executions_total",
                &[
                    label("tenant_id", "tenant"),
                    label("workflow_id", "workflow"),
                    mapped("status", "status", completed),
                ],
            ),
            Alias::histogram(
                "{prefix}_workflow_execution_duration_seconds",
                &[label("tenant_id", "tenant"), label("workflow_id", "workflow")],
            ),
        ];
    WORKFLOWS_ACTIVE: Gauge["tenant", "workflow"] = "throughline_workflows_active", Count,
        "How many workflows an executor is running.";
    STEP_DURATION: Histogram["tenant", "workflow", "step_type", "status"] =
        "throughline_step_duration_seconds", Seconds,
        "How long steps took, by how they ended.",
        buckets: STEP_SECONDS,
        aliases: [
            Alias::counter(
                "{prefix}_step_executions_total",
                &[
                    label("tenant_id", "tenant"),
                    label("workflow_id", "workflow"),
                    label("step_type", "step_type"),
                    mapped("status", "status", completed),
                ],
            ),
            Alias::histogram(
                "{prefix}_step_execution_duration_seconds",
                &[
                    label("tenant_id", "tenant"),
                    label("workflow_id", "workflow"),
                    label("step_type", "step_type"),
                ],
            ),
        ];
    STEPS_ACTIVE: Gauge["step_type"] = "throughline_steps_active", Count,
        "How many steps an executor is running.";
    RETRIES: Counter["workflow", "step_type", "status"] = "throughline_retries_total", Count,
        "Second and later attempts of steps and jobs, by how they ended; for a job, the step type is its event type.";
    SAGA_DURATION: Histogram["saga", "status"] = "throughline_saga_duration_seconds", Seconds,
        "How long sagas took, by how they ended.",
        buckets: WORKFLOW_SECONDS;
    COMPENSATION_DURATION: Histogram["workflow", "status"] = "throughline_compensation_duration_seconds", Seconds,
        "How long compensations of steps took, by how they ended.",
        buckets: STEP_SECONDS;
    RUNS_OPEN: Gauge["workflow", "state"] = "throughline_runs_open", Count,
        "Runs in the store that have not ended: running, stuck (nothing has happened in them for 10 minutes), or interrupted \
         because their process is gone. Measured where a service is told to, by every instance the same.";
    RESOURCES_ORPHANED: Gauge["workflow"] = "throughline_resources_orphaned", Count,
        "What the sagas of the last day did, and neither undid nor ever will, by the store. Measured with the open runs.";
    POINT_EVENTS: Counter["event_type"] = "throughline_point_events_total", Count,
        "Point events: business events, decisions, feature usage.";
    QUEUE_DEPTH: Gauge["queue"] = "throughline_queue_depth", Count,
        "How many jobs wait in a queue.",
        aliases: [Alias::gauge("{prefix}_queue_depth", &[label("queue", "queue")])];
    QUEUE_DEPTH_FAILURES: Counter["queue", "reason"] = "throughline_queue_depth_failures_total", Count,
        "How often the depth of a queue could not be read: error, panic, timeout, or no_timers if the runtime has no timers.";
    WORKERS_ACTIVE: Gauge["queue"] = "throughline_workers_active", Count,
        "How many workers are running.",
        aliases: [Alias::gauge("{prefix}_active_workers", &[])];
    JOBS_IN_FLIGHT: Gauge["queue", "job_type"] = "throughline_jobs_in_flight", Count,
        "How many jobs workers are working on.";
    JOB_WAIT: Histogram["queue", "job_type"] = "throughline_job_wait_seconds", Seconds,
        "How long jobs waited before a worker picked them up.",
        buckets: WORKFLOW_SECONDS;
    JOB_DURATION: Histogram["queue", "job_type", "status"] = "throughline_job_duration_seconds", Seconds,
        "How long attempts of jobs took, by how they ended.",
        buckets: STEP_SECONDS;
    JOB_ATTEMPTS: Counter["queue", "job_type", "outcome"] = "throughline_job_attempts_total", Count,
        "Attempts of jobs, first and later ones, by how they ended.";
}
