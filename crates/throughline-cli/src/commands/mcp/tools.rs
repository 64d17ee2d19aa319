//! The tools: each asks what a command asks, and answers with what the command says.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use throughline_core::query::{Decision, DivergenceKind, Style};
use throughline_core::{ReadError, SpanId, TraceQuery, beside};

use super::answer::{Answer, FEWEST, MAX_TOKENS, MOST};
use super::asked::{self, Wrong, limit};
use super::outline::{Outline, Part, outline};
use super::tokens::estimate;
use super::{resources, span};
use crate::args::{DecisionsArgs, DiffArgs, ListArgs, RunningArgs, StatsArgs, TraceArgs, WhyArgs};
use crate::commands::{compensations, decisions, diff, list, running, stats, why};
use crate::error::CliError;
use crate::output::{Screen, clean, failure_of, group, kind_of, moment};
use crate::resolve::Run;
use crate::store::Store;

/// How many tokens a line of an explanation takes, about.
const LINE: usize = 22;
/// How many lines an explanation has at most.
const LINES: usize = 300;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The question is wrong.
    Wrong(Wrong),
    /// The question can't be read; what is said of that may quote it.
    Unreadable(String),
    /// What the command says; it may quote what runs recorded.
    Said(CliError),
}

impl From<CliError> for NoAnswer {
    fn from(error: CliError) -> Self {
        Self::Said(error)
    }
}

impl From<ReadError> for NoAnswer {
    fn from(error: ReadError) -> Self {
        Self::Said(error.into())
    }
}

