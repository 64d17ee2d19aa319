//! Which runs a filter asks for, in the words of SQLite.

use std::borrow::Cow;
use std::ops::ControlFlow;

use rusqlite::types::{ToSql, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::FxHashSet;
use throughline_model::{Filter, Status, Text, Timestamp, TraceId};

use super::candidates::{Candidates, Known};
use super::events::Sketch;
use super::indexes::{Indexes, ended_with};
use super::rows::{Cache, OUTLINE};
use super::runs::events;
use crate::block::status_code;
use crate::error::Fault;
use crate::names::find_name;

/// A filter of runs: conditions in SQL, what SQL can't answer, and the way on which the fewest runs are looked at.
pub(super) struct Question<'f> {
    filter: &'f Filter,
    conditions: Conditions,
    attrs: Vec<WantedAttr>,
    way: Way,
}

/// How the runs are found that may match.
enum Way {
    /// Through an index of runs by their start. Which of them may have an event of the kind that is asked for is known besides, unless
    /// they are few.
    Index(&'static str, Option<Known>),
    /// Through the events among which the few runs are that may match.
    Events(Candidates),
}

/// What the rows of runs must meet.
#[derive(Default)]
struct Conditions {
    sql: Vec<Cow<'static, str>>,
    params: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    fn require(&mut self, condition: &'static str, param: Box<dyn ToSql>) {
        self.sql.push(condition.into());
        self.params.push(param);
    }

    fn sql(&self) -> String {
        match self.sql.is_empty() {
            true => "TRUE".to_owned(),
            false => self.sql.join(" AND ").replace("OR  AND", "OR"),
        }
    }

    fn params(&self) -> Vec<&dyn ToSql> {
        self.params.iter().map(|param| &**param).collect()
    }
}

/// An attribute as the column `attrs` of a run has it, and the runs that have it otherwise.
struct WantedAttr {
    /// `"tenant":"acme"`: in a flat map from text to text these characters stand for this pair and nothing else, because
    /// quotation marks within a text are escaped.
    json: String,
    runs: FxHashSet<i64>,
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
        Ok(Self { json: format!("{}:{}", json(key), json(value)), runs })
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
        let mut conditions = Conditions::default();
        if let Some(since) = filter.scope.since {
            conditions.require("started >= ?", Box::new(since.as_micros()));
        }
        if let Some(until) = filter.scope.until {
            conditions.require("started < ?", Box::new(until.as_micros()));
        }
        if let Some(service) = &filter.service {
            let Some(id) = find_name(connection, service)? else { return Ok(None) };
            conditions.require("service = ?", Box::new(id));
        }
        if let Some(workflow) = &filter.scope.workflow {
            let Some(id) = find_name(connection, workflow)? else { return Ok(None) };
            conditions.require("workflow = ?", Box::new(id));
        }
        if let Some(key) = &filter.correlation_id {
            conditions.require("correlation_id = ?", Box::new(key.as_str().to_owned()));
        }
        if let Some((started, trace_id)) = after {
            conditions.require("started <= ?", Box::new(started.as_micros()));
            conditions.require("(started < ? OR ", Box::new(started.as_micros()));
            conditions.require("trace_id < ?)", Box::new(trace_id.to_bytes()));
        }
        // Written out, so that the indexes of such runs are found.
        match filter.outcomes[..] {
            [] => {}
            [outcome] => conditions.sql.push(ended_with(outcome).into()),
            ref several => {
                let codes: Vec<String> =
                    several.iter().map(|outcome| status_code(*outcome).to_string()).collect();
                conditions.sql.push(format!("status IN ({})", codes.join(", ")).into());
            }
        }
        if filter.statuses == [Status::Failed] {
            conditions.sql.push("failure IS NOT NULL".into());
        }
        let attrs = filter.attrs.iter().map(|(key, value)| WantedAttr::new(connection, key, value));
        let attrs: Vec<WantedAttr> = attrs.collect::<Result<_, Fault>>()?;
        let sketch = match asks_for_kind(filter) {
            true => match Sketch::for_runs(connection, filter)? {
                None => return Ok(None),
                sketch => sketch,
            },
            false => None,
        };
        let way = match &filter.correlation_id {
            Some(key) if has_few_runs(connection, key)? => Way::Index("run_key", None),
            _ => {
                let indexes = Indexes::of(connection, filter)?;
                match Candidates::of(connection, filter, sketch.as_ref())? {
                    Some(candidates) if candidates.runs() < indexes.fewest(connection)?.1 => {
                        Way::Events(candidates)
                    }
                    _ => Way::Index(indexes.best(connection)?, sketch.map(Known::new)),
                }
            }
        };
        Ok(Some(Self { filter, conditions, attrs, way }))
    }

