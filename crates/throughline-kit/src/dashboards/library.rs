//! Throughline itself, and the process.

use throughline_core::metrics::catalogue::{
    DESTINATION_BROKEN, EVENTS_ACCEPTED, EVENTS_DELIVERED, EVENTS_DROPPED, EVENTS_PENDING, LABEL_OVERFLOW,
    PROCESS_CPU_SECONDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_MEMORY, REDACTED, STORE_CHARGES,
    TOKIO_ALIVE_TASKS, TOKIO_BUSY_SECONDS, UPKEEP_FAILURES,
};

use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::Window::Graph;
use crate::expr::{Expr, count, hours, level};

const BY: &[&str] = &["destination"];
const CALLED: &str = "{{destination}}";
const BY_INSTANCE: &[&str] = &["instance"];

pub(super) fn library() -> Dashboard {
    let accepted = || count(&EVENTS_ACCEPTED).by(BY);
    let unaccounted = Expr::from(accepted())
        .minus(count(&EVENTS_DELIVERED).by(BY))
        .minus(level(&EVENTS_PENDING).by(BY))
        .minus(Expr::from(count(&EVENTS_DROPPED).by(BY)).or(Expr::from(accepted()).times(0.0)));
    let panels = vec![
        Panel::graph("Events Accepted", Unit::PerSecond, "Events that were handed over to each destination.")
            .shows(accepted().rate(Graph), CALLED),
        Panel::graph("Events Delivered", Unit::PerSecond, "Events that each destination acknowledged.")
            .shows(count(&EVENTS_DELIVERED).rate(Graph).by(BY), CALLED),
        Panel::graph("Events Pending", Unit::Count, "Events that wait, in memory or in the outbox.")
            .shows(level(&EVENTS_PENDING).by(BY), CALLED),
        Panel::graph(
            "Events Dropped",
            Unit::PerSecond,
            "Events that a destination will never get, by reason.",
        )
        .shows(
            count(&EVENTS_DROPPED).rate(Graph).by(&["destination", "reason"]),
            "{{destination}} {{reason}}",
        ),
        Panel::stat(
            "Ledger",
            Unit::Count,
            "Accepted, less delivered, pending and dropped: anything but 0 is a bug of Throughline.",
        )
        .shows(unaccounted, CALLED),
        Panel::stat(
            "Broken Destinations",
            Unit::Count,
            "1 where a destination takes nothing until somebody repairs it.",
        )
        .shows(level(&DESTINATION_BROKEN).by(BY), CALLED),
        Panel::stat(
            "Failed Upkeep in 24 Hours",
            Unit::Count,
            "Work that a store does on its own and that failed.",
        )
        .shows(count(&UPKEEP_FAILURES).increase(hours(24)).by(BY), CALLED),
        Panel::graph("Redacted", Unit::PerSecond, "What was replaced because it is sensitive, by kind.")
            .shows(count(&REDACTED).rate(Graph).by(&["kind"]), "{{kind}}"),
        Panel::graph(
            "Store Charges",
            Unit::PerSecond,
            "What the service behind a store charges, in its own units.",
        )
        .shows(
            count(&STORE_CHARGES).rate(Graph).by(&["destination", "operation"]),
            "{{destination}} {{operation}}",
        ),
        Panel::graph(
            "Label Overflow",
            Unit::PerSecond,
            "Values of labels that were too many to be kept apart.",
        )
        .shows(count(&LABEL_OVERFLOW).rate(Graph).by(&["metric", "label"]), "{{metric}} {{label}}"),
        Panel::graph("Memory", Unit::Bytes, "Resident memory of each process.")
            .shows(level(&PROCESS_RESIDENT_MEMORY).by(BY_INSTANCE), "{{instance}}"),
        Panel::graph(
            "CPU",
            Unit::Count,
            "Cores that each process keeps busy; of these, its runtime's workers.",
        )
        .shows(count(&PROCESS_CPU_SECONDS).rate(Graph).by(BY_INSTANCE), "{{instance}}")
        .shows(count(&TOKIO_BUSY_SECONDS).rate(Graph).by(BY_INSTANCE), "{{instance}} runtime"),
        Panel::graph("Open Files and Tasks", Unit::Count, "What leaks if it only grows.")
            .shows(level(&PROCESS_OPEN_FDS).by(BY_INSTANCE), "{{instance}} files")
            .shows(level(&TOKIO_ALIVE_TASKS).by(BY_INSTANCE), "{{instance}} tasks"),
    ];
    Dashboard { name: "library", title: "Throughline Itself", about: "Is every event accounted for?", panels }
}
