//! Requests that are served, and calls of functions across transports.

use throughline_core::metrics::catalogue::{CALL_DURATION, HTTP_SERVER_REQUEST_DURATION};

use crate::alert::Severity::{Critical, Info, Warning};
use crate::alert::{Alert, Group, for_minutes};
use crate::expr::{Expr, Series, buckets, count, minutes, share};

const WINDOW: crate::expr::Window = minutes(5);

fn requests() -> Series {
    count(&HTTP_SERVER_REQUEST_DURATION).rate(WINDOW)
}

/// Requests that the service failed to answer; what callers did wrong is not its failure.
fn failed_requests() -> Series {
    requests().like("http_response_status_code", "5..")
}

fn request_time() -> Series {
    buckets(&HTTP_SERVER_REQUEST_DURATION).rate(WINDOW)
}

pub(super) fn http() -> Group {
    const BY_ROUTE: &[&str] = &["http_route"];
    let errors = || share(failed_requests(), requests());
    let alerts = vec![
        Alert {
            name: "APIDown",
            severity: Critical,
            expr: errors().above(0.5),
            lasting: for_minutes(2),
            summary: "{{ $labels.job }} fails {{ $value | humanizePercentage }} of its requests",
            description: "More than half of all requests of the last 5 minutes were answered with a status of 500 or more. \
                          The service is of no use to anybody: page the person on call, and undo the last deployment.",
            dashboard: "service-health",
        },
        Alert {
            name: "HighErrorRate",
            severity: Warning,
            expr: errors().above(0.05),
            lasting: for_minutes(5),
            summary: "{{ $labels.job }} fails {{ $value | humanizePercentage }} of its requests",
            description: "More than 5 % of all requests of the last 5 minutes were answered with a status of 500 or more.",
            dashboard: "service-health",
        },
        Alert {
            name: "ElevatedErrors",
            severity: Info,
            expr: errors().above(0.01),
            lasting: for_minutes(30),
            summary: "{{ $labels.job }} fails {{ $value | humanizePercentage }} of its requests",
            description: "For half an hour, more than 1 % of all requests were answered with a status of 500 or more.",
            dashboard: "service-health",
        },
        Alert {
            name: "HighHTTPErrorRate",
            severity: Warning,
            expr: share(failed_requests().by(BY_ROUTE), requests().by(BY_ROUTE)).above(0.05),
            lasting: for_minutes(5),
            summary: "{{ or $labels.http_route \"What matches no route\" }} fails {{ $value | humanizePercentage }} of its requests",
            description: "More than 5 % of the requests to one route of {{ $labels.job }} were answered with a status of 500 or \
                          more in the last 5 minutes. The service as a whole may be well.",
            dashboard: "api",
        },
        Alert {
            name: "HighLatency",
            severity: Warning,
            expr: request_time().quantile(0.95).above(2.0),
            lasting: for_minutes(5),
            summary: "{{ $labels.job }} takes {{ $value | humanizeDuration }} for 1 in 20 requests",
            description: "The 95th percentile of the time of all requests of the last 5 minutes is above 2 s.",
            dashboard: "service-health",
        },
        Alert {
            name: "ElevatedLatency",
            severity: Info,
            expr: request_time().quantile(0.95).above(1.0),
            lasting: for_minutes(30),
            summary: "{{ $labels.job }} takes {{ $value | humanizeDuration }} for 1 in 20 requests",
            description: "For half an hour, the 95th percentile of the time of all requests was above 1 s.",
            dashboard: "service-health",
        },
        Alert {
            name: "HighHTTPLatency",
            severity: Warning,
            expr: request_time().by(BY_ROUTE).quantile(0.95).above(2.0),
            lasting: for_minutes(5),
            summary: "{{ or $labels.http_route \"What matches no route\" }} takes {{ $value | humanizeDuration }} for 1 in 20 requests",
            description: "The 95th percentile of the time of the requests to one route of {{ $labels.job }} is above 2 s in the \
                          last 5 minutes. The service as a whole may be well.",
            dashboard: "api",
        },
    ];
    Group { name: "http", alerts }
}

pub(super) fn calls() -> Group {
    const BY: &[&str] = &["transport"];
    let calls = || count(&CALL_DURATION).rate(WINDOW).by(BY);
    let failed = calls().without("outcome", "success");
    let alerts = vec![
        Alert {
            name: "SidecarHighLatency",
            severity: Warning,
            expr: buckets(&CALL_DURATION).rate(WINDOW).by(BY).quantile(0.95).above(0.1),
            lasting: for_minutes(5),
            summary: "Calls over {{ $labels.transport }} take {{ $value | humanizeDuration }} for 1 in 20",
            description: "The 95th percentile of the time of calls of functions over one transport is above 100 ms in the last \
                          5 minutes.",
            dashboard: "transport",
        },
        Alert {
            name: "SidecarHighErrorRate",
            severity: Critical,
            expr: share(failed, calls()).above(0.05),
            lasting: for_minutes(2),
            summary: "{{ $value | humanizePercentage }} of the calls over {{ $labels.transport }} fail",
            description: "More than 5 % of the calls of functions over one transport did not succeed in the last 5 minutes.",
            dashboard: "transport",
        },
        Alert {
            name: "SidecarTransportFailure",
            severity: Critical,
            // A target that is not known any more is as far away as one that does not answer.
            expr: Expr::Up.equals(0.0).or(Expr::Up.absent()),
            lasting: for_minutes(1),
            summary: "{{ $labels.job }} does not respond{{ with $labels.instance }} at {{ . }}{{ end }}",
            description: "Prometheus has not been able to read the metrics of the service for a minute, or does not know where it \
                          is. Of what happens in it nothing is seen, and no other alert of it can be trusted.",
            dashboard: "overview",
        },
    ];
    Group { name: "calls", alerts }
}
