//! Throughline itself: what becomes of events.

use throughline_core::metrics::catalogue::{
    DESTINATION_BROKEN, EVENTS_ACCEPTED, EVENTS_DELIVERED, EVENTS_DROPPED, EVENTS_PENDING, UPKEEP_FAILURES,
};

use crate::alert::Severity::{Critical, Warning};
use crate::alert::{Alert, Group, for_minutes};
use crate::expr::{Expr, count, hours, level, minutes};

const BY: &[&str] = &["instance", "service", "destination"];

pub(super) fn library() -> Group {
    let accepted = || count(&EVENTS_ACCEPTED).by(BY);
    // Of a destination for which none was dropped there is no series.
    let dropped = Expr::from(count(&EVENTS_DROPPED).by(BY)).or(Expr::from(accepted()).times(0.0));
    let unaccounted = Expr::from(accepted())
        .minus(count(&EVENTS_DELIVERED).by(BY))
        .minus(level(&EVENTS_PENDING).by(BY))
        .minus(dropped);
    let alerts = vec![
        Alert {
            name: "LedgerDoesNotBalance",
            severity: Warning,
            expr: unaccounted.differs_from(0.0),
            lasting: for_minutes(5),
            summary: "{{ $labels.destination }} of {{ $labels.instance }} has {{ $value }} events that nobody accounts for",
            description: "Of every event that was accepted for a destination it is known whether it was delivered, dropped or still \
                          waits. If the sum is wrong, Throughline has a bug: report it.",
            dashboard: "library",
        },
        Alert {
            name: "OutboxFills",
            severity: Warning,
            expr: Expr::from(level(&EVENTS_PENDING).by(BY)).above(10_000.0),
            lasting: for_minutes(5),
            summary: "{{ $value }} events wait for {{ $labels.destination }} of {{ $labels.instance }}",
            description: "More than 10,000 events have been waiting for a destination for 5 minutes, in memory or in the outbox. \
                          The destination is away or too slow; when there is no more room, steps fail or events are dropped.",
            dashboard: "library",
        },
        Alert {
            name: "EventsDropped",
            severity: Warning,
            // What is left out by choice is no loss.
            expr: count(&EVENTS_DROPPED)
                .without("reason", "sampled")
                .without("reason", "rate_limited")
                .by(&["service", "destination", "reason"])
                .growth(minutes(10)),
            lasting: for_minutes(0),
            summary: "{{ $value | humanize }} events for {{ $labels.destination }} were dropped: {{ $labels.reason }}",
            description: "Events did not reach a destination in the last 10 minutes and never will, and nobody had chosen that.",
            dashboard: "library",
        },
        Alert {
            name: "DestinationBroken",
            severity: Critical,
            expr: Expr::from(level(&DESTINATION_BROKEN).by(BY)).above(0.0),
            lasting: for_minutes(1),
            summary: "{{ $labels.destination }} of {{ $labels.instance }} takes nothing until somebody repairs it",
            description: "A destination refuses all events, such as a file that was removed, or a sink that keeps panicking. Where it is \
                          the store, steps fail.",
            dashboard: "library",
        },
        Alert {
            name: "StoreUpkeepFails",
            severity: Warning,
            expr: count(&UPKEEP_FAILURES).by(&["service", "destination"]).growth(hours(1)),
            lasting: for_minutes(0),
            summary: "{{ $labels.destination }} of {{ $labels.service }} can't look after itself",
            description: "Work that a store does on its own, such as removing old runs, failed in the last hour. No event is lost by it, \
                          but the store grows.",
            dashboard: "library",
        },
    ];
    Group { name: "throughline", alerts }
}
