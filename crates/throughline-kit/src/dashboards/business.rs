//! What people do with a service, and how often it helps itself.

use throughline_core::metrics::catalogue::{
    COMPENSATION_DURATION, POINT_EVENTS, RETRIES, STATE_LIFETIME, STATE_TRANSITIONS,
};

use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::Window::Graph;
use crate::expr::{buckets, count, hours, share};

pub(super) fn business() -> Dashboard {
    const BY_TYPE: &[&str] = &["event_type"];
    const BY_MACHINE: &[&str] = &["machine"];
    let points = || count(&POINT_EVENTS).increase(hours(24)).by(BY_TYPE);
    let lifetime = || buckets(&STATE_LIFETIME).rate(Graph).by(BY_MACHINE);
    let transitions = || count(&STATE_TRANSITIONS).rate(Graph).by(BY_MACHINE);
    let retries = || count(&RETRIES).increase(hours(24)).by(&["workflow"]);
    let undone = || count(&COMPENSATION_DURATION).increase(hours(24)).by(&["workflow"]);
    let panels = vec![
        Panel::bars(
            "Funnel (24h)",
            Unit::Count,
            "How often each business event happened. `throughline funnel` follows each run, key, session or user from one to the next.",
        )
        .shows(points().like("event_type", "business:.*"), "{{event_type}}"),
        Panel::bars("Feature Use (24h)", Unit::Count, "How often each feature was used: point events called `feature:..`.")
            .shows(points().like("event_type", "feature:.*"), "{{event_type}}"),
        Panel::graph("Session Duration", Unit::Seconds, "How long sessions and other things with a state lived.")
            .shows(lifetime().quantile(0.5), "{{machine}} p50")
            .shows(lifetime().quantile(0.95), "{{machine}} p95"),
        Panel::graph(
            "Auto-Paused and Resumed",
            Unit::PerSecond,
            "What entered the state `paused`, and what left it again.",
        )
        .shows(transitions().with("to", "paused"), "{{machine}} paused")
        .shows(transitions().with("from", "paused"), "{{machine}} resumed"),
        Panel::graph(
            "Saved by Retries (24h)",
            Unit::Share,
            "The share of second and later attempts that succeeded. `throughline recovery` says how many runs that saved.",
        )
        .shows(share(retries().with("status", "success"), retries()), "{{workflow}}"),
        Panel::graph("Undone by Compensations (24h)", Unit::Share, "The share of compensations that succeeded.")
            .shows(share(undone().with("status", "success"), undone()), "{{workflow}}"),
    ];
    Dashboard {
        name: "business",
        title: "Business",
        about: "What do people do, and how often does the service help itself?",
        panels,
    }
}
