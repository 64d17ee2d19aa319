//! What a service makes and keeps: sessions, sandboxes.

use throughline_core::metrics::catalogue::{
    PROVISIONING_DURATION, RESOURCE_HEALTH_CHECKS, STATE_ENTITIES, STATE_TRANSITIONS,
};

use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::Window::Graph;
use crate::expr::{Expr, Series, buckets, count, hours, level, total};

const BY_KIND: &[&str] = &["kind"];

fn made() -> Series {
    count(&PROVISIONING_DURATION).rate(Graph).by(BY_KIND)
}

fn succeeded() -> Expr {
    made().with("outcome", "success").into()
}

/// Attempts, which are not counted under all names.
fn attempts() -> Expr {
    succeeded().plus(Expr::from(made().without("outcome", "success")).or(succeeded().times(0.0)))
}

fn transitions(by: &'static [&'static str]) -> Expr {
    count(&STATE_TRANSITIONS).increase(hours(24)).by(by).into()
}

/// What share of those that left a state it is.
fn of_those_that_left() -> Expr {
    Expr::Binary {
        left: Box::new(transitions(&["machine", "from", "to"])),
        operator: "/ on (job, machine, from) group_left ()",
        right: Box::new(transitions(&["machine", "from"])),
    }
}

pub(super) fn sessions() -> Dashboard {
    let entities = || level(&STATE_ENTITIES);
    let boot = || buckets(&PROVISIONING_DURATION).with("outcome", "success").rate(Graph).by(BY_KIND);
    let boot_time = total(&PROVISIONING_DURATION).with("outcome", "success").rate(Graph).by(BY_KIND);
    let healthy = || count(&RESOURCE_HEALTH_CHECKS).rate(Graph).by(BY_KIND);
    let panels = vec![
        Panel::stat("Active Sessions", Unit::Count, "What lives, in any state that is not final.")
            .shows(entities().by(&["machine"]), "{{machine}}"),
        Panel::stat(
            "Success Rate",
            Unit::Share,
            "The share of attempts to create a resource that succeeded.",
        )
        .shows(succeeded().over(attempts()), "{{kind}}"),
        Panel::stat("Avg Boot Time", Unit::Seconds, "The mean time that it took to create one.")
            .shows(Expr::from(boot_time).over(succeeded()), "{{kind}}"),
        Panel::bars("Sessions by State", Unit::Count, "How many are in which state now.")
            .shows(entities().by(&["machine", "state"]), "{{machine}} {{state}}")
            .wide(),
        Panel::bars(
            "State Transitions (24h)",
            Unit::Count,
            "How often which state followed which in 24 hours.",
        )
        .shows(transitions(&["machine", "from", "to"]), "{{machine}} {{from}} → {{to}}")
        .wide(),
        Panel::bars(
            "Where States Lead (24h)",
            Unit::Share,
            "Of all transitions that left a state, the share that led to each other one.",
        )
        .shows(of_those_that_left(), "{{machine}} {{from}} → {{to}}")
        .wide(),
        Panel::graph("Boot Time Percentiles", Unit::Seconds, "How long it took to create a resource.")
            .shows(boot().quantile(0.5), "{{kind}} p50")
            .shows(boot().quantile(0.95), "{{kind}} p95"),
        Panel::graph("Health Checks", Unit::PerSecond, "Checks of what was created, by outcome.")
            .shows(healthy().with("outcome", "success"), "{{kind}} well")
            .shows(healthy().without("outcome", "success"), "{{kind}} not well"),
    ];
    Dashboard {
        name: "sessions",
        title: "Session Lifecycle",
        about: "Do users get a session, and what becomes of it?",
        panels,
    }
}
