//! What has to be recorded for each alert to fire, and to only just not fire. The numbers are chosen by hand.

use throughline::metrics::catalogue::*;

use super::tape::{EXPIRES, Tape};

/// How one alert is provoked.
pub(super) struct Case {
    pub(super) alert: &'static str,
    pub(super) severity: &'static str,
    pub(super) labels: &'static [(&'static str, &'static str)],
    /// What is said when it fires.
    pub(super) summary: &'static str,
    /// The metric that has the labels.
    pub(super) metric: &'static Description,
    /// Whether the labels have the names of the catalogue under any profile.
    pub(super) own_labels: bool,
    /// What happens in one tick: in phase 0 it is only just well, in phase 1 it is not, in phase 2 it is well again.
    pub(super) record: fn(&mut Tape, usize, usize),
    /// In ticks: how far the alert looks back, how long it has to be so, and when it fires.
    pub(super) window: usize,
    pub(super) lasting: usize,
    pub(super) fires_after: usize,
    /// How long a tick is.
    pub(super) minutes: usize,
}

impl Case {
    /// An alert that looks back over 5 minutes.
    fn new(
        alert: &'static str,
        severity: &'static str,
        metric: &'static Description,
        labels: &'static [(&'static str, &'static str)],
        lasting: usize,
        summary: &'static str,
        record: fn(&mut Tape, usize, usize),
    ) -> Self {
        let window = 5;
        let fires_after = window + lasting;
        Self {
            alert,
            severity,
            labels,
            summary,
            metric,
            own_labels: false,
            record,
            window,
            lasting,
            fires_after,
            minutes: 1,
        }
    }

    fn window(self, window: usize) -> Self {
        Self { window, fires_after: window + self.lasting, ..self }
    }

    fn fires_after(self, fires_after: usize) -> Self {
        Self { fires_after, ..self }
    }
}

/// Of so many requests, each of which takes a moment, some fail.
fn requests(tape: &Tape, failed: usize, of: usize) {
    let labels = |status| ["GET", "http", "/loans", status, "", "1.1"];
    tape.time(&HTTP_SERVER_REQUEST_DURATION, labels("500"), failed, 0.01);
    tape.time(&HTTP_SERVER_REQUEST_DURATION, labels("200"), of - failed, 0.01);
}

/// Of 100 requests, some take less than the rest.
fn latency(tape: &Tape, fast: usize, [less, more]: [f64; 2]) {
    let labels = ["GET", "http", "/loans", "200", "", "1.1"];
    tape.time(&HTTP_SERVER_REQUEST_DURATION, labels, fast, less);
    tape.time(&HTTP_SERVER_REQUEST_DURATION, labels, 100 - fast, more);
}

fn calls(tape: &Tape, outcome: &str, times: usize, seconds: f64) {
    tape.time(&CALL_DURATION, ["double", "http", outcome], times, seconds);
}

fn runs(tape: &Tape, failed: usize) {
    tape.time(&WORKFLOW_DURATION, ["acme", "loan", "failed"], failed, 0.1);
    tape.time(&WORKFLOW_DURATION, ["acme", "loan", "success"], 100 - failed, 0.1);
}

fn steps(tape: &Tape, step_type: &str, failed: usize) {
    tape.time(&STEP_DURATION, ["acme", "loan", step_type, "failed"], failed, 0.1);
    tape.time(&STEP_DURATION, ["acme", "loan", step_type, "success"], 100 - failed, 0.1);
}

fn dependency(tape: &Tape, kind: &str, target: &str, failed: usize) {
    tape.time(&DEPENDENCY_DURATION, [kind, target, "failed"], failed, 0.1);
    tape.time(&DEPENDENCY_DURATION, [kind, target, "success"], 100 - failed, 0.1);
}

fn sandboxes(tape: &Tape, failed: usize) {
    tape.time(&PROVISIONING_DURATION, ["sandbox", "failed"], failed, 1.0);
    tape.time(&PROVISIONING_DURATION, ["sandbox", "success"], 100 - failed, 1.0);
}

