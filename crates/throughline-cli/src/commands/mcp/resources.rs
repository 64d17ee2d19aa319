//! Runs and spans as resources: `throughline://run/ID` and `throughline://run/ID/span/ID`.

use rmcp::model::{JsonObject, Resource, ResourceTemplate};
use serde_json::json;
use throughline_core::Page;
use throughline_core::env::percent_decoded;

use super::tools::NoAnswer;
use crate::output::moment;
use crate::store::Store;

const RUN: &str = "throughline://run/";
const SPAN: &str = "/span/";
const TEXT: &str = "text/plain";
/// How many runs are listed.
const LISTED: usize = 20;

/// The run that a URI names.
pub(super) fn run_of(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix(RUN)?;
    decoded(rest.split_once(SPAN).map_or(rest, |(run, _)| run))
}

/// The span that a URI names.
pub(super) fn span_of(uri: &str) -> Option<String> {
    uri.strip_prefix(RUN)?.split_once(SPAN).and_then(|(_, span)| decoded(span))
}

/// What a part of a URI says: a key may have signs in it that separate the parts.
fn decoded(part: &str) -> Option<String> {
    String::from_utf8(percent_decoded(part.as_bytes())?).ok()
}

/// The tool that reads a resource, and what it is asked.
pub(super) fn question(uri: &str) -> Option<(&'static str, JsonObject)> {
    let run = run_of(uri).filter(|run| !run.is_empty())?;
    let (tool, question) = match span_of(uri) {
        Some(span) => ("show_span", json!({ "run": run, "span": span })),
        None => ("explain_run", json!({ "run": run })),
    };
    Some((tool, question.as_object().cloned().unwrap_or_default()))
}

/// The latest runs. They are named by their ids alone, for a name stands outside of all marks.
pub(super) async fn latest(store: &Store) -> Result<Vec<Resource>, NoAnswer> {
    let reader = store.readers().await?.reader;
    let runs = reader.runs_without_causes(&Default::default(), &Page::first(LISTED)).await;
    let runs = runs.map_err(|error| NoAnswer::Said(error.into()))?.items;
    let resource = |run: &throughline_core::RunSummary| {
        let id = run.trace_id;
        Resource::new(format!("{RUN}{id}"), format!("run {id}"))
            .with_description(format!("{}, started {}", run.state, moment(run.started)))
            .with_mime_type(TEXT)
    };
    Ok(runs.iter().map(resource).collect())
}

/// The forms of all URIs.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new(format!("{RUN}{{run}}"), "run")
            .with_description("Why a run failed, or how it stands: what explain_run answers")
            .with_mime_type(TEXT),
        ResourceTemplate::new(format!("{RUN}{{run}}{SPAN}{{span}}"), "span")
            .with_description("All that was recorded of a span: what show_span answers")
            .with_mime_type(TEXT),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_run_or_a_span_of_it() {
        assert_eq!(run_of("throughline://run/loan-42").as_deref(), Some("loan-42"));
        assert_eq!(run_of("throughline://run/a/span/b").as_deref(), Some("a"));
        assert_eq!(span_of("throughline://run/a/span/b").as_deref(), Some("b"));
        assert_eq!((run_of("loan-42"), span_of("throughline://run/a")), (None, None));
        assert_eq!(run_of("throughline://run/a%2Fspan%2F%C3%A9%20b").as_deref(), Some("a/span/é b"));
        for wrong in ["throughline://run/a%2", "throughline://run/%FF"] {
            assert_eq!(run_of(wrong), None, "{wrong}");
        }
        assert_eq!(question("throughline://run/"), None);
        assert_eq!(question("https://example.org/"), None);
    }
}
