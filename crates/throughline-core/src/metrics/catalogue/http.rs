//! HTTP servers and clients, by the
//! [OTel semantic conventions](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).

use super::{
    Alias, AliasLabel, Counter, Description, Gauge, Histogram, Kind, Metric, Unit, catalogue, label,
};

/// The buckets that the conventions advise, in seconds.
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const METHOD_AND_PATH: &[AliasLabel] = &[label("method", "http_request_method"), label("path", "http_route")];
const METHOD_PATH_AND_STATUS: &[AliasLabel] = &[
    label("method", "http_request_method"),
    label("path", "http_route"),
    label("status", "http_response_status_code"),
];

fn is_client_or_server_error(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

catalogue! {
    HTTP:

    HTTP_SERVER_REQUEST_DURATION: Histogram[
        "http_request_method", "url_scheme", "http_route", "http_response_status_code", "error_type",
        "network_protocol_version"
    ] = "http_server_request_duration_seconds", Seconds,
        "How long requests took, from the request headers to the end of the response body.",
        buckets: SECONDS,
        aliases: [
            Alias::counter("{prefix}_http_requests_total", METHOD_PATH_AND_STATUS),
            Alias::histogram("{prefix}_http_request_duration_seconds", METHOD_AND_PATH),
            Alias::counter("{prefix}_api_requests_total", METHOD_PATH_AND_STATUS),
            Alias::counter("{prefix}_api_requests_errors_total", METHOD_PATH_AND_STATUS)
                .only("http_response_status_code", is_client_or_server_error),
            Alias::histogram("{prefix}_api_latency_seconds", METHOD_AND_PATH),
        ];
    HTTP_SERVER_ACTIVE_REQUESTS: Gauge["http_request_method", "url_scheme"] = "http_server_active_requests", Count,
        "How many requests are in progress.";
    HTTP_SERVER_WEBSOCKETS: Gauge["http_route"] = "throughline_websockets_active", Count,
        "How many WebSockets are open.",
        aliases: [Alias::gauge("{prefix}_api_active_connections", &[])];
    HTTP_SERVER_WEBSOCKET_UPGRADES: Counter["http_route", "outcome"] = "throughline_websocket_upgrades_total", Count,
        "WebSocket upgrades that clients requested: accepted, refused, failed, cancelled.";
    HTTP_CLIENT_REQUEST_DURATION: Histogram[
        "http_request_method", "server_address", "server_port", "http_response_status_code", "error_type"
    ] = "http_client_request_duration_seconds", Seconds,
        "How long outgoing requests took, up to the response headers.",
        buckets: SECONDS;
}
