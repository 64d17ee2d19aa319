//! Reports on a real server, and what the delivery report says where none takes them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests may fail a test too"
)]

mod bugsink;
mod failures;
mod ledger;
mod panics;
mod receiver;
mod redaction;
mod timings;

use std::time::Duration;

use throughline_core::{DestinationReport, Throughline};
use throughline_sentry::{Sentry, SentryGuard};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// An emitter that reports to this DSN, as an application sets it up.
fn reporting(dsn: &str) -> (Throughline, Sentry, SentryGuard) {
    with(Sentry::builder().dsn(dsn))
}

fn with(builder: throughline_sentry::SentryBuilder) -> (Throughline, Sentry, SentryGuard) {
    let sentry = builder.build().unwrap();
    let guard = sentry.init();
    let throughline = Throughline::builder("loans").sink(sentry.clone()).build().unwrap();
    (throughline, sentry, guard)
}

/// What the delivery report says of Sentry, which is in balance whatever happens.
fn account(throughline: &Throughline) -> DestinationReport {
    let report = throughline.delivery_report();
    let account = report.destinations.into_iter().find(|destination| destination.name == "sentry").unwrap();
    assert!(account.balances(), "{account:?}");
    account
}