    /// Calls back for each run that matches, the last started first, until that answers a break.
    pub(super) fn each(
        &mut self,
        connection: &Connection,
        cache: &mut Cache,
        mut each: impl FnMut(&mut Cache, i64) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        let Self { filter, conditions, attrs, way } = self;
        let has_attrs = |run: i64, row: &Row<'_>| -> Result<bool, Fault> {
            let column = row.get_ref(1)?;
            Ok(attrs.iter().all(|wanted| wanted.is_of(run, column)))
        };
        // Only the events say whether the bits of the tags came from these very tags, and from one event.
        let is_of_kind = |cache: &mut Cache, run: i64| -> Result<bool, Fault> {
            let events = events(connection, cache, run, OUTLINE)?;
            Ok(events.iter().any(|event| filter.matches_kind(event)))
        };
        match way {
            Way::Index(index, known) => {
                let is_settled = filter.tags.is_empty() && (known.is_some() || !asks_for_kind(filter));
                let sql = conditions.in_order_of(index);
                let mut statement = connection.prepare_cached(&sql)?;
                let mut rows = statement.query(&*conditions.params())?;
                while let Some(row) = rows.next()? {
                    let run: i64 = row.get(0)?;
                    if !has_attrs(run, row)? {
                        continue;
                    }
                    if let Some(known) = known
                        && !known.has(connection, run, row.get(2)?)?
                    {
                        continue;
                    }
                    if (is_settled || is_of_kind(cache, run)?) && each(cache, run)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
            Way::Events(candidates) => {
                let sql = format!(
                    "SELECT run.id, attrs, started FROM run WHERE {} AND run.id = ?",
                    conditions.sql()
                );
                let mut one = connection.prepare_cached(&sql)?;
                let start = |run: i64| -> Result<Option<i64>, Fault> {
                    let mut params = conditions.params();
                    params.push(&run);
                    let mut rows = one.query(&*params)?;
                    let Some(row) = rows.next()? else { return Ok(None) };
                    Ok(if has_attrs(run, row)? { Some(row.get(2)?) } else { None })
                };
                let is_settled =
                    filter.tags.is_empty() && (candidates.are_of_kind() || !asks_for_kind(filter));
                candidates.visit(connection, start, |same| {
                    for run in by_trace(connection, same)? {
                        if (is_settled || is_of_kind(cache, run)?) && each(cache, run)?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                    Ok(ControlFlow::Continue(()))
                })
            }
        }
    }
}

impl Conditions {
    /// The index is named, so that no statistics in the file make SQLite choose one that has to be sorted: a run that begins with a
    /// key waits for this.
    fn in_order_of(&self, index: &str) -> String {
        format!(
            "SELECT run.id, attrs, started FROM run INDEXED BY {index} WHERE {} ORDER BY started DESC, trace_id DESC",
            self.sql()
        )
    }
}

/// Whether the events of all runs under a key are read sooner than anything else.
fn has_few_runs(connection: &Connection, key: &str) -> Result<bool, Fault> {
    let mut count = connection.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM run INDEXED BY run_key WHERE correlation_id = ?1 LIMIT ?2)",
    )?;
    let count: i64 = count.query_row((key, FEW + 1), |row| row.get(0))?;
    Ok(count <= FEW)
}

const FEW: i64 = 64;

/// Runs that started at the same moment, in the order of lists.
fn by_trace(connection: &Connection, runs: &[i64]) -> Result<Vec<i64>, Fault> {
    let mut runs = runs.to_vec();
    if runs.len() > 1 {
        let mut id_of = connection.prepare_cached("SELECT trace_id FROM run WHERE id = ?1")?;
        let mut named = Vec::with_capacity(runs.len());
        for run in runs {
            let id: Option<Vec<u8>> = id_of.query_row([run], |row| row.get(0)).optional()?;
            named.push((id, run));
        }
        named.sort_unstable_by(|a, b| b.cmp(a));
        runs = named.into_iter().map(|(_, run)| run).collect();
    }
    Ok(runs)
}

