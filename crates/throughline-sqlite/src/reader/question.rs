//! Which runs a filter asks for, in the words of SQLite.

use rusqlite::types::{ToSql, ValueRef};
use rusqlite::{Connection, Row};
use rustc_hash::FxHashSet;
use throughline_model::names::attrs;
use throughline_model::{Filter, Status, Text, Timestamp, TraceId};

use super::events::Sketch;
use super::kinds::{Kinds, Known};
use super::runs::events;
use super::session::{Cache, OUTLINE};
use crate::block::status_code;
use crate::error::Fault;
use crate::names::find_name;

/// A filter of runs: a part in SQL, and a part that SQL can't answer.
pub(super) struct Question<'f> {
    filter: &'f Filter,
    pub(super) sql: String,
    pub(super) params: Vec<Box<dyn ToSql>>,
    /// Which runs may have an event of the kind that is asked for, where SQL doesn't say it.
    kinds: Option<Known>,
    attrs: Vec<WantedAttr>,
}

/// An attribute as the column `attrs` of a run has it, and the runs that have it otherwise.
struct WantedAttr {
    /// `"tenant":"acme"`: in a flat map from text to text these characters stand for this pair and nothing else, because
    /// quotation marks within a text are escaped.
    json: String,
    runs: FxHashSet<i64>,
    /// All runs that have it, where an index knows them.
    few: Option<Vec<i64>>,
}

impl WantedAttr {
    fn new(connection: &Connection, key: &Text, value: &Text) -> Result<Self, Fault> {
        let json = |text: &Text| serde_json::Value::from(text.as_str()).to_string();
        let runs: FxHashSet<i64> = connection
            .prepare_cached(
                "SELECT run FROM run_attr INDEXED BY run_attr_value \
                 WHERE key = (SELECT id FROM name WHERE text = ?1) AND value = ?2",
            )?
            .query_map([key.as_str(), value.as_str()], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let few = match key.as_str() {
            attrs::REQUEST_ID => {
                let mut of_request = connection.prepare_cached(
                    "SELECT id FROM run INDEXED BY run_request \
                     WHERE instr(attrs, '\"request_id\":') > 0 AND json_extract(attrs, '$.request_id') = ?1",
                )?;
                let found = of_request.query_map([value.as_str()], |row| row.get(0))?;
                let found: FxHashSet<i64> = found.collect::<rusqlite::Result<_>>()?;
                Some(found.union(&runs).copied().collect())
            }
            _ => None,
        };
        Ok(Self { json: format!("{}:{}", json(key), json(value)), runs, few })
    }

    fn is_of(&self, run: i64, attrs: ValueRef<'_>) -> bool {
        attrs.as_str().is_ok_and(|attrs| attrs.contains(&self.json)) || self.runs.contains(&run)
    }
}

impl<'f> Question<'f> {
    /// `None` if nothing can match.
    pub(super) fn new(
        connection: &Connection,
        filter: &'f Filter,
        after: Option<(Timestamp, TraceId)>,
    ) -> Result<Option<Self>, Fault> {
        let mut conditions: Vec<&str> = Vec::new();
        let mut params: Vec<Box<dyn ToSql>> = Vec::new();
        let mut require = |condition, param: Box<dyn ToSql>| {
            conditions.push(condition);
            params.push(param);
        };
        if let Some(since) = filter.scope.since {
            require("started >= ?", Box::new(since.as_micros()));
        }
        if let Some(until) = filter.scope.until {
            require("started < ?", Box::new(until.as_micros()));
        }
        if let Some(service) = &filter.service {
            let Some(id) = find_name(connection, service)? else { return Ok(None) };
            require("service = ?", Box::new(id));
        }
        if let Some(workflow) = &filter.scope.workflow {
            let Some(id) = find_name(connection, workflow)? else { return Ok(None) };
            require("workflow = ?", Box::new(id));
        }
        if let Some(key) = &filter.correlation_id {
            require("correlation_id = ?", Box::new(key.as_str().to_owned()));
        }
        if let Some((started, trace_id)) = after {
            require("started <= ?", Box::new(started.as_micros()));
            require("(started < ? OR ", Box::new(started.as_micros()));
            require("trace_id < ?)", Box::new(trace_id.to_bytes()));
        }
        let asks_for_kind =
            !filter.statuses.is_empty() || filter.event_type.is_some() || !filter.tags.is_empty();
        let asks_for_failures =
            filter.statuses == [Status::Failed] && filter.event_type.is_none() && filter.tags.is_empty();
        // Written out, so that the indexes of such runs are found.
        let outcome = match filter.outcomes[..] {
            [] => None,
            [Status::Pending] => Some("status = 0".to_owned()),
            [Status::Success] => Some("status = 1".to_owned()),
            [Status::Failed] => Some("status = 2 AND failure IS NOT NULL".to_owned()),
            [Status::Cancelled] => Some("status = 3".to_owned()),
            ref several => {
                let codes: Vec<String> =
                    several.iter().map(|outcome| status_code(*outcome).to_string()).collect();
                Some(format!("status IN ({})", codes.join(", ")))
            }
        };
        conditions.extend(outcome.as_deref());
        if filter.statuses == [Status::Failed] {
            conditions.push("failure IS NOT NULL");
        }
        let attrs = filter.attrs.iter().map(|(key, value)| WantedAttr::new(connection, key, value));
        let attrs: Vec<WantedAttr> = attrs.collect::<Result<_, Fault>>()?;
        let mut few = attrs.iter().find_map(|attr| attr.few.clone());
        let mut kinds = None;
        if asks_for_kind && !asks_for_failures {
            let Some(sketch) = Sketch::for_runs(connection, filter)? else { return Ok(None) };
            match Kinds::of(connection, sketch)? {
                Kinds::Few(runs) => match &mut few {
                    Some(few) => few.retain(|run| runs.contains(run)),
                    None => few = Some(runs),
                },
                Kinds::Many(known) => kinds = Some(known),
            }
        }
        let conditions = match conditions.is_empty() {
            true => "TRUE".to_owned(),
            false => conditions.join(" AND ").replace("OR  AND", "OR"),
        };
        let from = match few {
            Some(few) => {
                params.insert(0, Box::new(serde_json::Value::from(few).to_string()));
                "json_each(?) AS few CROSS JOIN run ON run.id = few.value".to_owned()
            }
            // Named, so that no statistics in the file make SQLite choose one that has to be sorted: a run that begins with a
            // key waits for this.
            None => format!("run INDEXED BY {}", index(filter)),
        };
        let sql = format!(
            "SELECT run.id, attrs, started FROM {from} WHERE {conditions} ORDER BY started DESC, trace_id DESC"
        );
        Ok(Some(Self { filter, sql, params, kinds, attrs }))
    }

