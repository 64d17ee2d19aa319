//! Links that were recorded while a run was under way come before what texts say.

use super::builder::Story;
use crate::{Certainty, Explanation, Says};
use throughline_model::Relation;
use throughline_model::names::errors;

fn cause(explanation: &Explanation) -> (&str, Certainty) {
    let cause = explanation.cause.as_ref().unwrap();
    (cause.span.name.as_str(), cause.certainty)
}

#[test]
fn a_link_names_the_failure_that_no_text_would_find() {
    let (mut s, root) = Story::started("order-1");
    let first = s.open(root, "stage:load");
    s.wait(1).fail(first, "IoError", "disk full");
    let second = s.open(root, "stage:store");
    s.wait(1).fail(second, "IoError", "quota reached");
    s.fail(root, "OrderError", "quota reached").link(Relation::FailedBy, first);
    assert_eq!(cause(&s.query().explain()), ("stage:load", Certainty::Linked));
    // Without the link the text decides.
    s.events.last_mut().unwrap().links.clear();
    assert_eq!(cause(&s.query().explain()), ("stage:store", Certainty::Inferred));
}

#[test]
fn links_are_followed_to_the_innermost() {
    let (mut s, root) = Story::started("order-1");
    let step = s.open(root, "stage:load");
    let call = s.open(step, "dependency:db");
    s.wait(1)
        .fail(call, "DbError", "deadlock")
        .fail(step, "LoadError", "not loaded")
        .link(Relation::FailedBy, call);
    s.fail(root, "OrderError", "no order").link(Relation::FailedBy, step);
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation), ("dependency:db", Certainty::Linked));
    let origin = explanation.statements.iter().find(|statement| statement.says == Says::Origin).unwrap();
    assert_eq!(origin.spans, [call, root, step]);
}

#[test]
fn a_link_to_what_had_not_failed_yet_is_no_link() {
    let (mut s, root) = Story::started("order-1");
    let step = s.open(root, "stage:load");
    s.wait(1).fail(step, "IoError", "disk full").wait(1).fail(root, "IoError", "disk full");
    s.link(Relation::FailedBy, root);
    assert_eq!(cause(&s.query().explain()), ("stage:load", Certainty::Inferred));
}

#[test]
fn links_that_go_in_circles_lead_somewhere() {
    let (mut s, root) = Story::started("order-1");
    let outer = s.open(root, "stage:outer");
    let inner = s.open(outer, "stage:inner");
    s.wait(1).fail(outer, "Error", "no answer").wait(1).fail(inner, "Error", "no answer");
    s.link(Relation::FailedBy, outer)
        .wait(1)
        .fail(root, "Error", "no answer")
        .link(Relation::FailedBy, inner);
    // Both say that the other brought them down, and the one that ended first did.
    assert_eq!(cause(&s.query().explain()), ("stage:outer", Certainty::Linked));
}

#[test]
fn who_cancelled_a_run_is_said_with_what_it_was_waiting_for() {
    let who = [
        (errors::CLIENT_GONE, "the client hung up"),
        (errors::DEADLINE, "its time ran out"),
        (errors::SIBLING_FAILED, "another part of it failed"),
        (errors::SHUTDOWN, "the process was shut down"),
        (errors::ABORTED, "its task was aborted"),
    ];
    for (kind, words) in who {
        let (mut s, root) = Story::started("order-1");
        let call = s.open(root, "dependency:http");
        s.attr("dependency", "carrier-api").wait(30).cancel(call).cancel(root);
        s.last(|event| {
            event.error = Some(Box::new(throughline_model::ErrorInfo {
                kind: kind.into(),
                message: "in words".into(),
                chain: Vec::new(),
            }));
        });
        let headline = s.query().explain().headline;
        let expected = format!(
            "loan-approval was cancelled: {words} after 30 ms while it waited for dependency:http carrier-api"
        );
        assert_eq!(headline, expected);
    }
}
