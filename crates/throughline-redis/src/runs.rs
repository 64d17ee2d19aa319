//! The runs that have not ended, from Redis alone.

use std::collections::HashSet;

use redis::RedisResult;
use redis::streams::StreamRangeReply;
use throughline_model::{EventId, Liveness, OpenRun, ReadError, RunSummary, TraceEvent, TraceId};

use crate::connection::{Client, Connection, read_error};
use crate::entries::Entry;
use crate::keys::Keys;
use crate::publish::RESPONSE;

/// How many open roots are looked at in one round trip.
const PAGE: isize = 64;

/// The runs that have not ended, those that began last first, at most so many.
pub(crate) async fn open(client: &Client, keys: &Keys, limit: usize) -> Result<Vec<OpenRun>, ReadError> {
    let mut connection = client.connect(RESPONSE).await.map_err(|error| read_error(&error))?;
    let (mut found, mut seen, mut from) = (Vec::new(), HashSet::new(), 0);
    while found.len() < limit {
        let roots = roots(&mut connection, keys, from).await.map_err(|error| read_error(&error))?;
        if roots.is_empty() {
            break;
        }
        from += PAGE;
        let traces: Vec<_> =
            roots.iter().filter_map(|root| trace(root)).filter(|trace| seen.insert(*trace)).collect();
        let runs = events(&mut connection, keys, &traces).await.map_err(|error| read_error(&error))?;
        found.extend(runs.iter().filter_map(|events| open_run(events)));
    }
    found.truncate(limit);
    Ok(found)
}

/// Open roots from a place on, as `trace:span`.
async fn roots(connection: &mut Connection, keys: &Keys, from: isize) -> RedisResult<Vec<String>> {
    let mut ask = redis::cmd("ZREVRANGE");
    ask.arg(keys.open()).arg(from).arg(from + PAGE - 1);
    ask.query_async(connection).await
}

fn trace(root: &str) -> Option<TraceId> {
    root.split_once(':')?.0.parse().ok()
}

/// The events of each of these runs that are still kept.
async fn events(
    connection: &mut Connection,
    keys: &Keys,
    traces: &[TraceId],
) -> RedisResult<Vec<Vec<TraceEvent>>> {
    if traces.is_empty() {
        return Ok(Vec::new());
    }
    let mut ask = redis::pipe();
    traces.iter().for_each(|trace| {
        ask.cmd("XRANGE").arg(keys.run(*trace)).arg("-").arg("+");
    });
    let runs: Vec<StreamRangeReply> = ask.query_async(connection).await?;
    let events = |run: StreamRangeReply| {
        let entries = run.ids.into_iter().filter_map(|entry| Entry::read(&entry).ok());
        let events = entries.flat_map(|entry| entry.events);
        events.filter_map(|event| TraceEvent::from_json(&event.json).ok()).collect()
    };
    Ok(runs.into_iter().map(events).collect())
}

/// The run, if it has not ended.
fn open_run(events: &[TraceEvent]) -> Option<OpenRun> {
    let mut seen: HashSet<EventId> = HashSet::new();
    let once: Vec<_> = events.iter().filter(|event| seen.insert(event.id())).collect();
    let summary = RunSummary::of(once.iter().copied(), |_| Liveness::Unknown)?;
    summary.state.is_open().then(|| OpenRun::of(summary, once))
}
