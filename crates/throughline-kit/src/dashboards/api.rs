//! Requests, route by route.

use throughline_core::metrics::catalogue::{
    HTTP_CLIENT_REQUEST_DURATION, HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_WEBSOCKET_UPGRADES, HTTP_SERVER_WEBSOCKETS, WEB_CLS, WEB_ERRORS, WEB_FCP, WEB_INP, WEB_LCP,
    WEB_REPORTS, WEB_TTFB,
};

use crate::dashboard::{Dashboard, Panel, Unit};
use crate::expr::Window::Graph;
use crate::expr::{Expr, buckets, count, level, share};

pub(super) fn api() -> Dashboard {
    const BY_ROUTE: &[&str] = &["http_request_method", "http_route"];
    const CALLED: &str = "{{http_request_method}} {{http_route}}";
    let requests = || count(&HTTP_SERVER_REQUEST_DURATION).rate(Graph).by(BY_ROUTE);
    let failed = requests().like("http_response_status_code", "5..");
    let refused = requests().like("http_response_status_code", "4..");
    let latency = || buckets(&HTTP_SERVER_REQUEST_DURATION).rate(Graph).by(BY_ROUTE);
    let panels = vec![
        Panel::graph("Request Rate by Route", Unit::PerSecond, "Requests that were answered.")
            .shows(requests(), CALLED),
        Panel::graph("Error Rate by Route", Unit::Share, "The share that was answered with 500 or more.")
            .shows(share(failed, requests()), CALLED),
        Panel::graph(
            "Refused by Route",
            Unit::Share,
            "The share that was answered with 400 to 499: what callers did wrong.",
        )
        .shows(share(refused, requests()), CALLED),
        Panel::graph(
            "P95 Latency by Route",
            Unit::Seconds,
            "19 of 20 requests took less; the exemplars name runs.",
        )
        .shows(latency().quantile(0.95), CALLED),
        Panel::graph("Median Latency by Route", Unit::Seconds, "Half of the requests took less.")
            .shows(latency().quantile(0.5), CALLED),
        Panel::graph(
            "Requests in Progress",
            Unit::Count,
            "Requests that are being answered. If it only grows, something hangs.",
        )
        .shows(level(&HTTP_SERVER_ACTIVE_REQUESTS).by(&["http_request_method"]), "{{http_request_method}}"),
        Panel::graph("Open WebSockets", Unit::Count, "Connections that stay.")
            .shows(level(&HTTP_SERVER_WEBSOCKETS), "open"),
        Panel::graph(
            "WebSocket Upgrades",
            Unit::PerSecond,
            "Upgrades that clients asked for, by what became of them.",
        )
        .shows(count(&HTTP_SERVER_WEBSOCKET_UPGRADES).rate(Graph).by(&["outcome"]), "{{outcome}}"),
        Panel::graph("P95 of Outgoing Requests", Unit::Seconds, "How long others take to answer.").shows(
            buckets(&HTTP_CLIENT_REQUEST_DURATION).rate(Graph).by(&["server_address"]).quantile(0.95),
            "{{server_address}}",
        ),
        Panel::graph(
            "Browser: Loading and Reacting",
            Unit::Seconds,
            "The 75th percentile: good is below 2.5 s (LCP), 0.2 s (INP), 1.8 s (FCP) and 0.8 s (TTFB).",
        )
        .shows(buckets(&WEB_LCP).rate(Graph).quantile(0.75), "LCP")
        .shows(buckets(&WEB_INP).rate(Graph).quantile(0.75), "INP")
        .shows(buckets(&WEB_FCP).rate(Graph).quantile(0.75), "FCP")
        .shows(buckets(&WEB_TTFB).rate(Graph).quantile(0.75), "TTFB"),
        Panel::graph("Browser: Layout Shift", Unit::Count, "The 75th percentile of CLS: good is below 0.1.")
            .shows(buckets(&WEB_CLS).rate(Graph).quantile(0.75), "CLS"),
        Panel::graph("Browser: Errors", Unit::PerSecond, "Errors that browsers reported.")
            .shows(Expr::from(count(&WEB_ERRORS).rate(Graph)), "errors"),
        Panel::graph(
            "Browser: Reports",
            Unit::PerSecond,
            "Reports of pages, by what became of them: many that are limited or refused are somebody's mistake, or an attack.",
        )
        .shows(count(&WEB_REPORTS).rate(Graph).by(&["outcome"]), "{{outcome}}"),
    ];
    Dashboard { name: "api", title: "API", about: "Which route is slow or fails?", panels }
}
