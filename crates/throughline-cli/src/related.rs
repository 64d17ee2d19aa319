//! Runs related to a run: attempts before and after it, what caused it, what it caused, and what else has its
//! key.

use std::io;

use serde::Serialize;
use throughline_core::names::attrs;
use throughline_core::{
    Cursor, Filter, Page, Paged, RunState, RunSummary, Text, TraceId, TraceReader, beside,
};

use crate::error::CliError;
use crate::output::{Screen, clean, group, kind_of, moment, short_id, state_style};
use crate::resolve::{self, Run};
use crate::standing::{Left, tally};
use crate::store::Store;

/// How many runs before and after one are listed.
const ATTEMPTS: usize = 5;
/// How many runs that one caused are listed, and how many others under its key.
const OTHERS: usize = 12;
/// How many more are counted.
const COUNTED: usize = 1_000;
/// An answer about a run, with the runs that it has to do with.
#[derive(Serialize)]
pub(crate) struct WithRelated<'a, T> {
    #[serde(flatten)]
    pub(crate) answer: &'a T,
    pub(crate) related: &'a Related,
}

/// The runs that a run has to do with.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Related {
    /// The last runs before it under its key, of its workflow and service, the last first.
    earlier: Vec<RunSummary>,
    /// What those left behind that no process works on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_behind: Vec<LeftBehind>,
    /// The last runs after it under its key, of its workflow and service, the last first; the one that followed it is among
    /// them, unless there are more than a thousand.
    later: Vec<RunSummary>,
    /// The run that caused it.
    caused_by: Vec<RunSummary>,
    /// Runs that it caused: first those that did not succeed, then the last.
    caused: Vec<RunSummary>,
    /// The latest run of each other workflow and service under its key.
    same_key: Vec<RunSummary>,
    /// How many more there are than are listed.
    more: More,
    /// The id of the run that caused it, if the store does not have that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_cause: Option<TraceId>,
    /// The run that caused it, if another store has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    caused_elsewhere: Option<Elsewhere>,
}

/// A run in another store.
#[derive(Debug, Serialize)]
pub(crate) struct Elsewhere {
    /// The run.
    run: RunSummary,
    /// The store.
    store: String,
    /// The command that explains it.
    command: String,
}

/// What an earlier run left behind.
#[derive(Debug, Serialize)]
pub(crate) struct LeftBehind {
    /// The run.
    trace_id: TraceId,
    /// How many of its steps stand: they succeeded, and were not undone.
    standing: usize,
    /// How many of its steps are in doubt: nobody knows whether they had their effect.
    in_doubt: usize,
}

/// How many more runs there are than are listed; of each kind at most a thousand are counted.
#[derive(Debug, Default, Serialize)]
pub(crate) struct More {
    /// Runs before it.
    earlier: usize,
    /// Runs after it.
    later: usize,
    /// Runs that it caused.
    caused: usize,
    /// Other workflows and services under its key.
    same_key: usize,
}

impl Related {
    /// Reads what a run has to do with. The number of reads is bounded, however many runs there are.
    pub(crate) async fn read(reader: &dyn TraceReader, run: &Run) -> Result<Self, CliError> {
        let mut related = Self::default();
        if let Some(key) = &run.summary.correlation_id {
            related.read_key(reader, &run.summary, key).await?;
        }
        let root = run.query.root().and_then(|root| root.events().next());
        if let Some(cause) = root.and_then(resolve::cause) {
            match reader.run(cause).await? {
                Some(cause) => related.caused_by.push(cause),
                None => related.unknown_cause = Some(cause),
            }
        }
        let mut caused = beside::caused_by(reader, &run.query, OTHERS + COUNTED).await?;
        // The reason for a failure is more likely to be among these.
        caused.sort_by_key(|run| run.state == RunState::Succeeded);
        related.more.caused = cut(&mut caused, OTHERS);
        related.caused = caused;
        Ok(related)
    }

