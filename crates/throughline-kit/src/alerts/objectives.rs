//! How fast the error budget is spent, with the numbers of the
//! [SRE workbook](https://sre.google/workbook/alerting-on-slos/): multiple windows, multiple burn rates.

use std::time::Duration;

use throughline_core::metrics::catalogue::HTTP_SERVER_REQUEST_DURATION;

use crate::alert::Severity::{self, Critical, Warning};
use crate::alert::{Alert, Group, for_minutes};
use crate::expr::{Expr, Window, count, share};

const THIRTY_DAYS: Duration = for_minutes(30 * 24 * 60);

/// What each of the [`BURNS`] means for the service as a whole.
const DESCRIPTIONS: [&str; 3] = [
    "2 % of the budget of 30 days (1 in 1,000 requests may fail) was spent in an hour: it is gone in 2 days.",
    "5 % of the budget of 30 days (1 in 1,000 requests may fail) was spent in 6 hours: it is gone in 5 days.",
    "10 % of the budget of 30 days (1 in 1,000 requests may fail) was spent in 3 days: nothing will be left of it.",
];

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

/// A rate at which a budget is spent that somebody has to know of.
#[derive(Debug)]
pub(crate) struct Burn {
    pub(crate) name: &'static str,
    pub(crate) severity: Severity,
    /// How many hundredths of the budget are gone by the end of the long window.
    pub(crate) percent: u32,
    pub(crate) long: Duration,
    pub(crate) short: Duration,
}

/// The numbers of the workbook: over 30 days, they are rates of 14.4, 6 and 1.
pub(crate) const BURNS: [Burn; 3] = [
    Burn {
        name: "ErrorBudgetBurnsFast",
        severity: Critical,
        percent: 2,
        long: for_minutes(60),
        short: for_minutes(5),
    },
    Burn {
        name: "ErrorBudgetBurns",
        severity: Critical,
        percent: 5,
        long: for_minutes(6 * 60),
        short: for_minutes(30),
    },
    Burn {
        name: "ErrorBudgetBurnsSlowly",
        severity: Warning,
        percent: 10,
        long: for_minutes(72 * 60),
        short: for_minutes(6 * 60),
    },
];

impl Burn {
    /// How much faster the budget of a window is spent than it may be: 1 spends it in exactly the window.
    pub(crate) fn rate(&self, window: Duration) -> f64 {
        f64::from(self.percent) * window.as_secs_f64() / (100.0 * self.long.as_secs_f64())
    }
}

pub(super) fn burn_rates() -> Group {
    let alerts = BURNS.iter().zip(DESCRIPTIONS).map(|(burn, description)| Alert {
        name: burn.name,
        severity: burn.severity,
        expr: burns(Window::Of(burn.long), Window::Of(burn.short), burn.rate(THIRTY_DAYS)),
        lasting: for_minutes(0),
        summary: "{{ $labels.job }} spends its error budget {{ $value | humanize }} times too fast",
        description,
        dashboard: "objectives",
    });
    Group { name: "objectives", alerts: alerts.collect() }
}
