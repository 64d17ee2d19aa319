//! What has to be recorded for each alert to fire, and to only just not fire. The numbers are chosen by hand.

mod library;
mod looking_back;
mod state;
mod work;

use throughline::metrics::catalogue::*;

use super::tape::Tape;

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
        work::workflows(),
        work::open_runs(),
        work::queues(),
        state::dependencies(),
        state::sessions(),
        looking_back::objectives(),
        looking_back::unusual(),
        library::library(),
        library::uptime(),
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
