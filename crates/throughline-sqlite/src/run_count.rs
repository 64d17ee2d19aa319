//! How many runs began in which hour, of all workflows and of each.
//!
//! Runs are counted a few hundred at a time, when events are folded; readers add those that are not counted yet and those at the
//! edges of the time asked for, so that answers are exact. What becomes of a run afterwards triggers keep up with.

use std::ops::RangeInclusive;

use rusqlite::{Connection, Result, params};

use crate::rollup::HOUR;

/// Counts the runs that are not counted yet.
pub(crate) fn fold(connection: &Connection) -> Result<()> {
    for sql in [
        "INSERT INTO run_count (hour, workflow, runs) \
         SELECT started / 3600000000 - (started % 3600000000 < 0), coalesce(workflow, 0), count(*) \
         FROM run WHERE id > (SELECT run FROM run_folded) GROUP BY 1, 2 \
         ON CONFLICT (hour, workflow) DO UPDATE SET runs = runs + excluded.runs",
        "UPDATE run_folded SET run = max(run, (SELECT coalesce(max(id), 0) FROM run))",
    ] {
        connection.prepare_cached(sql)?.execute([])?;
    }
    Ok(())
}

/// How many runs of a workflow, or of all, began in a time, in microseconds.
pub(crate) fn began(
    connection: &Connection,
    time: &RangeInclusive<i64>,
    workflow: Option<i64>,
) -> Result<i64> {
    let (start, end) = (*time.start(), *time.end());
    if start > end {
        return Ok(0);
    }
    // A time without bounds has no edges.
    let cuts_first = start != i64::MIN && start.rem_euclid(HOUR) != 0;
    let cuts_last = end != i64::MAX && end.rem_euclid(HOUR) != HOUR - 1;
    let first = start.div_euclid(HOUR) + i64::from(cuts_first);
    let last = end.div_euclid(HOUR) - i64::from(cuts_last);
    let mut counted = connection.prepare_cached(
        "SELECT coalesce(sum(runs), 0) FROM run_count \
         WHERE hour BETWEEN ?1 AND ?2 AND (?3 IS NULL OR workflow = ?3)",
    )?;
    let mut count: i64 = counted.query_row(params![first, last, workflow], |row| row.get(0))?;
    let (index, of_workflow) = match workflow {
        Some(_) => ("run_workflow", "workflow = ?3"),
        None => ("run_started", "?3 IS NULL"),
    };
    let mut at_edge = connection.prepare_cached(&format!(
        "SELECT count(*) FROM run INDEXED BY {index} WHERE {of_workflow} AND started BETWEEN ?1 AND ?2 \
         AND id <= (SELECT run FROM run_folded)"
    ))?;
    let edges = match first <= last {
        true => [cuts_first.then(|| (start, first * HOUR - 1)), cuts_last.then(|| ((last + 1) * HOUR, end))],
        false => [Some((start, end)), None],
    };
    for (from, to) in edges.into_iter().flatten() {
        count += at_edge.query_row(params![from, to, workflow], |row| row.get::<_, i64>(0))?;
    }
    let mut uncounted = connection.prepare_cached(&uncounted(workflow))?;
    Ok(count + uncounted.query_row(params![start, end, workflow], |row| row.get::<_, i64>(0))?)
}

/// Counts the runs that are not counted yet. The signs keep SQLite from the indexes, in which it would look at all others as well.
fn uncounted(workflow: Option<i64>) -> String {
    let of_workflow = if workflow.is_some() { "+workflow = ?3" } else { "?3 IS NULL" };
    format!(
        "SELECT count(*) FROM run WHERE id > (SELECT run FROM run_folded) AND +started BETWEEN ?1 AND ?2 AND {of_workflow}"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use throughline_model::testing::run;
    use throughline_model::{Timestamp, TraceEvent};

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::names::find_name;
    use crate::prune::{PrunePolicy, prune};
    use crate::writer::Writer;

    /// A run of one of three workflows that starts so many minutes after the epoch; before it, if negative.
    fn began_at(number: usize, minutes: i64) -> Vec<TraceEvent> {
        let workflow = ["loan", "order", "import"][number % 3];
        let mut builder =
            run(workflow).key(&number.to_string()).at(Timestamp::from_micros(minutes * 60_000_000));
        builder.complete_run();
        builder.events()
    }

    #[test]
    fn of_the_runs_that_are_counted_none_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let place = Place { path, synchronous: Synchronous::Off, busy_timeout: Duration::from_secs(5) };
        let connection = STORE_FILE.open(&place).unwrap().connection;
        for workflow in [None, Some(7)] {
            let mut plan =
                connection.prepare(&format!("EXPLAIN QUERY PLAN {}", uncounted(workflow))).unwrap();
            let steps: Vec<String> = plan
                .query_map(params![0, 1, workflow], |row| row.get(3))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(steps[0], "SEARCH run USING INTEGER PRIMARY KEY (rowid>?)");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn runs_of_any_time_are_counted_whatever_became_of_them(
            runs in proptest::collection::vec((-300_i64..3_000, 0_u8..8), 1..60),
            times in proptest::collection::vec((-400_i64..3_100, 0_i64..2_000, 0_u8..4), 1..20),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.db");
            let place = Place { path, synchronous: Synchronous::Off, busy_timeout: Duration::from_secs(5) };
            let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
            for (number, &(minutes, what)) in runs.iter().enumerate() {
                let events = began_at(number, minutes);
                match what {
                    // An event comes late that happened earlier, and one that names another workflow.
                    0 | 1 => {
                        writer.append(&events).unwrap();
                        writer.fold().unwrap();
                        let mut early = events[0].clone();
                        early.seq = 7;
                        early.timestamp = early.timestamp.minus(Duration::from_secs(7_200));
                        early.workflow = (what == 0).then(|| "other".into());
                        writer.append(&[early]).unwrap();
                    }
                    2 => {
                        writer.append(&events).unwrap();
                        writer.replace(events[0].trace_id, &events[..1]).unwrap();
                    }
                    3 => writer.fold().unwrap(),
                    _ => drop(writer.append(&events).unwrap()),
                }
                if what == 7 && number % 4 == 0 {
                    prune(&place, &PrunePolicy { age: Some(Duration::from_secs(86_400 * 365)), bytes: None }).unwrap();
                }
            }
            let connection = writer.connection();
            let minute = |minutes: i64| minutes * 60_000_000;
            let bounded = times.into_iter().map(|(from, length, bounds)| {
                let start = if bounds & 1 == 0 { minute(from) } else { i64::MIN };
                let end = if bounds & 2 == 0 { minute(from + length) } else { i64::MAX };
                start..=end
            });
            for time in bounded.chain([i64::MIN..=i64::MAX, minute(60)..=minute(120) - 1, minute(60)..=minute(120)]) {
                for workflow in [None, Some("loan"), Some("order"), Some("other")] {
                    let id = workflow.and_then(|name| find_name(connection, name).unwrap());
                    let is_known = workflow.is_none() || id.is_some();
                    let counted: i64 = connection
                        .query_row(
                            "SELECT count(*) FROM run WHERE started BETWEEN ?1 AND ?2 AND (?3 IS NULL OR workflow = ?3)",
                            params![time.start(), time.end(), id],
                            |row| row.get(0),
                        )
                        .unwrap();
                    prop_assert!(!is_known || began(connection, &time, id).unwrap() == counted, "{:?} {:?}", time, workflow);
                }
            }
        }
    }
}
