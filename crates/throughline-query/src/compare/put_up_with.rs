//! What went wrong in good runs, too.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Serialize;

use super::id;
use crate::explain::holds_nothing;
use crate::{Span, TraceQuery};
use throughline_model::names::tags;
use throughline_model::{SpanId, Status, Text};

/// How far up it is looked for an output that a failure may have spoilt.
const NEAR: usize = 32;

/// Something that went wrong, and in all good runs in the same way: they put up with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PutUpWith {
    /// The span of this run.
    pub span_id: SpanId,
    /// Its name.
    pub name: Text,
    /// The events that say so, as `trace:span:seq`: of this run first, then of each good one.
    pub events: Vec<Text>,
}

/// How something went wrong: what is the same of two spans that went wrong in the same way. Of an output that is a hash: it may be
/// large, and that of all that went wrong in it.
type Way = (String, Status, String, Option<u64>);

/// What went wrong before a place in the timeline, and in all good runs in the same way.
pub(super) fn put_up_with(query: &TraceQuery, good: &[TraceQuery], until: u32) -> Vec<PutUpWith> {
    let here: Vec<(Way, Span<'_>)> =
        went_wrong(query).filter(|(_, span)| span.start_place() <= until).collect();
    if here.is_empty() {
        return Vec::new();
    }
    let there: Vec<HashMap<Way, Span<'_>>> = good.iter().map(|query| went_wrong(query).collect()).collect();
    let found = here.into_iter().filter_map(|(way, span)| {
        let in_run = |run: &HashMap<Way, Span<'_>>| run.get(&way).map(|span| id(span.last_event()));
        let events: Vec<Text> = there.iter().map(in_run).collect::<Option<_>>()?;
        let events = [id(span.last_event())].into_iter().chain(events).collect();
        Some(PutUpWith { span_id: span.id(), name: span.name().into_owned().into(), events })
    });
    found.collect()
}

/// What failed, was given up, gave back nothing or was gone without.
fn went_wrong(query: &TraceQuery) -> impl Iterator<Item = (Way, Span<'_>)> {
    let is_of_it = |span: &Span<'_>| match span.status() {
        Status::Failed | Status::Cancelled => true,
        Status::Success => span.has_tag(tags::FALLBACK) || span.output().is_some_and(holds_nothing),
        Status::Pending => false,
    };
    let mut outputs = HashMap::new();
    query.spans().filter(is_of_it).map(move |span| (way(span, &mut outputs), span))
}

fn way(span: Span<'_>, outputs: &mut HashMap<SpanId, u64>) -> Way {
    let text =
        span.error().map(|error| [&error.message].into_iter().chain(&error.chain).fold(String::new(), add));
    // What came of it is a part of how it went wrong.
    let around = std::iter::successors(Some(span), Span::parent).take(NEAR);
    let output =
        around.take_while(|span| !span.is_workflow()).find_map(|span| Some((span.id(), span.output()?)));
    let output = output.map(|(of, output)| {
        *outputs.entry(of).or_insert_with(|| {
            let mut hasher = DefaultHasher::new();
            output.to_string().hash(&mut hasher);
            hasher.finish()
        })
    });
    let name = without_digits(&span.name());
    (name, span.status(), text.unwrap_or_default(), output)
}

fn add(mut all: String, text: &Text) -> String {
    all.push_str(&without_digits(text));
    all.push('\n');
    all
}

/// A text without what is other in each run, or of each item.
pub(crate) fn without_digits(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "")
}
