//! How a service is, at a glance.

use throughline_core::metrics::catalogue::{
    DEPENDENCY_DURATION, HEALTH_CHECK_STATUS, HTTP_SERVER_REQUEST_DURATION, QUEUE_DEPTH, WORKERS_ACTIVE,
    WORKFLOW_DURATION,
};

use crate::alerts::burn_rate;
use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::Window::Graph;
use crate::expr::{Expr, Series, buckets, count, hours, level, share};

fn runs() -> Series {
    count(&WORKFLOW_DURATION).rate(Graph)
}

fn requests() -> Series {
    count(&HTTP_SERVER_REQUEST_DURATION).rate(Graph)
}

fn failed_requests() -> Series {
    requests().like("http_response_status_code", "5..")
}

pub(super) fn overview() -> Dashboard {
    let dependencies = || count(&DEPENDENCY_DURATION).rate(Graph).by(&["target"]);
    let panels = vec![
        Panel::graph(
            "Workflow Execution Rate",
            Unit::PerSecond,
            "Runs of workflows that ended, by how they ended.",
        )
        .shows(runs().by(&["status"]), "{{status}}"),
        Panel::stat("Workflow Success Rate", Unit::Share, "The share of runs that succeeded.")
            .shows(share(runs().with("status", "success"), runs()), "success"),
        Panel {
            width: 4,
            ..Panel::stat("Active Workers", Unit::Count, "Workers that take jobs from queues.")
        }
        .shows(level(&WORKERS_ACTIVE), "workers"),
        Panel::graph(
            "HTTP Request Rate by Status",
            Unit::PerSecond,
            "Requests that were answered, by status.",
        )
        .shows(requests().by(&["http_response_status_code"]), "{{http_response_status_code}}"),
        Panel::graph(
            "Queue Depth",
            Unit::Count,
            "Jobs that wait. If it only grows, workers are too few or too slow.",
        )
        .shows(level(&QUEUE_DEPTH).by(&["queue"]), "{{queue}}"),
        Panel::graph(
            "Workflow Duration Percentiles",
            Unit::Seconds,
            "How long runs took; the exemplars name runs.",
        )
        .percentiles(&buckets(&WORKFLOW_DURATION).rate(Graph)),
        Panel::bars(
            "Top Workflows by Execution Count",
            Unit::Count,
            "The ten workflows that ran most in 24 hours.",
        )
        .shows(
            Expr::from(count(&WORKFLOW_DURATION).increase(hours(24)).by(&["workflow"])).top(10),
            "{{workflow}}",
        ),
        Panel::graph(
            "Failing Calls by Dependency",
            Unit::Share,
            "The share of calls to databases and others that failed.",
        )
        .shows(share(dependencies().with("status", "failed"), dependencies()), "{{target}}"),
        Panel::graph(
            "Health Checks",
            Unit::Count,
            "1 where a check passed on every instance last time, otherwise 0.",
        )
        .shows(level(&HEALTH_CHECK_STATUS).by(&["check"]).least(), "{{check}}"),
    ];
    Dashboard { name: "overview", title: "System Overview", about: "Does the service do its work?", panels }
}

pub(super) fn service_health() -> Dashboard {
    const BY_ROUTE: &[&str] = &["http_request_method", "http_route"];
    let panels = vec![
        Panel::stat("Error Rate", Unit::Share, "The share of requests that were answered with 500 or more.")
            .shows(share(failed_requests(), requests()), "errors"),
        Panel::stat("P95 Latency", Unit::Seconds, "19 of 20 requests took less.")
            .shows(buckets(&HTTP_SERVER_REQUEST_DURATION).rate(Graph).quantile(0.95), "p95"),
        Panel::stat("Throughput", Unit::PerMinute, "Requests that were answered, a minute.")
            .shows(Expr::from(requests()).times(60.0), "requests"),
        Panel::graph(
            "Request Rate (24h)",
            Unit::PerSecond,
            "Requests that were answered, whatever time is chosen above.",
        )
        .shows(requests(), "requests")
        .since("24h")
        .wide(),
        Panel::bars(
            "Error Rate by Endpoint",
            Unit::Share,
            "Where the errors come from: the share of failures of each route.",
        )
        .shows(
            share(failed_requests().by(BY_ROUTE), requests().by(BY_ROUTE)),
            "{{http_request_method}} {{http_route}}",
        )
        .wide(),
    ];
    Dashboard {
        name: "service-health",
        title: "Service Health",
        about: "Are requests answered, and in time?",
        panels,
    }
}

pub(super) fn objectives() -> Dashboard {
    let left = || Expr::Number(1.0).minus(burn_rate(hours(24 * 30)));
    let panels = vec![
        Panel::stat(
            "Error Budget Left",
            Unit::Share,
            "Of what may fail in 30 days: 1 in 1,000 requests. Below 0, the objective is missed.",
        )
        .shows(left(), "left"),
        Panel::stat("Availability in 30 Days", Unit::Share, "The share of requests that did not fail.")
            .shows(
                Expr::Number(1.0).minus(burn_rate(hours(24 * 30)).times(crate::alerts::BUDGET)),
                "availability",
            ),
        Panel::stat(
            "Burn Rate Now",
            Unit::Count,
            "1 spends the budget in exactly 30 days; alerts begin at 14.4, 6 and 1.",
        )
        .shows(burn_rate(hours(1)), "in an hour"),
        Panel::graph(
            "Burn Rates",
            Unit::Count,
            "How fast the budget is spent, over the windows of the alerts.",
        )
        .shows(burn_rate(hours(1)), "1 hour")
        .shows(burn_rate(hours(6)), "6 hours")
        .shows(burn_rate(hours(72)), "3 days")
        .wide(),
    ];
    Dashboard {
        name: "objectives",
        title: "Objectives",
        about: "How much may still fail, and how fast is it spent?",
        panels,
    }
}
