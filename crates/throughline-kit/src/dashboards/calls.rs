//! Calls of functions.

use throughline_core::metrics::catalogue::{CALL_DURATION, CALL_PART_DURATION, PROCESS_RESIDENT_MEMORY};

use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::Window::Graph;
use crate::expr::{buckets, count, level, share};

pub(super) fn transport() -> Dashboard {
    const BY: &[&str] = &["transport"];
    let calls = || count(&CALL_DURATION).rate(Graph).by(BY);
    let panels = vec![
        Panel::graph(
            "Request Latency by Transport",
            Unit::Seconds,
            "The 95th percentile of whole calls, and of the way there and back.",
        )
        .shows(buckets(&CALL_DURATION).rate(Graph).by(BY).quantile(0.95), "{{transport}}")
        .shows(
            buckets(&CALL_PART_DURATION).with("part", "transport").rate(Graph).by(BY).quantile(0.95),
            "{{transport}}, on the way",
        )
        .wide(),
        Panel::graph("Throughput by Transport", Unit::PerSecond, "Calls that ended.")
            .shows(calls(), "{{transport}}"),
        Panel::graph("Error Rate by Transport", Unit::Share, "The share of calls that did not succeed.")
            .shows(share(calls().without("outcome", "success"), calls()), "{{transport}}"),
    ];
    Dashboard {
        name: "transport",
        title: "Transport Performance",
        about: "Which transport is slow or fails?",
        panels,
    }
}

pub(super) fn functions() -> Dashboard {
    const BY: &[&str] = &["function"];
    let calls = || count(&CALL_DURATION).rate(Graph).by(BY);
    let panels = vec![
        Panel::heatmap("Function Call Duration", Unit::Seconds, "How many calls took how long.")
            .shows(buckets(&CALL_DURATION).rate(Graph), "{{le}}"),
        Panel::graph("P95 Duration by Function", Unit::Seconds, "19 of 20 calls took less.")
            .shows(buckets(&CALL_DURATION).rate(Graph).by(BY).quantile(0.95), "{{function}}"),
        Panel::graph("Function Error Rate", Unit::Share, "The share of calls that did not succeed.")
            .shows(share(calls().without("outcome", "success"), calls()), "{{function}}"),
        Panel::graph("Memory Usage", Unit::Bytes, "Of each process: the functions in it share its memory.")
            .shows(level(&PROCESS_RESIDENT_MEMORY).by(&["instance"]), "{{instance}}")
            .wide(),
    ];
    Dashboard {
        name: "functions",
        title: "Function Performance",
        about: "Which function is slow or fails?",
        panels,
    }
}
