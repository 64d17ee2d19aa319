//! The [trace event format](https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU) of Chrome, which
//! [Perfetto](https://ui.perfetto.dev) opens.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use serde_json::{Value, json};
use throughline_core::query::Span;
use throughline_core::{RunState, SpanId};

use super::{Story, error_of};
use crate::output::write_json;

/// Writes runs, each as a process, so that they lie below each other on one axis.
pub(crate) fn write(stories: &[Story], mut output: &mut dyn Write) -> io::Result<()> {
    output.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n")?;
    let mut is_first = true;
    let mut write = |event: &Value| {
        if !std::mem::take(&mut is_first) {
            output.write_all(b",")?;
        }
        write_json(&mut output, event, false)
    };
    for (at, story) in stories.iter().enumerate() {
        let process = at + 1;
        write(
            &json!({ "ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": { "name": story.title() } }),
        )?;
        let until = story
            .query
            .spans()
            .filter_map(|span| span.events().last())
            .map(|event| event.timestamp.as_micros());
        let until = until.max().unwrap_or(0);
        let mut lanes = Lanes::default();
        for span in story.query.spans() {
            let start = span.started().as_micros();
            let args = args(span);
            if span.is_point() {
                let lane = lanes.of_parent(span);
                write(&json!({
                    "ph": "i", "s": "t", "name": span.name(), "cat": span.state().as_str(),
                    "pid": process, "tid": lane, "ts": start, "args": args,
                }))?;
                continue;
            }
            let took = span.duration().map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
            // What has not ended is drawn until the last that is known of the run.
            let end = took.map_or(until, |took| start.saturating_add(took)).max(start);
            let lane = lanes.place(span, start, end);
            write(&json!({
                "ph": "X", "name": span.name(), "cat": span.state().as_str(),
                "pid": process, "tid": lane, "ts": start, "dur": end - start, "args": args,
            }))?;
        }
    }
    output.write_all(b"]}\n")
}

/// What is shown of a span that is selected.
fn args(span: Span<'_>) -> Value {
    let mut args = json!({ "span_id": span.id(), "state": span.state() });
    if let Some(fields) = args.as_object_mut() {
        fields.extend(error_of(&span.summary()).map(|error| ("error".to_owned(), json!(error))));
        fields.extend(span.attempt().map(|attempt| ("attempt".to_owned(), json!(attempt))));
        fields.extend(span.input().map(|input| ("input".to_owned(), input.clone())));
        fields.extend(span.output().map(|output| ("output".to_owned(), output.clone())));
        let attrs = span.events().flat_map(|event| &event.attrs);
        fields.extend(attrs.map(|(key, value)| (format!("attrs.{key}"), json!(value))));
        if span.state() == RunState::Running {
            fields.insert("open".to_owned(), json!(true));
        }
    }
    args
}

/// Lanes on which spans lie so that those of one lane are within each other or apart, which is what the format demands of a
/// thread. Spans that run beside each other get a lane each.
#[derive(Default)]
struct Lanes {
    /// What is open on each lane, the innermost last: its end, and the span.
    open: Vec<Vec<(i64, SpanId)>>,
    /// The lanes by the end of the outermost that lies there.
    by_end: BTreeSet<(i64, usize)>,
    of_span: HashMap<SpanId, usize>,
}

impl Lanes {
    /// The lane of a span that began no earlier than those before it.
    fn place(&mut self, span: Span<'_>, start: i64, end: i64) -> usize {
        let parent = span.parent().map(|parent| parent.id());
        let beside = parent.and_then(|parent| self.of_span.get(&parent).copied());
        let lane = beside.filter(|lane| {
            let open = &mut self.open[*lane];
            while open.len() > 1
                && open.last().is_some_and(|(over, of)| *over <= start && Some(*of) != parent)
            {
                open.pop();
            }
            open.last().is_some_and(|(until, of)| Some(*of) == parent && end <= *until)
        });
        let lane = lane.unwrap_or_else(|| {
            let free = self.by_end.first().copied().filter(|(over, _)| *over <= start);
            match free {
                Some(free @ (_, lane)) => {
                    self.by_end.remove(&free);
                    self.open[lane].clear();
                    lane
                }
                None => {
                    self.open.push(Vec::new());
                    self.open.len() - 1
                }
            }
        });
        if self.open[lane].is_empty() {
            self.by_end.insert((end, lane));
        }
        self.open[lane].push((end, span.id()));
        self.of_span.insert(span.id(), lane);
        lane
    }

    fn of_parent(&self, span: Span<'_>) -> usize {
        span.parent().and_then(|parent| self.of_span.get(&parent.id()).copied()).unwrap_or(0)
    }
}