    /// Whether a run of these rows matches in what SQL can't answer.
    pub(super) fn is_met_by(
        &mut self,
        connection: &Connection,
        cache: &mut Cache,
        run: i64,
        row: &Row<'_>,
    ) -> Result<bool, Fault> {
        let attrs = row.get_ref(1)?;
        if !self.attrs.iter().all(|wanted| wanted.is_of(run, attrs)) {
            return Ok(false);
        }
        if let Some(kinds) = &mut self.kinds
            && !kinds.has(connection, run, row.get(2)?)?
        {
            return Ok(false);
        }
        // Only the events say whether the bits of the tags came from these very tags, and from one event.
        if !self.filter.tags.is_empty() {
            let events = events(connection, cache, run, OUTLINE)?;
            return Ok(events.iter().any(|event| self.filter.matches_kind(event)));
        }
        Ok(true)
    }
}

/// The index of runs by their start that leads past the fewest that don't match.
fn index(filter: &Filter) -> &'static str {
    let asks_for_failures = filter.statuses == [Status::Failed] || filter.outcomes == [Status::Failed];
    match filter.outcomes[..] {
        _ if filter.correlation_id.is_some() => "run_key",
        [Status::Pending] => "run_open",
        [Status::Cancelled] => "run_cancelled",
        _ if asks_for_failures => "run_failed",
        _ if filter.scope.workflow.is_some() => "run_workflow",
        _ if filter.service.is_some() => "run_service",
        _ => "run_started",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use rusqlite::{StatementStatus, params_from_iter};
    use throughline_model::testing::{RunBuilder, run};
    use throughline_model::{Attrs, Page, Scope};

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::reader::runs::{self, Causes};
    use crate::reader::session::Source;
    use crate::writer::Writer;

    /// A file in which most runs have one key.
    fn file(path: &Path) -> Connection {
        let place =
            Place { path: path.to_owned(), synchronous: Synchronous::Off, busy_timeout: Duration::ZERO };
        let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
        for number in 0..400_u32 {
            let mut run = run("loan").at(Timestamp::from_micros(i64::from(number) * 1_000_000));
            run.root();
            run.edit(|event| event.correlation_id = (number % 50 > 0).then(|| Text::literal("customer-7")));
            if number % 50 == 7 {
                run.fail_run("Timeout", "too late");
            }
            writer.append(&run.events()).unwrap();
        }
        STORE_FILE.open_read_only(path).unwrap().0
    }

    fn plan(connection: &Connection, filter: &Filter, after: Option<(Timestamp, TraceId)>) -> Vec<String> {
        let question = Question::new(connection, filter, after).unwrap().unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", question.sql)).unwrap();
        let steps = statement.query_map(params_from_iter(&question.params), |row| row.get(3)).unwrap();
        steps.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// A file with many runs, of which a few differ from all others in this way.
    fn with_few(path: &Path, differ: impl Fn(&mut RunBuilder)) {
        let place =
            Place { path: path.to_owned(), synchronous: Synchronous::Off, busy_timeout: Duration::ZERO };
        let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
        let mut events = Vec::new();
        for number in 0..4_000_u32 {
            let moment = Timestamp::from_micros(i64::from(number) * 60_000_000);
            let mut run = run("loan").key(&format!("loan-{number}")).at(moment);
            run.root();
            run.edit(|event| event.attrs = Attrs::new().with("request_id", format!("request-{number}")));
            if number % 1_000 == 500 {
                differ(&mut run);
            } else {
                (0..3).for_each(|_| {
                    run.point("stage:score");
                });
                match number % 20 {
                    3 => run.fail_run("Timeout", "too late"),
                    _ => run.complete_run(),
                }
            }
            events.extend(run.events());
        }
        writer.append_in_bulk(&events).unwrap();
    }

    /// The runs that are found, and how many steps SQLite took for the rows of them and of others.
    fn asked(path: &Path, filter: &Filter) -> (usize, i32) {
        let mut session = Source::open(path).unwrap().1;
        let found = runs::find(&mut session, filter, &Page::first(50), Causes::Kept).unwrap().items.len();
        let (snapshot, _) = session.snapshot().unwrap();
        let question = Question::new(&snapshot, filter, None).unwrap().unwrap();
        let statement = snapshot.prepare_cached(&question.sql).unwrap();
        (found, statement.get_status(StatementStatus::VmStep))
    }

    #[test]
    fn a_few_runs_among_many_are_found_without_a_look_at_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let end = |run: &mut RunBuilder| run.complete_run();
        type Differ = fn(&mut RunBuilder);
        let cases: [(&str, Differ, Filter); 9] = [
            ("open", |_| {}, Filter::new().outcome(Status::Pending)),
            ("cancelled", RunBuilder::cancel_run, Filter::new().outcome(Status::Cancelled)),
            (
                "workflow",
                |run| run.edit(|event| event.workflow = Some("year-end".into())),
                Filter::new().scope(Scope::all().workflow("year-end")),
            ),
            (
                "service",
                |run| run.edit(|event| event.service = "ledger".into()),
                Filter::new().service("ledger"),
            ),
            ("request", |_| {}, Filter::new().attr("request_id", "request-1234")),
            ("key", |_| {}, Filter::new().correlation_id("loan-1234")),
            (
                "type",
                |run| {
                    run.point("stage:close-books");
                },
                Filter::new().event_type("stage:close-books"),
            ),
            ("types that nobody has", |_| {}, Filter::new().event_type("saga:*")),
            (
                "type and outcome",
                |run| {
                    run.point("stage:close-books");
                    run.cancel_run();
                },
                Filter::new().event_type("stage:*").outcome(Status::Cancelled),
            ),
        ];
        for (name, differ, filter) in cases {
            let path = folder.path().join(format!("{name}.db"));
            with_few(&path, |run| {
                differ(run);
                if !matches!(name, "open" | "cancelled" | "type and outcome") {
                    end(run);
                }
            });
            let (found, steps) = asked(&path, &filter);
            let wanted = match name {
                "request" | "key" => 1,
                "types that nobody has" => 0,
                _ => 4,
            };
            assert_eq!(found, wanted, "{name}");
            assert!(steps < 2_000, "{name}: {steps} steps");
        }
    }

    #[test]
    fn the_first_page_of_what_most_runs_are_is_found_at_the_end_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        with_few(&path, RunBuilder::cancel_run);
        for filter in [
            Filter::new(),
            Filter::new().outcome(Status::Success),
            Filter::new().outcome(Status::Failed),
            Filter::new().scope(Scope::all().workflow("loan")),
            Filter::new().status(Status::Success),
            Filter::new().event_type("stage:*"),
            Filter::new().event_type("stage:score").outcome(Status::Success),
        ] {
            let (found, steps) = asked(&path, &filter);
            assert_eq!(found, 50, "{filter:?}");
            assert!(steps < 3_000, "{filter:?}: {steps} steps");
        }
    }

