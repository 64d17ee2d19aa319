//! The service as others see it, from outside: what a prober says.
//!
//! Where nobody probes there are no series, and none of these fires.

use crate::alert::Severity::{Critical, Warning};
use crate::alert::{Alert, Group, for_minutes};
use crate::expr::Expr;

const DAY_SECONDS: f64 = 86_400.0;

/// In how many seconds the first certificate of a target expires.
pub(crate) fn certificate_left() -> Expr {
    Expr::Probed("probe_ssl_earliest_cert_expiry").minus(Expr::Now)
}

pub(super) fn uptime() -> Group {
    let alerts = vec![
        Alert {
            name: "ProbeFails",
            severity: Critical,
            expr: Expr::Probed("probe_success").equals(0.0),
            lasting: for_minutes(2),
            summary: "{{ $labels.instance }} does not answer from outside",
            description: "A prober has had no good answer for 2 minutes: no connection, no valid certificate, or another status than \
                          2xx. What the service says of itself may be well; users do not get that far.",
            dashboard: "uptime",
        },
        Alert {
            name: "ProbeSlow",
            severity: Warning,
            expr: Expr::Probed("probe_duration_seconds").above(2.0),
            lasting: for_minutes(5),
            summary: "{{ $labels.instance }} takes {{ $value | humanizeDuration }} to answer from outside",
            description: "A probe has taken more than 2 s for 5 minutes, from the name of the host to the end of the answer.",
            dashboard: "uptime",
        },
        Alert {
            name: "CertificateExpires",
            severity: Critical,
            expr: certificate_left().below(3.0 * DAY_SECONDS),
            lasting: for_minutes(10),
            summary: "The certificate of {{ $labels.instance }} expires in {{ $value | humanizeDuration }}",
            description: "A certificate on the way to the service expires within 3 days, or has expired. After that no browser \
                          connects.",
            dashboard: "uptime",
        },
        Alert {
            name: "CertificateExpiresSoon",
            severity: Warning,
            expr: certificate_left().below(14.0 * DAY_SECONDS),
            lasting: for_minutes(10),
            summary: "The certificate of {{ $labels.instance }} expires in {{ $value | humanizeDuration }}",
            description: "A certificate on the way to the service expires within 14 days. What renews it has had its time.",
            dashboard: "uptime",
        },
        Alert {
            name: "ProberDown",
            severity: Warning,
            expr: Expr::Probed("up").equals(0.0),
            lasting: for_minutes(5),
            summary: "Nobody looks at {{ $labels.instance }} from outside: the prober does not answer",
            description: "Prometheus has not reached the prober for 5 minutes. Whether users reach the service is not known.",
            dashboard: "uptime",
        },
    ];
    Group { name: "uptime", alerts }
}