    async fn read_key(
        &mut self,
        reader: &dyn TraceReader,
        run: &RunSummary,
        key: &Text,
    ) -> Result<(), CliError> {
        let mut filter = Filter::new().correlation_id(key.clone()).service(run.service.clone());
        filter.scope.workflow.clone_from(&run.workflow);
        let is_of_kind = |other: &RunSummary| other.workflow == run.workflow && other.service == run.service;

        let before = Page { limit: ATTEMPTS + COUNTED, after: Some(Cursor::of_run(run)) };
        let mut earlier = reader.runs_without_causes(&filter, &before).await?.items;
        earlier.retain(is_of_kind);
        self.more.earlier = cut(&mut earlier, ATTEMPTS);
        for run in &earlier {
            // One that succeeded has nothing to undo, and the process of one that runs may still undo what it did.
            if !matches!(run.state, RunState::Succeeded | RunState::Running) {
                let left = Left::read(reader, run).await?;
                if !left.is_nothing() {
                    let Left { standing, in_doubt, .. } = left;
                    self.left_behind.push(LeftBehind { trace_id: run.trace_id, standing, in_doubt });
                }
            }
        }
        self.earlier = earlier;

        filter.scope.since = Some(run.started);
        let Paged { items: mut later, next } =
            reader.runs_without_causes(&filter, &Page::first(ATTEMPTS + COUNTED + 1)).await?;
        let place = |run: &RunSummary| (run.started, run.trace_id);
        later.retain(|other| is_of_kind(other) && place(other) > place(run));
        // Of very many the first is not among those that were read.
        let first = if next.is_none() { later.pop() } else { None };
        self.more.later = cut(&mut later, ATTEMPTS - 1);
        if next.is_some() {
            self.more.later = COUNTED;
        }
        self.later = later.into_iter().chain(first).collect();

        let mut same_key = resolve::latest_of_each(reader, key).await?;
        same_key.retain(|other| !is_of_kind(other));
        self.more.same_key = cut(&mut same_key, OTHERS);
        self.same_key = same_key;
        Ok(())
    }

    /// Looks for the run that caused it in another store, if this one does not have it.
    pub(crate) async fn find_cause_in(&mut self, store: &Store) -> Result<(), CliError> {
        let Some(id) = self.unknown_cause else { return Ok(()) };
        let reader = store.readers().await?.reader;
        if let Some(run) = reader.run(id).await? {
            let id = beside::shortest_id(&*reader, id).await?;
            let store = store.name().to_owned();
            let command = format!("throughline why {id} --store {store}");
            self.unknown_cause = None;
            self.caused_elsewhere = Some(Elsewhere { run, store, command });
        }
        Ok(())
    }

    /// The runs that it caused, those first that did not succeed.
    pub(crate) fn caused(&self) -> &[RunSummary] {
        &self.caused
    }

    /// Writes the section about these runs, if there are any.
    pub(crate) async fn write(
        &self,
        reader: &dyn TraceReader,
        run: &RunSummary,
        screen: &mut Screen,
    ) -> Result<(), CliError> {
        Ok(self.rows(reader, run).await?.write(screen)?)
    }

    /// The rows of the section about these runs.
    pub(crate) async fn rows<'a>(
        &self,
        reader: &'a dyn TraceReader,
        run: &'a RunSummary,
    ) -> Result<Rows<'a>, CliError> {
        let mut rows = Rows { reader, run, rows: Vec::new() };
        for (label, later) in self.later_labels(run).into_iter().zip(&self.later) {
            rows.attempt(label, later, None).await?;
        }
        rows.more(self.more.later, None);
        for (label, earlier) in self.earlier_labels(run).into_iter().zip(&self.earlier) {
            let left = self.left_behind.iter().find(|left| left.trace_id == earlier.trace_id);
            rows.attempt(label, earlier, left).await?;
        }
        rows.more(self.more.earlier, run.correlation_id.as_deref().and_then(list_of_key));
        for cause in &self.caused_by {
            rows.other("caused by", cause).await?;
        }
        if let Some(id) = self.unknown_cause {
            rows.rows.push(Row {
                label: "caused by".into(),
                state: None,
                text: format!("{id}, which is not in this store"),
            });
        }
        if let Some(Elsewhere { run, command, .. }) = &self.caused_elsewhere {
            let text = format!("{} ({}): {command}", rows.name(run), run.state);
            rows.rows.push(Row { label: "caused by".into(), state: None, text });
        }
        for caused in &self.caused {
            rows.other("caused", caused).await?;
        }
        let list = format!("throughline list --attr {}={}", attrs::CAUSED_BY, run.trace_id);
        rows.more(self.more.caused, Some(list));
        for other in &self.same_key {
            rows.other("same key", other).await?;
        }
        rows.more(self.more.same_key, None);
        Ok(rows)
    }

    /// What the runs before this one are to it. Attempts at the same work count down from its own.
    fn earlier_labels(&self, run: &RunSummary) -> Vec<String> {
        let mut after = attempt(run);
        let label = |earlier: &RunSummary| {
            let own = attempt(earlier);
            after = if own.checked_add(1) == Some(after) { own } else { 0 };
            if after > 0 { format!("attempt {own}") } else { "earlier run".to_owned() }
        };
        self.earlier.iter().map(label).collect()
    }

    /// What the runs after this one are to it. Attempts at the same work count up from its own.
    fn later_labels(&self, run: &RunSummary) -> Vec<String> {
        let mut before = Some(attempt(run)).filter(|_| self.more.later < COUNTED);
        let label = |(at, later): (usize, &RunSummary)| {
            let own = attempt(later);
            before = (before == own.checked_sub(1)).then_some(own);
            let label = match (before, at) {
                (None, _) => "later run".to_owned(),
                (_, 0) => format!("tried again as attempt {own}"),
                _ => format!("attempt {own}"),
            };
            // What is not listed comes between the first and the others.
            before = before.filter(|_| self.more.later == 0);
            label
        };
        let mut labels: Vec<_> = self.later.iter().rev().enumerate().map(label).collect();
        labels.reverse();
        labels
    }
}