/// Whether only events say which runs match. Of runs with a failed event the rows say it.
fn asks_for_kind(filter: &Filter) -> bool {
    let asks_for_more = filter.event_type.is_some() || !filter.tags.is_empty();
    asks_for_more || !(filter.statuses.is_empty() || filter.statuses == [Status::Failed])
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

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
        let Question { conditions, way, .. } = Question::new(connection, filter, after).unwrap().unwrap();
        let Way::Index(index, _) = way else { panic!("not by an index") };
        let sql = format!("EXPLAIN QUERY PLAN {}", conditions.in_order_of(index));
        let mut statement = connection.prepare(&sql).unwrap();
        let steps = statement.query_map(&*conditions.params(), |row| row.get(3)).unwrap();
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
        writer.fold().unwrap();
    }

    /// The runs that are found, and how many steps SQLite took for the rows of them and of others.
    fn asked(path: &Path, filter: &Filter) -> (usize, usize) {
        const UNIT: u16 = 10;
        let mut session = Source::open(path).unwrap().1;
        let steps = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&steps);
        let mut connection = STORE_FILE.open_read_only(path).unwrap().0;
        let count = move || {
            counter.fetch_add(UNIT.into(), Ordering::Relaxed);
            false
        };
        connection.progress_handler(UNIT.into(), Some(count)).unwrap();
        let mut question = Question::new(&connection, filter, None).unwrap().unwrap();
        let mut room = 50;
        let take = |_: &mut Cache, _| {
            room -= 1;
            Ok(if room == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        question.each(&connection, session.snapshot().unwrap().1, take).unwrap();
        let found = runs::find(&mut session, filter, &Page::first(50), Causes::Kept).unwrap().items.len();
        (found, steps.load(Ordering::Relaxed))
    }

    #[test]
    fn a_few_runs_among_many_are_found_without_a_look_at_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let end = |run: &mut RunBuilder| run.complete_run();
        type Differ = fn(&mut RunBuilder);
        let cases: [(&str, Differ, Filter); 14] = [
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
                "failed ones of a workflow",
                |run| {
                    run.edit(|event| event.workflow = Some("year-end".into()));
                    run.fail_run("Timeout", "too late");
                },
                Filter::new().scope(Scope::all().workflow("year-end")).outcome(Status::Failed),
            ),
            (
                "failed ones of a service",
                |run| {
                    run.edit(|event| event.service = "ledger".into());
                    run.fail_run("Timeout", "too late");
                },
                Filter::new().service("ledger").outcome(Status::Failed),
            ),
            (
                "tag",
                |run| {
                    run.point("stage:score");
                    run.edit(|event| event.tags = vec!["audit".into()]);
                },
                Filter::new().tag("audit"),
            ),
            (
                "attribute",
                |run| run.edit(|event| event.attrs = Attrs::new().with("tenant", "globex")),
                Filter::new().attr("tenant", "globex"),
            ),
            (
                "attribute of a later event",
                |run| {
                    run.point("stage:score");
                    run.edit(|event| event.attrs = Attrs::new().with("tenant", "globex"));
                },
                Filter::new().attr("tenant", "globex"),
            ),
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
                if !matches!(name, "open" | "cancelled" | "type and outcome") && !name.starts_with("failed") {
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
            // Of the runs that began near one with an attribute it is asked whether they have it.
            let room = if filter.attrs.is_empty() { 2_000 } else { 20_000 };
            assert!(steps < room, "{name}: {steps} steps");
        }
    }

    #[test]
    fn runs_with_something_rare_are_found_in_their_order_wherever_blocks_and_ranges_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let place = Place { path: path.clone(), synchronous: Synchronous::Off, busy_timeout: Duration::ZERO };
        let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
        let (mut log, mut with_tag) = (Vec::new(), Vec::new());
        for number in 0..2_000_u32 {
            // As in an import, where the last to be written is not the last that happened.
            let moment = Timestamp::from_micros(i64::from(number * 7_919 % 2_003) * 1_000_000);
            let mut run = run("loan").key(&format!("loan-{number}")).at(moment);
            (0..3).for_each(|_| {
                run.point("stage:score");
            });
            if number % 13 == 5 {
                run.edit(|event| event.tags = vec![format!("tag-{}", number % 2).into()]);
                with_tag.push((moment, run.trace_id(), number % 2));
            }
            log.extend(run.events());
        }
        for group in log.chunks(211) {
            writer.append(group).unwrap();
        }
        with_tag.sort_unstable_by_key(|(moment, id, _)| std::cmp::Reverse((*moment, *id)));
        for folded in [false, true] {
            if folded {
                writer.fold().unwrap();
            }
            let mut session = Source::open(&path).unwrap().1;
            for tag in [0, 1] {
                let filter = Filter::new().tag(format!("tag-{tag}"));
                let found =
                    runs::find(&mut session, &filter, &Page::first(1_000), Causes::Kept).unwrap().items;
                let found: Vec<_> = found.iter().map(|run| (run.started, run.trace_id, tag)).collect();
                let wanted: Vec<_> = with_tag.iter().copied().filter(|(_, _, of)| *of == tag).collect();
                assert_eq!(found, wanted);
            }
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
            assert!(steps < 4_000, "{filter:?}: {steps} steps");
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