/// The first number in phase 1, the second in the others.
fn bad<T>(phase: usize, bad: T, well: T) -> T {
    if phase == 1 { bad } else { well }
}

pub(super) fn cases() -> Vec<Case> {
    [
        http(),
        sidecar(),
        workflows(),
        open_runs(),
        queues(),
        dependencies(),
        sessions(),
        objectives(),
        unusual(),
        library(),
        uptime(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn http() -> Vec<Case> {
    const ROUTE: &[(&str, &str)] = &[("http_route", "/loans")];
    let http = HTTP_SERVER_REQUEST_DURATION.description();
    vec![
        Case::new(
            "APIDown",
            "critical",
            http,
            &[],
            2,
            "throughline fails 51% of its requests",
            |tape, phase, _| {
                requests(tape, bad(phase, 51, 49), 100);
            },
        ),
        Case::new(
            "HighErrorRate",
            "warning",
            http,
            &[],
            5,
            "throughline fails 5.1% of its requests",
            |tape, phase, _| {
                requests(tape, bad(phase, 51, 49), 1000);
            },
        ),
        Case::new(
            "ElevatedErrors",
            "info",
            http,
            &[],
            30,
            "throughline fails 1.1% of its requests",
            |tape, phase, _| {
                requests(tape, bad(phase, 11, 9), 1000);
            },
        ),
        Case::new(
            "HighHTTPErrorRate",
            "warning",
            http,
            ROUTE,
            5,
            "/loans fails 5.1% of its requests",
            |tape, phase, _| {
                requests(tape, bad(phase, 51, 49), 1000);
            },
        ),
        Case::new(
            "HighHTTPErrorRate",
            "warning",
            http,
            &[],
            5,
            "What matches no route fails 5.1% of its requests",
            |tape, phase, _| {
                let labels = |status| ["GET", "http", "", status, "", "1.1"];
                tape.time(&HTTP_SERVER_REQUEST_DURATION, labels("500"), bad(phase, 51, 49), 0.01);
                tape.time(&HTTP_SERVER_REQUEST_DURATION, labels("200"), bad(phase, 949, 951), 0.01);
            },
        ),
        // Between 1 s and 2.5 s, 95 % are reached after 11 of 16: at 2.03 s. Of 14, after 9: at 1.96 s.
        Case::new(
            "HighLatency",
            "warning",
            http,
            &[],
            5,
            "throughline takes 2.031s for 1 in 20 requests",
            |tape, phase, _| {
                latency(tape, bad(phase, 84, 86), [0.9, 2.2]);
            },
        ),
        // Between 1 s and 2.5 s, after 1 of 6.
        Case::new(
            "ElevatedLatency",
            "info",
            http,
            &[],
            30,
            "throughline takes 1.25s for 1 in 20 requests",
            |tape, phase, _| {
                latency(tape, bad(phase, 94, 96), [0.9, 2.2]);
            },
        ),
        Case::new(
            "HighHTTPLatency",
            "warning",
            http,
            ROUTE,
            5,
            "/loans takes 2.031s for 1 in 20 requests",
            |tape, phase, _| {
                latency(tape, bad(phase, 84, 86), [0.9, 2.2]);
            },
        ),
        Case::new(
            "HighHTTPLatency",
            "warning",
            http,
            &[],
            5,
            "What matches no route takes 2.031s for 1 in 20 requests",
            |tape, phase, _| {
                let labels = ["GET", "http", "", "200", "", "1.1"];
                tape.time(&HTTP_SERVER_REQUEST_DURATION, labels, bad(phase, 84, 86), 0.9);
                tape.time(&HTTP_SERVER_REQUEST_DURATION, labels, bad(phase, 16, 14), 2.2);
            },
        ),
    ]
}

fn sidecar() -> Vec<Case> {
    const OVER: &[(&str, &str)] = &[("transport", "http")];
    let metric = CALL_DURATION.description();
    vec![
        // Between 100 ms and 250 ms, after 1 of 6.
        Case::new(
            "SidecarHighLatency",
            "warning",
            metric,
            OVER,
            5,
            "Calls over http take 125ms for 1 in 20",
            |tape, phase, _| {
                calls(tape, "success", bad(phase, 94, 96), 0.08);
                calls(tape, "success", bad(phase, 6, 4), 0.2);
            },
        ),
        Case::new(
            "SidecarHighErrorRate",
            "critical",
            metric,
            OVER,
            2,
            "5.1% of the calls over http fail",
            |tape, phase, _| {
                calls(tape, "failed", bad(phase, 51, 49), 0.01);
                calls(tape, "success", bad(phase, 949, 951), 0.01);
            },
        ),
        Case::new(
            "SidecarTransportFailure",
            "critical",
            metric,
            &[("instance", "one")],
            1,
            "throughline does not respond at one",
            |tape, phase, _| tape.up = Some(phase != 1),
        )
        .window(0),
        Case::new(
            "SidecarTransportFailure",
            "critical",
            metric,
            &[],
            1,
            "throughline does not respond",
            |tape, phase, _| {
                tape.up = bad(phase, None, Some(true));
            },
        )
        .window(0),
    ]
}

fn workflows() -> Vec<Case> {
    const LOAN: &[(&str, &str)] = &[("workflow", "loan")];
    let (metric, step) = (WORKFLOW_DURATION.description(), STEP_DURATION.description());
    let compensation = COMPENSATION_DURATION.description();
    let stalled = Case::new(
        "WorkflowExecutionStalled",
        "critical",
        metric,
        LOAN,
        30,
        "2 runs of loan are in progress, and none ends",
        |tape, phase, tick| {
            tape.set(&WORKFLOWS_ACTIVE, ["acme", "loan"], 2.0);
            let ended = phase != 1 && tick % 10 == 0;
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

fn open_runs() -> Vec<Case> {
    const LOAN: &[(&str, &str)] = &[("workflow", "loan")];
    let (open, orphaned) = (RUNS_OPEN.description(), RESOURCES_ORPHANED.description());
    let cases = vec![
        Case::new("RunsStuck", "warning", open, LOAN, 5, "2 runs of loan stand still", |tape, phase, _| {
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
            "1 runs of no workflow were interrupted, and nobody resumes them",
            |tape, phase, _| tape.set(&RUNS_OPEN, ["", "interrupted"], bad(phase, 1.0, 0.0)),
        ),
        Case::new(
            "ResourcesOrphaned",
            "critical",
            orphaned,
            LOAN,
            5,
            "3 things that loan did are left over, and nothing removes them",
            |tape, phase, _| tape.set(&RESOURCES_ORPHANED, ["loan"], bad(phase, 3.0, 0.0)),
        ),
    ];
    cases.into_iter().map(|case| case.window(0)).collect()
}

fn queues() -> Vec<Case> {
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

fn dependencies() -> Vec<Case> {
    let (calls, health) = (DEPENDENCY_DURATION.description(), HEALTH_CHECK_STATUS.description());
    let checked = vec![
        Case::new(
            "DatabaseConnectionFailure",
            "critical",
            health,
            &[("check", "store")],
            1,
            "throughline does not reach its database: the check store fails",
            |tape, phase, _| {
                tape.set(&HEALTH_CHECK_STATUS, ["store"], bad(phase, 0.0, 1.0));
                // A name that only contains one of a database.
                tape.set(&HEALTH_CHECK_STATUS, ["dbus-adapter-restored"], 0.0);
            },
        ),
        Case::new(
            "RedisConnectionFailure",
            "critical",
            health,
            &[("check", "redis")],
            1,
            "throughline does not reach Redis",
            |tape, phase, _| tape.set(&HEALTH_CHECK_STATUS, ["redis"], bad(phase, 0.0, 1.0)),
        ),
        Case::new(
            "HighMemoryUsage",
            "warning",
            PROCESS_RESIDENT_MEMORY.description(),
            &[("instance", "one")],
            10,
            "one uses 2GiB of memory",
            |tape, phase, _| {
                tape.set(&PROCESS_RESIDENT_MEMORY, [], bad(phase, 2_147_483_649.0, 2_147_483_648.0));
            },
        ),
    ];
    let called = vec![
        Case::new(
            "DatabaseUnavailable",
            "critical",
            calls,
            &[("target", "ledger")],
            2,
            "11% of the calls to ledger fail",
            |tape, phase, _| {
                dependency(tape, "db", "ledger", bad(phase, 11, 9));
                dependency(tape, "http", "bank", 50);
            },
        ),
        Case::new(
            "RedisConnectionFailure",
            "critical",
            calls,
            &[("target", "prices")],
            1,
            "throughline does not reach Redis (prices)",
            |tape, phase, _| dependency(tape, "redis", "prices", bad(phase, 51, 49)),
        ),
    ];
    checked.into_iter().map(|case| case.window(0)).chain(called).collect()
}

fn sessions() -> Vec<Case> {
    const SANDBOX: &[(&str, &str)] = &[("kind", "sandbox")];
    const SESSION: [&str; 2] = ["session", "success"];
    let metric = PROVISIONING_DURATION.description();
    vec![
        Case::new(
            "AllSandboxCreationFailing",
            "critical",
            metric,
            SANDBOX,
            5,
            "51% of the attempts to create a sandbox fail",
            |tape, phase, _| sandboxes(tape, bad(phase, 51, 49)),
        ),
        // Where none ever succeeded.
        Case::new(
            "AllSandboxCreationFailing",
            "critical",
            metric,
            SANDBOX,
            5,
            "100% of the attempts to create a sandbox fail",
            |tape, phase, _| tape.time(&PROVISIONING_DURATION, ["sandbox", "failed"], bad(phase, 10, 0), 1.0),
        ),
        // Between 60 s and 120 s, after 2 of 7.
        Case::new(
            "SandboxBootSlow",
            "warning",
            metric,
            SANDBOX,
            10,
            "A sandbox takes 1m 17s to create for 1 in 20",
            |tape, phase, _| {
                tape.time(&PROVISIONING_DURATION, ["sandbox", "success"], bad(phase, 93, 96), 40.0);
                tape.time(&PROVISIONING_DURATION, ["sandbox", "success"], bad(phase, 7, 4), 100.0);
            },
        ),
        Case::new(
            "LowSessions",
            "info",
            metric,
            &[],
            30,
            "Only 0 sessions were created in an hour",
            |tape, phase, tick| {
                let made = phase != 1 && tick % 5 == 0;
                tape.time(&PROVISIONING_DURATION, SESSION, usize::from(made), 1.0);
            },
        )
        .window(60),
    ]
}

fn objectives() -> Vec<Case> {
    let http = HTTP_SERVER_REQUEST_DURATION.description();
    let case = |alert, severity, summary, record| Case::new(alert, severity, http, &[], 0, summary, record);
    let fast = case(
        "ErrorBudgetBurnsFast",
        "critical",
        "throughline spends its error budget 15 times too fast",
        |tape, phase, _| requests(tape, bad(phase, 15, 14), 1000),
    );
    let medium = case(
        "ErrorBudgetBurns",
        "critical",
        "throughline spends its error budget 7 times too fast",
        |tape, phase, _| requests(tape, bad(phase, 7, 5), 1000),
    );
    let slow = case(
        "ErrorBudgetBurnsSlowly",
        "warning",
        "throughline spends its error budget 1.5 times too fast",
        |tape, phase, _| requests(tape, bad(phase, 3, 1), 2000),
    );
    vec![fast.window(60), Case { minutes: 10, ..medium.window(36) }, Case { minutes: 10, ..slow.window(432) }]
}

/// Over a day and an hour of what is usual. Just below its bound, it is not quite as unusual.
fn unusual() -> Vec<Case> {
    const LOAN: &[(&str, &str)] = &[("workflow", "loan")];
    const SCORE: &[(&str, &str)] = &[("step_type", "stage:score")];
    // Of ticks of 10 minutes.
    const DAY: usize = 25 * 6 + 2;
    let (runs, steps) = (WORKFLOW_DURATION.description(), STEP_DURATION.description());
    let failures = Case::new(
        "UnusualFailures",
        "warning",
        runs,
        LOAN,
        0,
        "loan fails 20%, which is unusual",
        |tape, phase, _| {
            let failed = [60, 120, 80][phase];
            tape.time(&WORKFLOW_DURATION, ["acme", "loan", "failed"], failed, 0.08);
            tape.time(&WORKFLOW_DURATION, ["acme", "loan", "success"], 600 - failed, 0.08);
        },
    );
    // After a day of 144,000 of which none failed, five are no chance. They are too few to speak of until they are 1 in 1,000. One
    // failed before that day.
    let after_none = Case::new(
        "UnusualFailures",
        "warning",
        runs,
        LOAN,
        0,
        "loan fails 0.12%, which is unusual",
        |tape, phase, tick| {
            let (failed, all) = match (phase, tick) {
                (0, 0) => (1, 1_000),
                (0, last) if last > DAY => (5, 5_100),
                (1, _) => (6, 5_000),
                _ => (0, 1_000),
            };
            tape.time(&WORKFLOW_DURATION, ["acme", "loan", "failed"], failed, 0.08);
            tape.time(&WORKFLOW_DURATION, ["acme", "loan", "success"], all - failed, 0.08);
        },
    );
    let of_no_route = Case::new(
        "UnusualFailures",
        "warning",
        HTTP_SERVER_REQUEST_DURATION.description(),
        &[],
        0,
        "What matches no route fails 20%, which is unusual",
        |tape, phase, _| {
            let labels = |status| ["GET", "http", "", status, "", "1.1"];
            let failed = [60, 120, 80][phase];
            tape.time(&HTTP_SERVER_REQUEST_DURATION, labels("500"), failed, 0.08);
            tape.time(&HTTP_SERVER_REQUEST_DURATION, labels("200"), 600 - failed, 0.08);
        },
    );
    // Of little traffic five are enough; of fewer nothing is said.
    let of_little = Case::new(
        "UnusualFailures",
        "warning",
        runs,
        LOAN,
        0,
        "loan fails 8.333%, which is unusual",
        |tape, phase, tick| {
            let failed = match (phase, tick) {
                (0, 0) => 1,
                (0, last) if last > DAY => 4,
                (1, _) => 5,
                _ => 0,
            };
            tape.time(&WORKFLOW_DURATION, ["acme", "loan", "failed"], failed, 0.08);
            tape.time(&WORKFLOW_DURATION, ["acme", "loan", "success"], 60 - failed, 0.08);
        },
    );
    // Between 0.5 s and 1 s, after 30 of 60; usually 97.5 ms, between 50 ms and 100 ms. Just below, between 0.1 s and 0.25 s: 175 ms.
    let durations = Case::new(
        "UnusualDuration",
        "info",
        steps,
        SCORE,
        0,
        "stage:score takes 750ms for 1 in 20, which is unusual",
        |tape, phase, _| {
            let labels = ["acme", "loan", "stage:score", "success"];
            tape.time(&STEP_DURATION, labels, 540, 0.08);
            tape.time(&STEP_DURATION, labels, 60, [0.08, 0.8, 0.12][phase]);
        },
    );
    [failures, after_none, of_no_route, of_little, durations]
        .map(|case| Case { minutes: 10, ..case.window(DAY).fires_after(3) })
        .into()
}

fn library() -> Vec<Case> {
    const OF: [&str; 2] = ["loans", "sqlite"];
    const LABELS: &[(&str, &str)] = &[("instance", "one"), ("service", "loans"), ("destination", "sqlite")];
    vec![
        Case::new(
            "LedgerDoesNotBalance",
            "warning",
            EVENTS_ACCEPTED.description(),
            LABELS,
            5,
            "sqlite of one has 3 events that nobody accounts for",
            |tape, phase, tick| {
                tape.count(&EVENTS_ACCEPTED, OF, if phase == 1 && tick == 0 { 13 } else { 10 });
                // Nothing is dropped until it is well again; then there are two reasons.
                tape.count(&EVENTS_DELIVERED, OF, [10, 10, if tick == 0 { 12 } else { 9 }][phase]);
                if phase == 2 {
                    tape.count(&EVENTS_DROPPED, ["loans", "sqlite", ["rejected", "queue_full"][tick % 2]], 1);
                }
                tape.set(&EVENTS_PENDING, OF, 0.0);
            },
        )
        .window(0),
        Case::new(
            "OutboxFills",
            "warning",
            EVENTS_PENDING.description(),
            LABELS,
            5,
            "10001 events wait for sqlite of one",
            |tape, phase, _| tape.set(&EVENTS_PENDING, OF, bad(phase, 10_001.0, 10_000.0)),
        )
        .window(0),
        Case::new(
            "EventsDropped",
            "warning",
            EVENTS_DROPPED.description(),
            &[("service", "loans"), ("destination", "sqlite"), ("reason", "queue_full")],
            0,
            "5 events for sqlite were dropped: queue_full",
            |tape, phase, tick| match (phase, tick) {
                (0, 0) => {
                    tape.count(&EVENTS_DROPPED, ["loans", "sentry", "sampled"], 90);
                    tape.count(&EVENTS_DROPPED, ["loans", "sentry", "rate_limited"], 20);
                }
                (1, 0) => tape.count(&EVENTS_DROPPED, ["loans", "sqlite", "queue_full"], 5),
                _ => {}
            },
        )
        .window(10)
        .fires_after(1),
        Case::new(
            "DestinationBroken",
            "critical",
            DESTINATION_BROKEN.description(),
            LABELS,
            1,
            "sqlite of one takes nothing until somebody repairs it",
            |tape, phase, _| tape.set(&DESTINATION_BROKEN, OF, bad(phase, 1.0, 0.0)),
        )
        .window(0),
        Case::new(
            "StoreUpkeepFails",
            "warning",
            UPKEEP_FAILURES.description(),
            &[("service", "loans"), ("destination", "sqlite")],
            0,
            "sqlite of loans can't look after itself",
            |tape, phase, tick| tape.count(&UPKEEP_FAILURES, OF, u64::from(phase == 1 && tick == 0)),
        )
        .window(60)
        .fires_after(1),
    ]
}

fn uptime() -> Vec<Case> {
    const TARGET: &[(&str, &str)] =
        &[("job", "throughline-probe"), ("instance", "https://loans.example.org")];
    /// In so many minutes the certificate expires.
    fn expires_in(tape: &mut Tape, minutes: f64) {
        let now = u32::try_from(tape.scrapes()).unwrap();
        tape.probe(EXPIRES, 60.0 * (f64::from(now) + minutes));
    }
    const DAY: f64 = 24.0 * 60.0;
    // What a prober says are series of its own, with the same labels under every profile.
    let metric = HTTP_SERVER_REQUEST_DURATION.description();
    let case = |alert, severity, lasting, summary, record| {
        let case = Case::new(alert, severity, metric, TARGET, lasting, summary, record);
        Case { own_labels: true, ..case.window(0) }
    };
    vec![
        case(
            "ProbeFails",
            "critical",
            2,
            "https://loans.example.org does not answer from outside",
            |tape, phase, _| tape.probe("probe_success", bad(phase, 0.0, 1.0)),
        ),
        case(
            "ProbeSlow",
            "warning",
            5,
            "https://loans.example.org takes 2.1s to answer from outside",
            |tape, phase, _| tape.probe("probe_duration_seconds", bad(phase, 2.1, 2.0)),
        ),
        case(
            "CertificateExpires",
            "critical",
            10,
            "The certificate of https://loans.example.org expires in 2d 23h 59m 0s",
            |tape, phase, _| expires_in(tape, 3.0 * DAY - bad(phase, 1.0, 0.0)),
        ),
        case(
            "CertificateExpiresSoon",
            "warning",
            10,
            "The certificate of https://loans.example.org expires in 13d 23h 59m 0s",
            |tape, phase, _| expires_in(tape, 14.0 * DAY - bad(phase, 1.0, 0.0)),
        ),
        case(
            "ProberDown",
            "warning",
            5,
            "Nobody looks at https://loans.example.org from outside: the prober does not answer",
            |tape, phase, _| tape.probe("up", bad(phase, 0.0, 1.0)),
        ),
    ]
}