/// Which attempt at its work a run is; runs that are the first don't say so.
fn attempt(run: &RunSummary) -> u32 {
    run.root.as_ref().and_then(|root| root.attempt).unwrap_or(1)
}

/// The command that lists the runs under a key, if a shell takes the key as it is.
fn list_of_key(key: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@+-".contains(c);
    (!key.starts_with('-') && key.chars().all(is_plain)).then(|| format!("throughline list --key {key}"))
}

/// Leaves the first few, and returns how many there were more.
fn cut(runs: &mut Vec<RunSummary>, to: usize) -> usize {
    let more = runs.len().saturating_sub(to);
    runs.truncate(to);
    more.min(COUNTED)
}

/// The rows of the section.
pub(crate) struct Rows<'a> {
    reader: &'a dyn TraceReader,
    run: &'a RunSummary,
    rows: Vec<Row>,
}

struct Row {
    label: String,
    state: Option<RunState>,
    text: String,
}

impl Rows<'_> {
    /// Another run of the same work. Where something is left of it, that is what is to be looked at.
    async fn attempt(
        &mut self,
        label: String,
        run: &RunSummary,
        left: Option<&LeftBehind>,
    ) -> Result<(), CliError> {
        let started = moment(run.started);
        let text = match left {
            Some(LeftBehind { standing, in_doubt, .. }) => {
                let id = beside::shortest_id(self.reader, run.trace_id).await?;
                let left = tally(*standing, *in_doubt, "");
                format!("{started}  {left}  throughline compensations {id}")
            }
            None => format!("{started}  {}", self.command(run).await?),
        };
        self.rows.push(Row { label, state: Some(run.state), text });
        Ok(())
    }

    /// A run of other work.
    async fn other(&mut self, label: &str, run: &RunSummary) -> Result<(), CliError> {
        let text = format!("{} ({}): {}", self.name(run), run.state, self.command(run).await?);
        self.rows.push(Row { label: label.into(), state: None, text });
        Ok(())
    }

    /// How many more there are of the last kind, and the command that lists them.
    fn more(&mut self, more: usize, list: Option<String>) {
        let mut text = match more {
            0 => return,
            COUNTED.. => format!("… and at least {} more", group(COUNTED as u64)),
            _ => format!("… and {} more", group(more as u64)),
        };
        text.extend(list.into_iter().flat_map(|list| [": ".to_owned(), list]));
        self.rows.push(Row { label: String::new(), state: None, text });
    }

    /// What to call a run beside the one that is asked about: by what distinguishes the two.
    fn name(&self, run: &RunSummary) -> String {
        let key = run.correlation_id.as_ref().filter(|key| Some(*key) != self.run.correlation_id.as_ref());
        let name = match (key, kind_of(run)) {
            (Some(key), _) => return clean(key).into_owned(),
            (None, "") => short_id(run.trace_id),
            (None, kind) => clean(kind).into_owned(),
        };
        match run.service == self.run.service {
            true => name,
            false => format!("{name} of {}", clean(&run.service)),
        }
    }

    /// The command that tells about a run.
    async fn command(&self, run: &RunSummary) -> Result<String, CliError> {
        let id = beside::shortest_id(self.reader, run.trace_id).await?;
        Ok(format!("throughline why {id}"))
    }

    /// How many lines the section takes.
    pub(crate) fn lines(&self) -> usize {
        // With an empty line and a heading before them.
        if self.rows.is_empty() { 0 } else { self.rows.len() + 2 }
    }

    pub(crate) fn write(self, screen: &mut Screen) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        screen.heading("Related runs")?;
        let labels = self.rows.iter().map(|row| row.label.len()).max().unwrap_or(0);
        let states = self.rows.iter().filter_map(|row| row.state).map(|state| state.as_str().len()).max();
        for Row { label, state, text } in &self.rows {
            let state = state.map_or_else(String::new, |state| {
                let padded = format!("{state:<width$}", width = states.unwrap_or(0));
                format!("{}  ", screen.paint(&padded, state_style(state)))
            });
            screen.line(format_args!("  {label:<labels$}  {state}{text}"))?;
        }
        Ok(())
    }
}
