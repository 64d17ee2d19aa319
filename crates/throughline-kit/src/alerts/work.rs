//! Workflows, steps, compensations, queues and workers.

use throughline_core::metrics::catalogue::{
    COMPENSATION_DURATION, QUEUE_DEPTH, RESOURCES_ORPHANED, RUNS_OPEN, STEP_DURATION, WORKERS_ACTIVE,
    WORKFLOW_DURATION, WORKFLOWS_ACTIVE,
};

use crate::alert::Severity::{Critical, Warning};
use crate::alert::{Alert, Group, for_minutes};
use crate::expr::{Expr, Series, Window, buckets, count, level, minutes, share};

const WINDOW: Window = minutes(5);
const BY_WORKFLOW: &[&str] = &["workflow"];
const BY_STEP: &[&str] = &["step_type"];
const BY_QUEUE: &[&str] = &["queue"];

fn steps() -> Series {
    count(&STEP_DURATION).rate(WINDOW).by(BY_STEP)
}

/// The share of steps that failed. One that was cancelled was not asked for any more.
fn failing(of: impl Fn(Series) -> Series) -> Expr {
    share(of(steps().with("status", "failed")), of(steps()))
}

pub(super) fn workflows() -> Group {
    let runs = || count(&WORKFLOW_DURATION).rate(WINDOW).by(BY_WORKFLOW);
    let failing_runs = || share(runs().with("status", "failed"), runs());
    let ended = count(&WORKFLOW_DURATION).increase(minutes(30)).by(BY_WORKFLOW).own_labels();
    let alerts = vec![
        Alert {
            name: "HighWorkflowFailureRate",
            severity: Warning,
            expr: failing_runs().above(0.1),
            lasting: for_minutes(5),
            summary: "{{ $value | humanizePercentage }} of the runs of {{ $labels.workflow }} fail",
            description: "More than 10 % of the runs of a workflow that ended in the last 5 minutes failed.",
            dashboard: "workflows",
        },
        Alert {
            name: "CriticalWorkflowFailureRate",
            severity: Critical,
            expr: failing_runs().above(0.5),
            lasting: for_minutes(2),
            summary: "{{ $value | humanizePercentage }} of the runs of {{ $labels.workflow }} fail",
            description: "More than half of the runs of a workflow that ended in the last 5 minutes failed.",
            dashboard: "workflows",
        },
        Alert {
            name: "SlowWorkflowExecutions",
            severity: Warning,
            expr: buckets(&WORKFLOW_DURATION).rate(WINDOW).by(BY_WORKFLOW).quantile(0.95).above(300.0),
            lasting: for_minutes(10),
            summary: "{{ $labels.workflow }} takes {{ $value | humanizeDuration }} for 1 in 20 runs",
            description: "The 95th percentile of the time of the runs of a workflow is above 5 minutes.",
            dashboard: "workflows",
        },
        Alert {
            name: "WorkflowExecutionStalled",
            severity: Critical,
            // Where none ever ended there is no series of those that did.
            expr: Expr::from(level(&WORKFLOWS_ACTIVE).by(BY_WORKFLOW))
                .above(0.0)
                .unless(Expr::from(ended).above(0.0)),
            lasting: for_minutes(30),
            summary: "{{ $value }} runs of {{ $labels.workflow }} are in progress, and none ends",
            description: "An executor has been running a workflow for half an hour, and no run of it ended in the last hour. \
                          Something that the runs wait for does not answer.",
            dashboard: "workflows",
        },
        Alert {
            name: "HighStepFailureRate",
            severity: Warning,
            expr: failing(|steps| steps).above(0.2),
            lasting: for_minutes(5),
            summary: "{{ $value | humanizePercentage }} of the steps {{ $labels.step_type }} fail",
            description: "More than 20 % of the steps of a type that ended in the last 5 minutes failed.",
            dashboard: "workflows",
        },
        Alert {
            name: "HTTPActionFailures",
            severity: Warning,
            expr: failing(|steps| steps.like("step_type", "(?i).*http.*")).above(0.1),
            lasting: for_minutes(5),
            summary: "{{ $value | humanizePercentage }} of the steps {{ $labels.step_type }} fail",
            description: "More than 10 % of the steps that call others over HTTP, by the name of their type, failed in the last \
                          5 minutes.",
            dashboard: "workflows",
        },
        Alert {
            name: "CompensationsFail",
            severity: Critical,
            expr: count(&COMPENSATION_DURATION)
                .without("status", "success")
                .by(BY_WORKFLOW)
                .growth(minutes(15)),
            lasting: for_minutes(0),
            summary: "Steps of {{ or $labels.workflow \"a request\" }} could not be undone",
            description: "At least one compensation did not succeed in the last 15 minutes: what its step did still stands, and \
                          somebody has to undo it or to decide that it stays.",
            dashboard: "sagas",
        },
    ];
    Group { name: "workflows", alerts }
}

