//! Throughline itself, and what is seen from outside.

use throughline::metrics::catalogue::*;

use super::{Case, bad};
use crate::kit::tape::{EXPIRES, Tape};

pub(super) fn library() -> Vec<Case> {
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

pub(super) fn uptime() -> Vec<Case> {
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
