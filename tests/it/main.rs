//! Tests of the workspace as a whole, in one binary so that they link once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so best by failing at that place")]

mod dependency_rule;
mod event_schema;
mod readme;
