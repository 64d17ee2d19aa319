//! What is told by comparison with what was before.

use throughline::metrics::catalogue::*;

use super::{Case, bad, requests};

pub(super) fn objectives() -> Vec<Case> {
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
pub(super) fn unusual() -> Vec<Case> {
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
    // Usually 97.5 ms, between 50 ms and 100 ms. Twice as long is 195 ms: between 100 ms and 250 ms, it is 194.4 ms after 51 of 81,
    // and that for as long as it takes to fire, and 195.1 ms after 52 of 82.
    let durations = Case::new(
        "UnusualDuration",
        "info",
        steps,
        SCORE,
        0,
        "stage:score takes 195.1ms for 1 in 20, which is unusual",
        |tape, phase, tick| {
            let labels = ["acme", "loan", "stage:score", "success"];
            let slow = match (phase, tick) {
                (0, last) if last >= DAY => 81,
                (1, _) => 82,
                _ => 0,
            };
            tape.time(&STEP_DURATION, labels, 600 - slow, 0.08);
            tape.time(&STEP_DURATION, labels, slow, 0.12);
        },
    );
    [failures, after_none, of_no_route, of_little, durations]
        .map(|case| Case { minutes: 10, ..case.window(DAY).fires_after(3) })
        .into()
}
