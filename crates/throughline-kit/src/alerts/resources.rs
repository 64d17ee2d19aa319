//! What a service depends on, what it makes, and what it needs.

use throughline_core::metrics::catalogue::{
    DEPENDENCY_DURATION, HEALTH_CHECK_STATUS, PROCESS_RESIDENT_MEMORY, PROVISIONING_DURATION,
};

use crate::alert::Severity::{Critical, Info, Warning};
use crate::alert::{Alert, Group, for_minutes};
use crate::expr::{Expr, Series, Window, buckets, count, hours, level, minutes, share};

const WINDOW: Window = minutes(5);
const DATABASES: &str =
    "(?i)(.*[^a-z])?(db|database|postgres|postgresql|mysql|mariadb|sqlite|cosmos|mongodb|store)([^a-z].*)?";
const REDIS: &str = "(?i).*redis.*";
const BY_TARGET: &[&str] = &["target"];
const BY_CHECK: &[&str] = &["check"];

fn calls(label: &'static str, pattern: &'static str) -> Series {
    count(&DEPENDENCY_DURATION).like(label, pattern).rate(WINDOW).by(BY_TARGET)
}

/// The share of calls that failed. One that was cancelled says nothing of whom it was for.
fn failing(label: &'static str, pattern: &'static str) -> Expr {
    share(calls(label, pattern).with("status", "failed"), calls(label, pattern))
}

fn unhealthy(pattern: &'static str) -> Expr {
    Expr::from(level(&HEALTH_CHECK_STATUS).like("check", pattern).by(BY_CHECK).least()).below(1.0)
}

pub(super) fn dependencies() -> Group {
    let alerts = vec![
        Alert {
            name: "DatabaseUnavailable",
            severity: Critical,
            expr: failing("kind", DATABASES).above(0.1),
            lasting: for_minutes(2),
            summary: "{{ $value | humanizePercentage }} of the calls to {{ $labels.target }} fail",
            description: "More than 10 % of the calls to a database failed in the last 5 minutes, as those say that wait for it.",
            dashboard: "overview",
        },
        Alert {
            name: "DatabaseConnectionFailure",
            severity: Critical,
            expr: unhealthy(DATABASES),
            lasting: for_minutes(1),
            summary: "{{ $labels.job }} does not reach its database: the check {{ $labels.check }} fails",
            description: "A health check that is called after a database, or the check of the store, fails on at least one \
                          instance. A check is made when the probes of the service ask for it.",
            dashboard: "overview",
        },
        Alert {
            name: "RedisConnectionFailure",
            severity: Critical,
            expr: unhealthy(REDIS)
                .or(failing("kind", REDIS).above(0.5))
                .or(failing("target", REDIS).above(0.5)),
            lasting: for_minutes(1),
            summary: "{{ $labels.job }} does not reach Redis{{ with $labels.target }} ({{ . }}){{ end }}",
            description: "A health check that is called after Redis fails, or more than half of the calls to it failed in the last \
                          5 minutes.",
            dashboard: "overview",
        },
        Alert {
            name: "HighMemoryUsage",
            severity: Warning,
            expr: Expr::from(level(&PROCESS_RESIDENT_MEMORY).by(&["instance"])).above(2_147_483_648.0),
            lasting: for_minutes(10),
            summary: "{{ $labels.instance }} uses {{ $value | humanize1024 }}B of memory",
            description: "A process has used more than 2 GiB of memory for 10 minutes. How much it may use, it does not know: set \
                          the bound to 80 % of the limit that it runs with.",
            dashboard: "library",
        },
    ];
    Group { name: "dependencies", alerts }
}

pub(super) fn sessions() -> Group {
    const BY_KIND: &[&str] = &["kind"];
    let made = || count(&PROVISIONING_DURATION).rate(WINDOW).by(BY_KIND);
    let failed = || Expr::from(made().without("outcome", "success"));
    let succeeded = || Expr::from(made().with("outcome", "success"));
    let sessions = || count(&PROVISIONING_DURATION).with("kind", "session").with("outcome", "success");
    let alerts = vec![
        Alert {
            name: "AllSandboxCreationFailing",
            severity: Critical,
            // Attempts are not counted under all names, and those that succeed have no series where none did.
            expr: failed().over(failed().plus(succeeded().or(failed().times(0.0)))).above(0.5),
            lasting: for_minutes(5),
            summary: "{{ $value | humanizePercentage }} of the attempts to create a {{ $labels.kind }} fail",
            description: "Less than half of the attempts of the last 5 minutes to create a resource succeeded.",
            dashboard: "sessions",
        },
        Alert {
            name: "SandboxBootSlow",
            severity: Warning,
            expr: buckets(&PROVISIONING_DURATION)
                .with("outcome", "success")
                .rate(WINDOW)
                .by(BY_KIND)
                .quantile(0.95)
                .above(60.0),
            lasting: for_minutes(10),
            summary: "A {{ $labels.kind }} takes {{ $value | humanizeDuration }} to create for 1 in 20",
            description: "The 95th percentile of the time that it takes to create a resource is above a minute.",
            dashboard: "sessions",
        },
        Alert {
            name: "LowSessions",
            severity: Info,
            // What a process counted is gone with it: if there were sessions in the last day, none is 0. Of a service that was
            // not there an hour ago it is too early to say.
            expr: Expr::from(sessions().increase(hours(1)))
                .or(Expr::from(sessions().increase(hours(24))).times(0.0))
                .below(10.0)
                .and(Expr::WasUp(hours(1))),
            lasting: for_minutes(30),
            summary: "Only {{ $value | humanize }} sessions were created in an hour",
            description: "Less than 10 sessions were created in the last hour, in a service that created some in the last day. Users \
                          may not get that far.",
            dashboard: "sessions",
        },
    ];
    Group { name: "sessions", alerts }
}
