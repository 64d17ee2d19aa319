//! All that was recorded of a span, line by line.

use std::collections::BTreeMap;

use serde_json::Value;
use throughline_core::Text;
use throughline_core::query::Span;

use crate::output::micros;

/// How a span stands, its error, its attributes and links, and then its payload, which may be long.
pub(super) fn lines(span: Span<'_>) -> Vec<String> {
    let summary = span.summary();
    let mut lines = vec![format!("{} ({})", summary.name, summary.state)];
    let mut timing = format!("started {}", summary.started);
    if let Some(took) = summary.duration_us {
        timing.push_str(&format!(", took {}", micros(took)));
    }
    if let Some(attempt) = summary.attempt {
        timing.push_str(&format!(", attempt {attempt}"));
    }
    if let Some((step, total)) = summary.step_index.zip(summary.step_total) {
        timing.push_str(&format!(", step {step} of {total}"));
    }
    lines.push(timing);
    if let Some(error) = &summary.error {
        lines.push(format!("error {}: {}", error.kind, error.message));
        lines.extend(error.chain.iter().map(|cause| format!("  caused by: {cause}")));
    }
    if let Some(parent) = span.parent() {
        lines.push(format!("inside {} {}", parent.id(), parent.name()));
    }
    match span.children().count() {
        0 => {}
        count => lines.push(format!("spans directly inside it: {count}")),
    }
    let attrs: BTreeMap<&Text, &Text> =
        span.events().flat_map(|event| &event.attrs).map(|(key, value)| (key, value)).collect();
    lines.extend(attrs.into_iter().map(|(key, value)| format!("{key}: {value}")));
    let mut tags: Vec<&str> = span.events().flat_map(|event| &event.tags).map(Text::as_str).collect();
    tags.sort_unstable();
    tags.dedup();
    if !tags.is_empty() {
        lines.push(format!("tags: {}", tags.join(", ")));
    }
    for link in span.links() {
        let run = link.trace_id.map_or_else(String::new, |run| format!(" of run {run}"));
        lines.push(format!("{}: span {}{run}", link.rel.as_str(), link.span_id));
    }
    // The last event that has a field counts.
    let mut data: BTreeMap<&String, &Value> = BTreeMap::new();
    data.extend(span.events().filter_map(|event| event.data.as_ref()).flatten());
    lines.extend(data.into_iter().map(|(key, value)| format!("{key} = {value}")));
    lines
}
