//! What people do with a service, and how often it helps itself.

use throughline_core::metrics::catalogue::{
    COMPENSATION_DURATION, POINT_EVENTS, RETRIES, STATE_LIFETIME, STATE_TRANSITIONS,
};

use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::Window::Graph;
use crate::expr::{Expr, Series, buckets, count, hours, share};

/// How often each step of a funnel happened for every time that the first one did.
pub(super) fn conversion(first: &str, steps: &[String]) -> Panel {
    let day = |series: Series| Expr::from(series.increase(hours(24)));
    let any: Vec<_> = steps.iter().map(|step| literal(step)).collect();
    let of_the_first = Expr::Binary {
        left: Box::new(day(count(&POINT_EVENTS).by(&["event_type"]).like("event_type", any.join("|")))),
        operator: "/ on (job) group_left ()",
        right: Box::new(day(count(&POINT_EVENTS).with("event_type", first.to_owned()))),
    };
    Panel::bars(
        "Conversion (24h)",
        Unit::Share,
        "How often each step of the funnel happened for every time that the first one did. It counts events, not people: `throughline funnel` follows each of them.",
    )
    .shows(of_the_first, "{{event_type}}")
    .wide()
}

/// A pattern for a text and nothing else.
fn literal(text: &str) -> String {
    let escaped =
        |c: char| if c.is_alphanumeric() || "_:-".contains(c) { c.to_string() } else { format!("\\{c}") };
    text.chars().map(escaped).collect()
}

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
