//! [`Alert`]: one definition of an alert, from which rules, runbooks and tables are made.

use std::time::Duration;

use crate::expr::Expr;

/// What wakes somebody, or should be looked at.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) name: &'static str,
    pub(crate) severity: Severity,
    pub(crate) expr: Expr,
    /// How long it has to be so.
    pub(crate) lasting: Duration,
    /// One line, with `{{ $labels.… }}` by the labels of the catalogue.
    pub(crate) summary: &'static str,
    /// What is measured, what the bound is, and who suffers.
    pub(crate) description: &'static str,
    /// The dashboard that shows it.
    pub(crate) dashboard: &'static str,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Who is on call, at any hour.
    Critical,
    /// Who is at work, in business hours.
    Warning,
    /// Those who read the chat.
    Info,
}

impl Severity {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// Alerts that belong together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) alerts: Vec<Alert>,
}

pub(crate) const fn for_minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}
