//! Runs with several sagas, with names that have no room on a narrow page, and with times that no clock shows.

use std::time::Duration;

use serde_json::json;
use throughline_core::names::{self, attrs, tags};
use throughline_core::testing::{RunBuilder, run};
use throughline_core::{Attrs, Link, Relation, SpanId, Status, Timestamp, TraceEvent, TraceId};

/// Something happens in it: then it is not at the same time as what comes next.
const A_WHILE: Duration = Duration::from_millis(2);

fn saga(run: &mut RunBuilder, name: &'static str) -> SpanId {
    let saga = run.begin(names::SAGA_STARTED);
    run.edit(|event| event.attrs = Attrs::new().with(attrs::SAGA, name));
    saga
}

/// A step that has a compensation, and what it created.
fn done(run: &mut RunBuilder, parent: SpanId, name: &str, resource: &'static str) -> SpanId {
    let step = run.begin_in(parent, name);
    run.edit(|event| event.tags = vec![tags::COMPENSABLE.into()]);
    run.pass(A_WHILE);
    run.succeed(step);
    run.edit(|event| event.attrs = Attrs::new().with(attrs::RESOURCE, resource));
    step
}

fn undone(run: &mut RunBuilder, parent: SpanId, name: &str, step: SpanId) {
    let compensation = run.begin_in(parent, name);
    run.edit(|event| {
        event.tags = vec![tags::COMPENSATION.into()];
        event.links = vec![Link::to(Relation::Compensates, step)];
    });
    run.pass(A_WHILE);
    run.succeed(compensation);
}

fn gave_up(run: &mut RunBuilder, saga: SpanId, step: &str, why: &str) {
    let step = run.begin_in(saga, step);
    run.pass(A_WHILE);
    run.fail(step, "Declined", why);
    run.point_in(saga, names::SAGA_COMPENSATING);
}

/// An order of three sagas that failed: of the first all was undone, of the second in the wrong order, of the third one step. Beside
/// them a step that is in no saga, and a compensation of a step that nobody knows.
pub(crate) fn order_of_sagas() -> (TraceId, Vec<TraceEvent>) {
    let mut run = run("order").key("order-90").at(Timestamp::now().minus(Duration::from_secs(60)));
    let first = saga(&mut run, "stock");
    let shelf = done(&mut run, first, "stage:reserve-shelf", "shelf s-1");
    gave_up(&mut run, first, "stage:pick", "nothing is left");
    undone(&mut run, first, "compensate:reserve-shelf", shelf);
    run.fail(first, "Declined", "nothing is left");

    let second = saga(&mut run, "payment");
    let hold = done(&mut run, second, "stage:hold-amount", "hold h-1");
    let charge = done(&mut run, second, "stage:charge-card", "charge c-1");
    gave_up(&mut run, second, "stage:book", "the book is closed");
    // The hold was there before the charge, which may need it.
    undone(&mut run, second, "compensate:hold-amount", hold);
    undone(&mut run, second, "compensate:charge-card", charge);
    run.fail(second, "Declined", "the book is closed");

    let third = saga(&mut run, "shipping");
    let label = done(&mut run, third, "stage:print-label", "label l-1");
    done(&mut run, third, "stage:call-courier", "courier k-1");
    gave_up(&mut run, third, "stage:hand-over", "the courier did not come");
    undone(&mut run, third, "compensate:print-label", label);
    run.fail(third, "Declined", "the courier did not come");

    let root = run.root();
    undone(&mut run, root, "compensate:unknown", SpanId::random());
    run.fail_run("Declined", "the courier did not come");
    (run.trace_id(), run.events())
}

/// A run whose names have no room on a narrow page: of steps, of errors, of keys, of choices and of what was created, and of each one
/// with nothing in it that it could be broken after.
pub(crate) fn long_names() -> (TraceId, Vec<TraceEvent>) {
    const KEY: &str = "0196f3a2-7c1d-4e5b-9a80-2f6d8c4b1e07";
    const ERROR: &str = "loans::registry::errors::CollateralRegistrationTemporarilyUnavailable";
    let endless = "3f9332f7982e2299".repeat(8);
    let mut run = run("loan_approval.of-private-customers-with-collateral")
        .key(KEY)
        .service("loans.approval-service.eu-central-1")
        .at(Timestamp::now().minus(Duration::from_secs(60)));
    let saga = saga(&mut run, "approval-with-collateral");
    let first =
        done(&mut run, saga, "stage:synchronise-customer-master-data", "reservation-of-funds_2026-11-29");
    run.point_in(saga, "ai:collateral-valuation-by-comparison");
    let choice = format!("secured-by-second-mortgage.{endless}");
    run.edit(|event| {
        event.tags = vec![tags::DECISION.into()];
        event.status = Status::Success;
        event.data = json!({
            "choice": choice, "alternatives": [{ "name": choice, "score": 0.6 }, { "name": "unsecured", "score": 0.4 }],
        })
        .as_object()
        .cloned();
    });
    let unbroken = run.begin_in(saga, &format!("stage:{endless}"));
    run.edit(|event| event.attrs = Attrs::new().with("loans.registry.collateral-class", endless.clone()));
    run.pass(A_WHILE);
    run.fail(unbroken, &endless, &endless);
    let last = run.begin_in(saga, "stage:register_collateral_with_external_land_registry");
    run.pass(A_WHILE);
    run.fail(last, ERROR, "the registry is closed");
    run.point_in(saga, names::SAGA_COMPENSATING);
    let compensation = run.begin_in(saga, "compensate:synchronise-customer-master-data");
    run.edit(|event| {
        event.tags = vec![tags::COMPENSATION.into()];
        event.links = vec![Link::to(Relation::Compensates, first)];
    });
    run.pass(A_WHILE);
    run.fail(compensation, ERROR, "the customer is locked");
    run.fail(saga, ERROR, "the registry is closed");
    run.fail_run(ERROR, "the registry is closed");
    (run.trace_id(), run.events())
}

/// A run with a step that is said to have taken longer than there are dates for.
pub(crate) fn endless_run() -> (TraceId, Vec<TraceEvent>) {
    let mut run = run("order").key("endless-1").at(Timestamp::now().minus(Duration::from_secs(60)));
    let step = run.begin("stage:endless");
    run.succeed(step);
    run.edit(|event| event.duration_us = Some(u64::MAX));
    run.complete_run();
    run.edit(|event| event.duration_us = Some(u64::MAX));
    (run.trace_id(), run.events())
}
