//! State machines, the resources that a service makes, timers, and health.

use super::{
    Alias, Counter, Description, Gauge, Histogram, Kind, Metric, Unit, catalogue, is_no_success, is_success,
    label,
};

const LIFE_SECONDS: &[f64] =
    &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0];
const BOOT_SECONDS: &[f64] =
    &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0];
const CHECK_SECONDS: &[f64] = &[0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0];

catalogue! {
    RESOURCES:

    STATE_TRANSITIONS: Counter["machine", "from", "to"] = "throughline_state_transitions_total", Count,
        "Transitions of state machines.",
        aliases: [
            Alias::counter(
                "{prefix}_{machine}_state_transitions_total",
                &[label("from", "from"), label("to", "to")],
            ),
        ];
    STATE_TRIGGERS: Counter["machine", "trigger"] = "throughline_state_triggers_total", Count,
        "Triggers of transitions of state machines.",
        aliases: [Alias::counter("{prefix}_{machine}_{trigger}_total", &[])];
    STATE_ILLEGAL_TRANSITIONS: Counter["machine", "from", "to"] =
        "throughline_state_illegal_transitions_total", Count,
        "Transitions that state machines refused.";
    STATE_ENTITIES: Gauge["machine", "state"] = "throughline_state_entities", Count,
        "How many entities are in a state.";
    STATE_DURATION: Histogram["machine", "state"] = "throughline_state_duration_seconds", Seconds,
        "How long entities stayed in a state.",
        buckets: LIFE_SECONDS;
    STATE_LIFETIME: Histogram["machine"] = "throughline_state_lifetime_seconds", Seconds,
        "How long entities lived, from their creation until they entered a final state.",
        buckets: LIFE_SECONDS,
        aliases: [Alias::histogram("{prefix}_{machine}_duration_seconds", &[])];
    PROVISIONING_DURATION: Histogram["kind", "outcome"] = "throughline_provisioning_duration_seconds", Seconds,
        "How long it took to create a resource: a session, a sandbox.",
        buckets: BOOT_SECONDS,
        aliases: [
            Alias::counter("{prefix}_{kind}_created_total", &[]).only("outcome", is_success),
            Alias::counter("{prefix}_{kind}_create_failures_total", &[]).only("outcome", is_no_success),
            Alias::histogram("{prefix}_{kind}_boot_time_seconds", &[]).only("outcome", is_success),
            Alias::histogram("{prefix}_{kind}_create_latency_seconds", &[]).only("outcome", is_success),
        ];
    RESOURCE_HEALTH_CHECKS: Counter["kind", "outcome"] = "throughline_resource_health_checks_total", Count,
        "Health checks of the resources that a service created, by outcome.",
        aliases: [
            Alias::counter("{prefix}_{kind}_health_check_success_total", &[]).only("outcome", is_success),
            Alias::counter("{prefix}_{kind}_health_check_failure_total", &[]).only("outcome", is_no_success),
        ];
    TIMERS: Counter["timer", "event"] = "throughline_timers_total", Count,
        "What became of timers: scheduled, fired, cancelled.";
    HEALTH_CHECK_STATUS: Gauge["check"] = "throughline_health_check_status", Count,
        "Whether a health check of this service passed last time: 1 or 0.";
    HEALTH_CHECK_DURATION: Histogram["check"] = "throughline_health_check_duration_seconds", Seconds,
        "How long health checks of this service took.",
        buckets: CHECK_SECONDS;
}
