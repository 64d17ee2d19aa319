//! Calls of functions across transports, and of dependencies.

use super::{
    Alias, Description, Gauge, Histogram, Kind, Metric, Unit, catalogue, is_no_success, label, mapped,
    true_for_success,
};

/// A call within a process takes microseconds, one across a slow network seconds.
const SECONDS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0,
];
const BYTES: &[f64] =
    &[128.0, 512.0, 2048.0, 8192.0, 32_768.0, 131_072.0, 524_288.0, 2_097_152.0, 8_388_608.0];

fn is_transport(part: &str) -> bool {
    part == "transport"
}

catalogue! {
    CALLS:

    CALL_DURATION: Histogram["function", "transport", "outcome"] = "throughline_call_duration_seconds", Seconds,
        "How long calls to a function took, as seen by the caller.",
        buckets: SECONDS,
        aliases: [
            Alias::histogram(
                "{prefix}_request_duration_seconds",
                &[label("function", "function"), label("transport", "transport")],
            ),
            Alias::counter(
                "{prefix}_requests_total",
                &[
                    label("function", "function"),
                    label("transport", "transport"),
                    mapped("success", "outcome", true_for_success),
                ],
            ),
            Alias::counter(
                "{prefix}_errors_total",
                &[label("function", "function"), label("transport", "transport")],
            )
            .only("outcome", is_no_success),
            Alias::histogram("{prefix}_function_duration_seconds", &[label("function", "function")]),
            Alias::counter("{prefix}_function_errors_total", &[label("function", "function")])
                .only("outcome", is_no_success),
        ];
    CALL_PART_DURATION: Histogram["function", "transport", "part"] = "throughline_call_part_duration_seconds", Seconds,
        "Where the time of calls was spent: serialize, transport, queue, callee, deserialize; round_trip for transport, \
         queue and callee where the callee does not say how long it took.",
        buckets: SECONDS,
        aliases: [
            Alias::histogram("{prefix}_transport_latency_seconds", &[label("transport", "transport")])
                .only("part", is_transport),
        ];
    CALL_REQUEST_SIZE: Histogram["function", "transport"] = "throughline_call_request_size_bytes", Bytes,
        "Size of the arguments of calls.",
        buckets: BYTES;
    CALL_RESPONSE_SIZE: Histogram["function", "transport"] = "throughline_call_response_size_bytes", Bytes,
        "How large the results of calls were.",
        buckets: BYTES;
    DEPENDENCY_DURATION: Histogram["kind", "target", "status"] = "throughline_dependency_duration_seconds", Seconds,
        "How long calls to databases, queues and external services took.",
        buckets: SECONDS;
    DEPENDENCY_PART_DURATION: Histogram["kind", "target", "part"] =
        "throughline_dependency_part_duration_seconds", Seconds,
        "Where the time of calls to dependencies was spent, if they say how long they took: caller, transport, queue, callee.",
        buckets: SECONDS;
    DEPENDENCY_RATE_LIMIT_REMAINING: Gauge["kind", "target"] =
        "throughline_dependency_rate_limit_remaining", Count,
        "How many more calls a dependency said it would accept.";
}
