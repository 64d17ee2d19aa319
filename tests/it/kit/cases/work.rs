//! Workflows, what is left of them, and queues.

use throughline::metrics::catalogue::*;

use super::{Case, bad, runs, steps};

pub(super) fn workflows() -> Vec<Case> {
    const LOAN: &[(&str, &str)] = &[("workflow", "loan")];
    let (metric, step) = (WORKFLOW_DURATION.description(), STEP_DURATION.description());
    let compensation = COMPENSATION_DURATION.description();
    // It is quiet 59 minutes after a run ended, and fires after 60. The very first end makes the series, and is no increase.
    let stalled = Case::new(
        "WorkflowExecutionStalled",
        "critical",
        metric,
        LOAN,
        30,
        "2 runs of loan are in progress, and none ends",
        |tape, phase, tick| {
            tape.set(&WORKFLOWS_ACTIVE, ["acme", "loan"], 2.0);
            let ended = match phase {
                0 => [0, 2].contains(&tick),
                1 => tick == 0,
                _ => tick % 10 == 0,
            };
            tape.time(&WORKFLOW_DURATION, ["acme", "loan", "success"], usize::from(ended), 0.1);
        },
    );
    let undone = "Steps of loan could not be undone";
    vec![
        Case::new(
            "HighWorkflowFailureRate",
            "warning",
            metric,
            LOAN,
            5,
            "11% of the runs of loan fail",
            |tape, phase, _| {
                runs(tape, bad(phase, 11, 9));
            },
        ),
        Case::new(
            "CriticalWorkflowFailureRate",
            "critical",
            metric,
            LOAN,
            2,
            "51% of the runs of loan fail",
            |tape, phase, _| {
                runs(tape, bad(phase, 51, 49));
            },
        ),
        // Between 300 s and 900 s, after 2 of 7.
        Case::new(
            "SlowWorkflowExecutions",
            "warning",
            metric,
            LOAN,
            10,
            "loan takes 7m 51s for 1 in 20 runs",
            |tape, phase, _| {
                tape.time(&WORKFLOW_DURATION, ["acme", "loan", "success"], bad(phase, 93, 96), 200.0);
                tape.time(&WORKFLOW_DURATION, ["acme", "loan", "success"], bad(phase, 7, 4), 800.0);
            },
        ),
        Case { own_labels: true, ..stalled.window(30) },
        Case::new(
            "HighStepFailureRate",
            "warning",
            step,
            &[("step_type", "script")],
            5,
            "21% of the steps script fail",
            |tape, phase, _| steps(tape, "script", bad(phase, 21, 19)),
        ),
        Case::new(
            "HTTPActionFailures",
            "warning",
            step,
            &[("step_type", "action:http")],
            5,
            "11% of the steps action:http fail",
            |tape, phase, _| {
                steps(tape, "action:http", bad(phase, 11, 9));
                // Others do not count.
                steps(tape, "script", 15);
            },
        ),
        // The first failure of all makes the series.
        Case::new("CompensationsFail", "critical", compensation, LOAN, 0, undone, |tape, phase, tick| {
            tape.time(&COMPENSATION_DURATION, ["loan", "success"], 1, 0.1);
            tape.time(&COMPENSATION_DURATION, ["loan", "failed"], usize::from(phase == 1 && tick == 0), 0.1);
        })
        .window(15)
        .fires_after(1),
        // In a request, which is no workflow.
        Case::new(
            "CompensationsFail",
            "critical",
            compensation,
            &[],
            0,
            "Steps of a request could not be undone",
            |tape, phase, tick| {
                tape.time(&COMPENSATION_DURATION, ["", "failed"], usize::from(phase == 1 && tick == 0), 0.1);
            },
        )
        .window(15)
        .fires_after(1),
        // One more, of a series that is there.
        Case::new("CompensationsFail", "critical", compensation, LOAN, 0, undone, |tape, phase, tick| {
            tape.time(&COMPENSATION_DURATION, ["loan", "failed"], usize::from(phase < 2 && tick == 0), 0.1);
        })
        .window(15)
        .fires_after(1),
    ]
}

pub(super) fn open_runs() -> Vec<Case> {
    const LOAN: &[(&str, &str)] = &[("workflow", "loan")];
    let (open, orphaned) = (RUNS_OPEN.description(), RESOURCES_ORPHANED.description());
    let cases = vec![
        Case::new("RunsStuck", "warning", open, LOAN, 5, "Stuck runs of loan: 2", |tape, phase, _| {
            tape.set(&RUNS_OPEN, ["loan", "running"], 9.0);
            tape.set(&RUNS_OPEN, ["loan", "stuck"], bad(phase, 2.0, 0.0));
        }),
        // Requests have no workflow.
        Case::new(
            "RunsInterrupted",
            "warning",
            open,
            &[],
            10,
            "Interrupted runs of no workflow that nobody resumes: 1",
            |tape, phase, _| tape.set(&RUNS_OPEN, ["", "interrupted"], bad(phase, 1.0, 0.0)),
        ),
        Case::new(
            "ResourcesOrphaned",
            "critical",
            orphaned,
            LOAN,
            5,
            "Orphaned resources of loan: 3",
            |tape, phase, _| tape.set(&RESOURCES_ORPHANED, ["loan"], bad(phase, 3.0, 0.0)),
        ),
    ];
    cases.into_iter().map(|case| case.window(0)).collect()
}

pub(super) fn queues() -> Vec<Case> {
    const MAIL: &[(&str, &str)] = &[("queue", "mail")];
    const NOBODY: &str = "Nobody works on the jobs of throughline";
    let (depth, workers) = (QUEUE_DEPTH.description(), WORKERS_ACTIVE.description());
    let cases = vec![
        Case::new("QueueBacklog", "warning", depth, MAIL, 10, "101 jobs wait in mail", |tape, phase, _| {
            tape.set(&QUEUE_DEPTH, ["mail"], bad(phase, 101.0, 100.0));
        }),
        Case::new(
            "QueueBacklogCritical",
            "critical",
            depth,
            MAIL,
            5,
            "1001 jobs wait in mail",
            |tape, phase, _| {
                tape.set(&QUEUE_DEPTH, ["mail"], bad(phase, 1001.0, 1000.0));
            },
        ),
        Case::new("NoActiveWorkers", "critical", workers, &[], 2, NOBODY, |tape, phase, _| {
            tape.set(&WORKERS_ACTIVE, ["mail"], bad(phase, 0.0, 1.0));
        }),
        // No process says that it has workers.
        Case::new("NoActiveWorkers", "critical", workers, &[], 2, NOBODY, |tape, phase, _| {
            tape.set(&QUEUE_DEPTH, ["mail"], bad(phase, 1.0, 0.0));
        }),
        Case::new(
            "LowWorkerCount",
            "warning",
            workers,
            &[],
            5,
            "Only 1 worker works on the jobs of throughline",
            |tape, phase, _| tape.set(&WORKERS_ACTIVE, ["mail"], bad(phase, 1.0, 2.0)),
        ),
    ];
    cases.into_iter().map(|case| case.window(0)).collect()
}