    #[test]
    fn the_last_run_under_a_key_is_found_through_one_index_and_without_a_sort() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let mut connection = file(&path);
        // People who look into the file with a shell may leave statistics there, from which SQLite plans otherwise.
        for analysed in [false, true] {
            if analysed {
                Connection::open(&path).unwrap().execute_batch("ANALYZE").unwrap();
                connection = STORE_FILE.open_read_only(&path).unwrap().0;
            }
            let moment = Timestamp::from_micros(100_000_000);
            for asked in 0..64 {
                let is_asked = |bit: u32| asked >> bit & 1 == 1;
                let mut scope = Scope::all();
                if is_asked(0) {
                    scope = scope.workflow("loan");
                }
                if is_asked(1) {
                    scope = scope.since(moment);
                }
                if is_asked(2) {
                    scope = scope.until(moment.plus(Duration::from_secs(9)));
                }
                let mut filter = Filter::new().scope(scope).correlation_id("customer-7");
                if is_asked(3) {
                    filter = filter.service("test-service");
                }
                if is_asked(4) {
                    filter = filter.status(Status::Failed);
                }
                let after = is_asked(5).then(|| (moment, TraceId::from_key("")));
                let plan = plan(&connection, &filter, after);
                let is_by_key =
                    |step: &String| step.starts_with("SEARCH run USING INDEX run_key (correlation_id=?");
                assert!(plan.len() == 1 && plan.iter().all(is_by_key), "{analysed} {asked:b}: {plan:?}");
            }
        }
    }
}
