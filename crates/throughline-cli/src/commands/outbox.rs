//! `throughline outbox`: what waits in an outbox for its store, and what the store refused.

use std::path::Path;
use std::time::Duration;

use indicatif::HumanBytes;
use serde::Serialize;
use throughline_core::{
    Refused, RunSummary, SpoolReader, SpoolUsage, Throughline, Timestamp, TraceEvent, TraceId,
};
use throughline_sqlite::SqliteSpool;

use crate::args::OutboxArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, Table, ago, clean, count, kind_of, name_of, short_id};
use crate::store::{Store, open_outbox};

/// The name under which what waits is delivered.
const SERVICE: &str = "throughline-cli";
/// How often it is looked at how much still waits.
const LOOK: Duration = Duration::from_millis(200);
/// How long to wait for the store to be closed.
const CLOSING: Duration = Duration::from_secs(10);
/// How many runs are read at a time.
const PAGE: usize = 512;

/// The JSON of `outbox`.
#[derive(Serialize)]
struct Contents {
    #[serde(flatten)]
    usage: SpoolUsage,
    /// When the event that has waited longest happened.
    oldest: Option<Timestamp>,
    /// How many runs have events that wait.
    waiting_runs: u64,
    /// Some of them.
    runs: Vec<Waiting>,
    /// What the store refused, the latest first.
    refused_events: Vec<Refused>,
}

/// A run of which events wait.
#[derive(Serialize)]
struct Waiting {
    /// What is known of it from the events that wait alone.
    run: RunSummary,
    /// How many events wait.
    events: u64,
}

pub(super) async fn run(
    args: &OutboxArgs,
    store: Option<&str>,
    screen: &mut Screen,
) -> Result<Answer, CliError> {
    if args.deliver {
        deliver(&args.file, &Store::named(store)?).await?;
    }
    let contents = read(&*open_outbox(&args.file)?, args.limit).await?;
    let answer = Answer::of(contents.usage.events == 0);
    if screen.wants_json() {
        screen.json(&contents)?;
    } else {
        show(&args.file, &contents, screen)?;
    }
    Ok(answer)
}

async fn read(outbox: &dyn SpoolReader, limit: usize) -> Result<Contents, CliError> {
    let first = outbox.waiting(None, 1).await?;
    let mut runs = Vec::new();
    let mut waiting_runs = 0;
    let mut after: Option<TraceId> = None;
    loop {
        let ids = outbox.traces(after, PAGE).await?;
        waiting_runs += ids.len() as u64;
        for id in ids.iter().take(limit - runs.len()) {
            runs.extend(waiting(&outbox.trace(*id).await?));
        }
        after = ids.last().copied();
        if ids.len() < PAGE {
            break;
        }
    }
    Ok(Contents {
        usage: outbox.usage().await?,
        oldest: first.first().map(|spooled| spooled.event.timestamp),
        waiting_runs,
        runs,
        refused_events: outbox.refused(limit).await?,
    })
}

fn waiting(events: &[TraceEvent]) -> Option<Waiting> {
    // Nobody is asked whether its process lives: what waits says how far it came.
    let run = RunSummary::of(events, |_| throughline_core::Liveness::Unknown)?;
    Some(Waiting { run, events: events.len() as u64 })
}

fn show(file: &Path, contents: &Contents, screen: &mut Screen) -> Result<(), CliError> {
    let Contents { usage, oldest, waiting_runs, runs, refused_events } = contents;
    let now = Timestamp::now();
    let waiting = match oldest {
        Some(oldest) => format!(
            "{} of {} wait for the store, the oldest for {} ({} of {})",
            count(usage.events, "event"),
            count(*waiting_runs, "run"),
            ago(now, *oldest),
            HumanBytes(usage.bytes),
            HumanBytes(usage.capacity_bytes),
        ),
        None => format!("nothing waits; it has room for {}", HumanBytes(usage.capacity_bytes)),
    };
    screen.line(format_args!("{}: {waiting}", file.display()))?;
    if !runs.is_empty() {
        let mut table = Table::new(&["ID", "~KEY", "~WORKFLOW", ">EVENTS", ">SINCE"]);
        for Waiting { run, events } in runs {
            let key = if run.correlation_id.is_some() { name_of(run) } else { String::new() };
            table.row([
                short_id(run.trace_id).into(),
                key.into(),
                kind_of(run).into(),
                events.to_string().into(),
                ago(now, run.started).into(),
            ]);
        }
        screen.line("")?;
        screen.table(&table)?;
        let more = waiting_runs - runs.len() as u64;
        if more > 0 {
            screen.line(format_args!("… and {}; use --limit", count(more, "more run")))?;
        }
    }
    if usage.refused > 0 {
        screen.line(format_args!("\nThe store refused {}:", count(usage.refused, "event")))?;
        for Refused { reason, event } in refused_events {
            screen.line(format_args!("  {} {}: {}", event.id(), clean(&event.event_type), clean(reason)))?;
        }
        let more = usage.refused - refused_events.len() as u64;
        if more > 0 {
            screen.line(format_args!("  … and {more} more"))?;
        }
    }
    Ok(())
}

/// Delivers what waits, as a service with this outbox would.
async fn deliver(file: &Path, store: &Store) -> Result<(), CliError> {
    let SpoolUsage { capacity_bytes, .. } = open_outbox(file)?.usage().await?;
    let outbox = SqliteSpool::new(file).capacity_bytes(capacity_bytes);
    let builder = store.written_by(Throughline::builder(SERVICE))?.spool(outbox);
    let throughline = builder.build_async().await.map_err(|error| CliError::Write(error.to_string()))?;
    let mut pending = u64::MAX;
    loop {
        let report = throughline.flush(LOOK).await;
        let left = report.destinations.first().map_or(0, |account| account.pending);
        // What the store does not take now stays in the outbox.
        if left == 0 || left == pending {
            break;
        }
        pending = left;
    }
    throughline.shutdown(CLOSING).await;
    Ok(())
}