impl From<Wrong> for NoAnswer {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

/// All tools, as clients see them.
pub(super) fn all() -> Vec<Tool> {
    vec![
        tool::<asked::Runs>(
            "find_runs",
            "Find runs",
            "Lists runs, the last started first: id, key, workflow, state, and the cause of a failure. Start here if you do not know which run is meant.",
        ),
        tool::<asked::OfRun>(
            "explain_run",
            "Why did a run fail?",
            "Says why a run failed: the root cause, what the run ended with, what else may have led to it, the path to it, decisions before it, what was undone, how it differs from good runs, and related runs. Of a run that did not fail it says how it stands. One call is enough for most questions about a failure.",
        ),
        tool::<asked::PartOfRun>(
            "show_run",
            "Show a part of a run",
            "Shows the spans of a run as a tree, each with its id. If there is no room for all, what leads to the cause and what failed or is open comes first; `span` and `after` show other parts.",
        ),
        tool::<asked::SpanOfRun>(
            "show_span",
            "Show a span",
            "Shows all that was recorded of a span: input, output, attributes, error with its chain, links, times.",
        ),
        tool::<asked::OfRun>(
            "compensations",
            "Was it undone?",
            "Shows for each step of the sagas of a run whether it was undone, and what was left behind.",
        ),
        tool::<asked::Decisions>(
            "decisions",
            "What was decided?",
            "Shows the decisions of a run with their alternatives, reasons and consequences; or, without a run, how runs ended after each choice.",
        ),
        tool::<asked::Open>(
            "running",
            "What is running?",
            "Lists runs that have not ended: where each one is, for how long, and what is left of those that were interrupted.",
        ),
        tool::<asked::Open>(
            "safe_to_deploy",
            "Is it safe to deploy?",
            "Says whether a deployment would interrupt a run, and which.",
        ),
        tool::<asked::Stats>(
            "stats",
            "How do runs fare?",
            "Failure rates over time, where runs fail, what fails most, the slowest stages and spans, outcomes by decision.",
        ),
        tool::<asked::TwoRuns>(
            "diff",
            "How do two runs differ?",
            "Compares a run with another, or with the last good run of its workflow: inputs, attributes, choices, steps. `-` is what the run has, `+` what the other has.",
        ),
        tool::<asked::TwoRuns>(
            "first_divergence",
            "Where did two runs part?",
            "Says where a run first went another way than another run, or than the last good run of its workflow; diff has everything.",
        ),
    ]
}

fn tool<P: JsonSchema>(name: &'static str, title: &'static str, description: &'static str) -> Tool {
    let mut schema = schemars::schema_for!(P).to_value();
    if let Some(fields) = schema.as_object_mut() {
        for name in ["$schema", "title"] {
            fields.remove(name);
        }
        fields.remove("description");
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        properties["max_tokens"] = json!({
            "type": "integer", "minimum": FEWEST, "maximum": MOST, "default": MAX_TOKENS,
            "description": "The answer takes at most so many tokens, by an estimate that errs on the high side",
        });
    }
    let schema = match schema {
        Value::Object(fields) => fields,
        _ => JsonObject::new(),
    };
    let annotations = ToolAnnotations::with_title(title).read_only(true).idempotent(true).open_world(false);
    Tool::new(name, description, Arc::new(schema)).with_title(title).with_annotations(annotations)
}

/// What a tool answers in at most so many tokens.
pub(super) async fn call(
    store: &Store,
    name: &str,
    arguments: JsonObject,
    most: usize,
) -> Result<Answer, NoAnswer> {
    match name {
        "find_runs" => find_runs(store, read(arguments)?, most).await,
        "explain_run" => explain_run(store, read(arguments)?, most).await,
        "show_run" => show_run(store, read(arguments)?, most).await,
        "show_span" => show_span(store, read(arguments)?).await,
        "compensations" => undone(store, read(arguments)?).await,
        "decisions" => decided(store, read(arguments)?).await,
        "running" => open(store, read(arguments)?, false, most).await,
        "safe_to_deploy" => open(store, read(arguments)?, true, most).await,
        "stats" => rates(store, read(arguments)?).await,
        "diff" => differences(store, read(arguments)?).await,
        "first_divergence" => first_divergence(store, read(arguments)?).await,
        _ => Err(NoAnswer::Wrong("there is no such tool".into())),
    }
}

fn read<P: DeserializeOwned>(arguments: JsonObject) -> Result<P, NoAnswer> {
    // Some clients send what is not set as `null`.
    let set = arguments.into_iter().filter(|(_, value)| !value.is_null()).collect();
    serde_json::from_value(Value::Object(set)).map_err(|error| NoAnswer::Unreadable(error.to_string()))
}

async fn find_runs(store: &Store, asked: asked::Runs, most: usize) -> Result<Answer, NoAnswer> {
    if store.holds_back() && asked.is_by_attribute_or_tag() {
        return Err(NoAnswer::Wrong("you may not see attributes and tags, nor search for them".into()));
    }
    let mut args = ListArgs {
        limit: limit(asked.limit, 20)?,
        after: asked.after.clone(),
        no_http: asked.no_http,
        filter: asked.filter()?,
    };
    loop {
        let answer = page_of_runs(&args, store).await?;
        if args.limit == 1 || answer.fits(most) {
            return Ok(answer);
        }
        // A page of those that there is room for: the next one begins with the first that is left out.
        args.limit = answer.whole_lines(most).clamp(1, args.limit - 1);
    }
}

async fn page_of_runs(args: &ListArgs, store: &Store) -> Result<Answer, NoAnswer> {
    let list::Found { reader, runs, next } = list::find(args, store).await?;
    let mut answer = Answer::new("a smaller limit or more filters leave less out");
    for run in &runs {
        let id = beside::shortest_id(&*reader, run.trace_id).await?;
        let key = run.correlation_id.as_deref().unwrap_or("without a key");
        let failure =
            list::failure(run).map_or_else(String::new, |failure| format!(": {}", failure_of(failure)));
        let (state, started) = (run.state, moment(run.started));
        answer.line(&format!("{id} {state} {key} ({} of {}) {started}{failure}", kind_of(run), run.service));
    }
    if let Some(next) = next {
        answer.note(format!("There are more: after=\"{}\".", clean(next.as_str())));
    }
    answer.note("explain_run says why one failed.");
    Ok(answer)
}

async fn explain_run(store: &Store, asked: asked::OfRun, most: usize) -> Result<Answer, NoAnswer> {
    let args = WhyArgs { trace: run(&asked.run), full: false, also: Vec::new(), also_file: Vec::new() };
    let found = why::find(&args, store).await?;
    let mut answer = Answer::new("show_run and show_span have the parts");
    let lines = (most / LINE).min(LINES);
    let text = found.explanation.render(&Style::plain().page(lines));
    // What happened comes first; that it is this run is said below.
    let (head, text) = text.split_once("\n\n").unwrap_or(("", &text));
    answer.text(text);
    answer.text(&format!("\n{head}"));
    let mut screen = Screen::text_only();
    found.related.write(&*found.reader, &found.run.summary, &mut screen).await?;
    answer.text(&screen.into_text());
    let id = found.run.summary.trace_id;
    answer.note(match &found.explanation.cause {
        Some(cause) => {
            format!("Cause: span {} of run {id}; show_span has all of it.", cause.span.span_id)
        }
        None => format!("The run is {id}."),
    });
    Ok(answer)
}

async fn show_run(store: &Store, asked: asked::PartOfRun, most: usize) -> Result<Answer, NoAnswer> {
    let found = named(store, &asked.run).await?;
    let part = Part { span: asked.span()?, after: asked.after()? };
    for id in part.span.iter().chain(&part.after) {
        known(&found.query, *id)?;
    }
    let id = found.summary.trace_id;
    let mut answer = Answer::new("span and after show other parts");
    answer.note(format!("Run {id}; show_span has all of a span."));
    let note = |shown: usize, of: usize| {
        format!(
            "Shown: {} of {} spans. ⋮ stands for others: span=the one above them shows what is inside it, \
             after=the last one shown those that follow.",
            group(shown as u64),
            group(of as u64)
        )
    };
    let room = answer.room(most).saturating_sub(estimate(&note(MOST, MOST)));
    let Outline { lines, shown, of } = outline(&found.query, part, room);
    if shown < of {
        answer.note(note(shown, of));
    }
    lines.iter().for_each(|line| answer.line(line));
    Ok(answer)
}

async fn show_span(store: &Store, asked: asked::SpanOfRun) -> Result<Answer, NoAnswer> {
    let found = named(store, &asked.run).await?;
    let id = asked.span()?;
    known(&found.query, id)?;
    let mut answer = Answer::new("what comes last is the payload");
    if let Some(span) = found.query.span(id) {
        span::lines(span).iter().for_each(|line| answer.line(line));
    }
    Ok(answer)
}

async fn undone(store: &Store, asked: asked::OfRun) -> Result<Answer, NoAnswer> {
    let mut screen = Screen::text_only();
    compensations::run(&TraceArgs { trace: run(&asked.run) }, store, &mut screen).await?;
    let mut answer = Answer::new("show_run has the spans");
    answer.text(&screen.into_text());
    Ok(answer)
}

async fn decided(store: &Store, asked: asked::Decisions) -> Result<Answer, NoAnswer> {
    let args = DecisionsArgs { trace: asked.run.as_deref().map(run), scope: asked.scope()? };
    if args.trace.is_some() && !args.scope.is_all() {
        return Err(NoAnswer::Wrong(
            "a run, or since, until and workflow, which are about many runs; not both".into(),
        ));
    }
    if store.holds_back() && args.trace.is_none() {
        return Err(NoAnswer::Wrong(
            "you may not see choices, nor how runs ended after them; with a run, decisions says which there were"
                .into(),
        ));
    }
    let mut screen = Screen::text_only();
    decisions::run(&args, store, &mut screen).await?;
    let mut answer = Answer::new("a workflow or a shorter time leaves less out");
    answer.text(&screen.into_text());
    Ok(answer)
}

async fn open(store: &Store, asked: asked::Open, check: bool, most: usize) -> Result<Answer, NoAnswer> {
    if check && asked.after.is_some() {
        return Err(NoAnswer::Wrong(
            "safe_to_deploy looks at all runs, so it takes no `after`; running does".into(),
        ));
    }
    let mut args = RunningArgs {
        check,
        stuck_after: asked.stuck_after()?,
        limit: limit(asked.limit, 50)?,
        after: asked.after,
    };
    loop {
        let mut screen = Screen::text_only();
        running::run(&args, store, &mut screen).await?;
        let mut answer = Answer::new("a smaller limit leaves less out");
        answer.text(&screen.into_text());
        // A list that is cut would end with a cursor behind what was left out of it.
        if check || args.limit == 1 || answer.fits(most) {
            return Ok(answer);
        }
        args.limit = (args.limit / 2).min(answer.whole_lines(most)).max(1);
    }
}

async fn rates(store: &Store, asked: asked::Stats) -> Result<Answer, NoAnswer> {
    let args = StatsArgs { limit: limit(asked.limit, 10)?, scope: asked.scope()? };
    let mut screen = Screen::text_only();
    stats::run(&args, store, &mut screen).await?;
    let mut answer = Answer::new("a smaller limit, a workflow or a shorter time leaves less out");
    answer.text(&screen.into_text());
    Ok(answer)
}

async fn differences(store: &Store, asked: asked::TwoRuns) -> Result<Answer, NoAnswer> {
    let mut screen = Screen::text_only();
    diff::run(&two(&asked), store, &mut screen).await?;
    let mut answer = Answer::new("first_divergence has where they parted");
    answer.text(&screen.into_text());
    Ok(answer)
}

async fn first_divergence(store: &Store, asked: asked::TwoRuns) -> Result<Answer, NoAnswer> {
    let [here, there] = diff::both(&two(&asked), store).await?;
    let mut answer = Answer::new("show_span has the spans");
    let (id, other) = (here.summary.trace_id, there.summary.trace_id);
    // As the text of `diff` has it, which goes from this run to the other.
    let diff = there.query.diff(&here.query);
    let Some(divergence) = &diff.first_divergence else {
        answer.line("The runs went the same way.");
        answer.note(format!("Compared: {id} with {other}. diff says which steps took longer."));
        return Ok(answer);
    };
    let (what, run) = match divergence.kind {
        DivergenceKind::Choice => ("it decided differently", other),
        DivergenceKind::State => ("it ended differently", other),
        DivergenceKind::OnlyHere => ("it happened in the other run alone", other),
        DivergenceKind::OnlyThere => ("it happened in this run alone", id),
        _ => ("it is not the same", other),
    };
    answer.line(&format!("{}: {what}", divergence.path));
    for change in diff.choices.iter().filter(|change| change.path == divergence.path) {
        let choice = |decision: &Decision| decision.choice.as_deref().unwrap_or("nothing").to_owned();
        answer.line(&format!("chose {}, in the other run {}", choice(&change.there), choice(&change.here)));
    }
    for change in diff.changed.iter().filter(|change| change.path == divergence.path) {
        let error = change.there.error.as_ref().or(change.here.error.as_ref());
        let error = error.map_or_else(String::new, |error| format!(": {}: {}", error.kind, error.message));
        answer.line(&format!("{}, in the other run {}{error}", change.there.state, change.here.state));
    }
    for change in &diff.inputs {
        let value =
            |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        let (here, there) = (value(&change.there), value(&change.here));
        answer.line(&format!("input {}{}: {here}, in the other run {there}", change.span, change.pointer));
    }
    answer.note(format!(
        "Compared: {id} with {other}. They part at span {} of run {run}: show_span has all of it.",
        divergence.span.span_id
    ));
    Ok(answer)
}

fn two(asked: &asked::TwoRuns) -> DiffArgs {
    DiffArgs { a: run(&asked.run), b: asked.with.as_deref().map(run) }
}

/// A run as the commands take it: of the URI of a resource, its id.
fn run(name: &str) -> String {
    resources::run_of(name).unwrap_or_else(|| name.to_owned())
}

async fn named(store: &Store, name: &str) -> Result<Run, NoAnswer> {
    let reader = store.readers().await?.reader;
    Ok(Run::named(store, &*reader, &run(name)).await?)
}

fn known(query: &TraceQuery, id: SpanId) -> Result<(), Wrong> {
    match query.span(id) {
        Some(_) => Ok(()),
        None => Err(format!("the run has no span {id}; show_run has the ids of its spans")),
    }
}