/// What the store knows, and each instance says the same of.
pub(super) fn open_runs() -> Group {
    let open = |state| Expr::from(level(&RUNS_OPEN).with("state", state).by(BY_WORKFLOW).most());
    let alerts = vec![
        Alert {
            name: "RunsStuck",
            severity: Warning,
            expr: open("stuck").above(0.0),
            lasting: for_minutes(5),
            summary: "Stuck runs of {{ or $labels.workflow \"no workflow\" }}: {{ $value }}",
            description: "Nothing has happened in a run for 10 minutes, although its process is alive: it waits for something that \
                          does not answer, or takes long in one step.",
            dashboard: "workflows",
        },
        Alert {
            name: "RunsInterrupted",
            severity: Warning,
            expr: open("interrupted").above(0.0),
            lasting: for_minutes(10),
            summary: "Interrupted runs of {{ or $labels.workflow \"no workflow\" }} that nobody resumes: {{ $value }}",
            description: "The process of a run has been gone for 10 minutes, and no other one has resumed the run. What it did so \
                          far still stands.",
            dashboard: "workflows",
        },
        Alert {
            name: "ResourcesOrphaned",
            severity: Critical,
            expr: Expr::from(level(&RESOURCES_ORPHANED).by(BY_WORKFLOW).most()).above(0.0),
            lasting: for_minutes(5),
            summary: "Orphaned resources of {{ or $labels.workflow \"requests\" }}: {{ $value }}",
            description: "A saga of the last day could not be undone: what some of its steps did still stands, and no process will \
                          remove it any more.",
            dashboard: "sagas",
        },
    ];
    Group { name: "runs", alerts }
}

pub(super) fn queues() -> Group {
    let depth = || Expr::from(level(&QUEUE_DEPTH).by(BY_QUEUE));
    let workers = || Expr::from(level(&WORKERS_ACTIVE));
    let alerts = vec![
        Alert {
            name: "QueueBacklog",
            severity: Warning,
            expr: depth().above(100.0),
            lasting: for_minutes(10),
            summary: "{{ $value }} jobs wait in {{ $labels.queue }}",
            description: "More than 100 jobs have been waiting in a queue for 10 minutes.",
            dashboard: "workers",
        },
        Alert {
            name: "QueueBacklogCritical",
            severity: Critical,
            expr: depth().above(1000.0),
            lasting: for_minutes(5),
            summary: "{{ $value }} jobs wait in {{ $labels.queue }}",
            description: "More than 1,000 jobs have been waiting in a queue for 5 minutes.",
            dashboard: "workers",
        },
        Alert {
            name: "NoActiveWorkers",
            severity: Critical,
            // A process that died says nothing of its workers, while another one may tell what waits for them.
            expr: workers().equals(0.0).or(Expr::from(level(&QUEUE_DEPTH)).above(0.0).unless(workers())),
            lasting: for_minutes(2),
            summary: "Nobody works on the jobs of {{ $labels.job }}",
            description: "No worker is running, or jobs wait and no process says that it has a worker.",
            dashboard: "workers",
        },
        Alert {
            name: "LowWorkerCount",
            severity: Warning,
            expr: workers().below(2.0).and(workers().above(0.0)),
            lasting: for_minutes(5),
            summary: "Only {{ $value }} worker works on the jobs of {{ $labels.job }}",
            description: "A single worker is running: if it stops, jobs are left waiting.",
            dashboard: "workers",
        },
    ];
    Group { name: "queues", alerts }
}
