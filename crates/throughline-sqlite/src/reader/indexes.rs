//! Which index of runs leads past the fewest that don't match.

use rusqlite::Connection;
use throughline_model::{Filter, Status, Text};

use crate::error::Fault;
use crate::names::find_name;

/// The indexes of runs by their start that lead past some that don't match, each with what is true of all runs in it that may.
pub(super) struct Indexes {
    ways: Vec<(&'static str, String)>,
    /// In microseconds.
    started: [i64; 2],
}

impl Indexes {
    pub(super) fn of(connection: &Connection, filter: &Filter) -> Result<Self, Fault> {
        let id_of = |name: &Option<Text>| name.as_ref().map_or(Ok(None), |name| find_name(connection, name));
        let (workflow, service) = (id_of(&filter.scope.workflow)?, id_of(&filter.service)?);
        let mut ways: Vec<(&'static str, String)> = Vec::new();
        match (&filter.outcomes[..], workflow) {
            ([Status::Pending], _) => ways.push(("run_open", ended_with(Status::Pending).to_owned())),
            ([lost @ (Status::Failed | Status::Cancelled)], None) => {
                ways.push(("run_lost", ended_with(*lost).to_owned()));
            }
            ([lost @ (Status::Failed | Status::Cancelled)], Some(workflow)) => {
                ways.push(("run_lost_of", format!("{} AND workflow = {workflow}", ended_with(*lost))));
            }
            _ => {}
        }
        if filter.statuses == [Status::Failed] {
            ways.push(("run_failed", "failure IS NOT NULL".to_owned()));
        }
        ways.extend(workflow.map(|workflow| ("run_workflow", format!("workflow = {workflow}"))));
        ways.extend(service.map(|service| ("run_service", format!("service = {service}"))));
        if filter.correlation_id.is_some() {
            ways = vec![("run_key", "correlation_id IS NOT NULL".to_owned())];
        }
        let since = filter.scope.since.map_or(i64::MIN, |since| since.as_micros());
        let until = filter.scope.until.map_or(i64::MAX, |until| until.as_micros());
        Ok(Self { ways, started: [since, until] })
    }

    pub(super) fn best(&self, connection: &Connection) -> Result<&'static str, Fault> {
        match self.ways[..] {
            [] => Ok("run_started"),
            [(only, _)] => Ok(only),
            _ => Ok(self.fewest(connection)?.0),
        }
    }

    /// The index with the fewest runs, and how many these are, as far as they are counted.
    pub(super) fn fewest(&self, connection: &Connection) -> Result<(&'static str, usize), Fault> {
        /// What more than this makes no difference.
        const MANY: i64 = 10_000;
        let mut fewest = ("run_started", usize::MAX);
        for (index, condition) in &self.ways {
            let mut count = connection.prepare_cached(&format!(
                "SELECT count(*) FROM (SELECT 1 FROM run INDEXED BY {index} \
                 WHERE {condition} AND started BETWEEN ?1 AND ?2 LIMIT {MANY})"
            ))?;
            let count: i64 = count.query_row(self.started, |row| row.get(0))?;
            if (count as usize) < fewest.1 {
                fewest = (index, count as usize);
            }
        }
        Ok(fewest)
    }
}

/// Of runs that ended like this, in the words of the indexes that only such runs are in.
pub(super) fn ended_with(outcome: Status) -> &'static str {
    match outcome {
        Status::Pending => "status = 0",
        Status::Success => "status = 1",
        Status::Failed => "status = 2 AND status > 1",
        Status::Cancelled => "status = 3 AND status > 1",
    }
}
