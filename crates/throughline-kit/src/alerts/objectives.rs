//! How fast the error budget is spent, with the numbers of the
//! [SRE workbook](https://sre.google/workbook/alerting-on-slos/): multiple windows, multiple burn rates.

use throughline_core::metrics::catalogue::HTTP_SERVER_REQUEST_DURATION;

use crate::alert::Severity::{Critical, Warning};
use crate::alert::{Alert, Group, for_minutes};
use crate::expr::{Expr, Window, count, hours, minutes, share};

/// The share of requests that may fail in 30 days.
pub(crate) const BUDGET: f64 = 0.001;

/// The share of requests that failed, in terms of the budget: 1 spends it in exactly 30 days.
pub(crate) fn burn_rate(window: Window) -> Expr {
    let requests = || count(&HTTP_SERVER_REQUEST_DURATION).rate(window);
    share(requests().like("http_response_status_code", "5.."), requests()).over(Expr::Number(BUDGET))
}

/// Burnt in the long window, and still burning in the short one.
fn burns(long: Window, short: Window, rate: f64) -> Expr {
    burn_rate(long).above(rate).and(burn_rate(short).above(rate))
}

pub(super) fn burn_rates() -> Group {
    let alerts = vec![
        Alert {
            name: "ErrorBudgetBurnsFast",
            severity: Critical,
            expr: burns(hours(1), minutes(5), 14.4),
            lasting: for_minutes(0),
            summary: "{{ $labels.job }} spends its error budget {{ $value | humanize }} times too fast",
            description: "2 % of the budget of 30 days (1 in 1,000 requests may fail) was spent in an hour: it is gone in 2 days.",
            dashboard: "objectives",
        },
        Alert {
            name: "ErrorBudgetBurns",
            severity: Critical,
            expr: burns(hours(6), minutes(30), 6.0),
            lasting: for_minutes(0),
            summary: "{{ $labels.job }} spends its error budget {{ $value | humanize }} times too fast",
            description: "5 % of the budget of 30 days (1 in 1,000 requests may fail) was spent in 6 hours: it is gone in 5 days.",
            dashboard: "objectives",
        },
        Alert {
            name: "ErrorBudgetBurnsSlowly",
            severity: Warning,
            expr: burns(hours(72), hours(6), 1.0),
            lasting: for_minutes(0),
            summary: "{{ $labels.job }} spends its error budget {{ $value | humanize }} times too fast",
            description: "10 % of the budget of 30 days (1 in 1,000 requests may fail) was spent in 3 days: nothing will be left of it.",
            dashboard: "objectives",
        },
    ];
    Group { name: "objectives", alerts }
}
