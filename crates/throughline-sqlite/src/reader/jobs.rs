//! Attempts at jobs.

use rusqlite::params;
use rustc_hash::FxHashSet;
use throughline_model::names::attrs;
use throughline_model::{JobAttempt, JobKey, TraceId};

use super::rows::{OF_SPAN, run_of};
use super::session::Session;
use crate::error::Fault;
use crate::names::find_name;

/// Spans that may be attempts. Written as the index has it.
const CANDIDATES: &str = "SELECT span FROM event INDEXED BY event_job WHERE run = ?1 AND type = ?2 \
     AND json_extract(attrs, '$.job_id') IS ?3 AND instr(tags, '\"detached\"') > 0";

pub(super) fn last_attempt(
    session: &mut Session,
    id: TraceId,
    job: &JobKey,
) -> Result<Option<JobAttempt>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let Some((run, shared)) = run_of(&snapshot, id)? else { return Ok(None) };
    let Some(event_type) = find_name(&snapshot, &job.event_type)? else { return Ok(None) };
    let mut spans: FxHashSet<i64> = FxHashSet::default();
    {
        let mut find = snapshot.prepare_cached(CANDIDATES)?;
        // Those whose attributes are the run's are in the index without an id.
        let is_of_run = shared.attrs.get(attrs::JOB_ID) == Some(job.job_id.as_str());
        for job_id in [Some(job.job_id.as_str()), None].into_iter().take(1 + usize::from(is_of_run)) {
            let mut rows = find.query(params![run, event_type, job_id])?;
            while let Some(row) = rows.next()? {
                spans.insert(row.get(0)?);
            }
        }
    }
    let mut events = Vec::with_capacity(2 * spans.len());
    let mut read = snapshot.prepare_cached(OF_SPAN)?;
    for span in spans {
        let mut rows = read.query(params![run, span])?;
        while let Some(row) = rows.next()? {
            events.push(cache.event(&snapshot, row, &shared)?);
        }
    }
    Ok(job.last_attempt(&events))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};

    #[test]
    fn attempts_are_found_through_the_index_of_jobs_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            path: folder.path().join("x.db"),
            synchronous: Synchronous::Off,
            busy_timeout: Duration::ZERO,
        };
        let connection = STORE_FILE.open(&place).unwrap().connection;
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {CANDIDATES}")).unwrap();
        let plan = statement.query_map(params![1, 1, "j-1"], |row| row.get::<_, String>(3)).unwrap();
        let plan: Vec<_> = plan.collect::<rusqlite::Result<_>>().unwrap();
        assert_eq!(plan, ["SEARCH event USING INDEX event_job (run=? AND type=? AND <expr>=?)"]);
    }
}
