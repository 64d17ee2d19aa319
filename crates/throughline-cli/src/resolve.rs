//! Finds the run that a person means.

use throughline_core::{Filter, Page, RunSummary, TraceId, TraceQuery, TraceReader};

use crate::error::CliError;
use crate::output::{clean, moment};
use crate::store::Store;

/// How many candidates an ambiguous name lists.
const CANDIDATES: usize = 8;

/// A run and all that can be asked of it.
pub(crate) struct Run {
    pub(crate) summary: RunSummary,
    pub(crate) query: TraceQuery,
}

impl Run {
    /// The run of this id or key.
    pub(crate) async fn named(store: &Store, reader: &dyn TraceReader, name: &str) -> Result<Self, CliError> {
        let summary = resolve(store, reader, name).await?;
        Self::of(reader, summary).await
    }

    /// The run of this summary.
    pub(crate) async fn of(reader: &dyn TraceReader, summary: RunSummary) -> Result<Self, CliError> {
        let query = TraceQuery::read(reader, summary.trace_id).await?;
        Ok(Self { summary, query })
    }
}

/// The run of this id, of this business key, or whose id begins so; in that order.
pub(crate) async fn resolve(
    store: &Store,
    reader: &dyn TraceReader,
    name: &str,
) -> Result<RunSummary, CliError> {
    if let Ok(id) = name.parse::<TraceId>()
        && let Some(run) = reader.run(id).await?
    {
        return Ok(run);
    }
    let mut candidates = Vec::new();
    if !name.is_empty() {
        let filter = Filter::new().correlation_id(store.findable(None, name));
        candidates = reader.runs(&filter, &Page::first(CANDIDATES + 1)).await?.items;
    }
    let is_prefix = !name.is_empty() && name.len() < 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if candidates.is_empty() && is_prefix {
        for id in reader.find_by_id_prefix(&name.to_ascii_lowercase(), CANDIDATES + 1).await? {
            candidates.extend(reader.run(id).await?);
        }
    }
    if candidates.len() > 1 {
        return Err(ambiguous(name, &candidates));
    }
    candidates.pop().ok_or_else(|| not_found(name))
}

fn ambiguous(name: &str, candidates: &[RunSummary]) -> CliError {
    let mut message = format!("`{}` is ambiguous; use a longer prefix of one of these ids:", clean(name));
    for run in candidates.iter().take(CANDIDATES) {
        let key = run.correlation_id.as_deref().unwrap_or("-");
        let started = moment(run.started);
        message.push_str(&format!("\n  {}  {}  {started}  {}", run.trace_id, clean(key), run.state));
    }
    if candidates.len() > CANDIDATES {
        message.push_str("\n  … and more");
    }
    CliError::Usage(message)
}

fn not_found(name: &str) -> CliError {
    CliError::NotFound(format!(
        "no run has the id or key `{}`; `throughline list` shows the latest runs",
        clean(name)
    ))
}
