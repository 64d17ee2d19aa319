//! [`HealthReport`], the response to a probe.

use std::time::Duration;

use serde::{Serialize, Serializer};
use throughline_core::Text;

use super::runner::{CheckResult, CheckRunner};

/// How a service or one of its checks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HealthStatus {
    /// All is well.
    Healthy,
    /// An informative check fails; the service does its work.
    Degraded,
    /// A required check fails, or the service drains.
    Unhealthy,
}

/// The response to a probe. Serialised it is the JSON body of the endpoints, with all details.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HealthReport {
    /// How the service is.
    pub status: HealthStatus,
    /// Whether it takes no more traffic because it is [shutting down](super::Health::drain).
    pub draining: bool,
    /// The result of each check that ran, in the order in which they were added.
    pub checks: Vec<CheckReport>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Its name.
    pub name: Text,
    /// [`Healthy`](HealthStatus::Healthy) or [`Unhealthy`](HealthStatus::Unhealthy).
    pub status: HealthStatus,
    /// Whether the service is unhealthy with it.
    pub required: bool,
    /// Why it fails, redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it saw, redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How long it took.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// How long ago that was.
    #[serde(rename = "age_ms", serialize_with = "milliseconds")]
    pub age: Duration,
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1000.0)
}

impl CheckReport {
    pub(super) fn new(check: &CheckRunner, result: &CheckResult) -> Self {
        let (status, note, error) = match &result.outcome {
            Ok(note) => (HealthStatus::Healthy, note.clone(), None),
            Err(error) => (HealthStatus::Unhealthy, None, Some(error.clone())),
        };
        Self {
            name: check.name.clone(),
            status,
            required: check.required,
            error,
            note,
            duration: result.took,
            age: result.at.elapsed(),
        }
    }
}

impl HealthReport {
    pub(super) fn new(checks: Vec<CheckReport>, draining: bool) -> Self {
        let any = |required| {
            let fails = |check: &CheckReport| check.status != HealthStatus::Healthy;
            checks.iter().any(|check| check.required == required && fails(check))
        };
        let status = match (draining || any(true), any(false)) {
            (true, _) => HealthStatus::Unhealthy,
            (false, true) => HealthStatus::Degraded,
            (false, false) => HealthStatus::Healthy,
        };
        Self { status, draining, checks }
    }

    /// The required checks that fail.
    pub fn failing(&self) -> impl Iterator<Item = &CheckReport> {
        self.unhealthy(true)
    }

    /// The informative checks that fail.
    pub fn degraded(&self) -> impl Iterator<Item = &CheckReport> {
        self.unhealthy(false)
    }

    fn unhealthy(&self, required: bool) -> impl Iterator<Item = &CheckReport> {
        let fails =
            move |check: &&CheckReport| check.required == required && check.status != HealthStatus::Healthy;
        self.checks.iter().filter(fails)
    }

    /// The JSON of a response; without details it names what fails, and no more.
    pub(super) fn json(&self, details: bool) -> String {
        let body = self.body(details);
        serde_json::to_string(&body).unwrap_or_default()
    }

    fn body(&self, details: bool) -> Body<'_> {
        Body {
            status: self.status,
            draining: self.draining,
            failing: self.failing().map(|check| &*check.name).collect(),
            degraded: self.degraded().map(|check| &*check.name).collect(),
            checks: details.then_some(&*self.checks),
        }
    }
}

impl Serialize for HealthReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body(true).serialize(serializer)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    status: HealthStatus,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    draining: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    degraded: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<&'a [CheckReport]>,
}
