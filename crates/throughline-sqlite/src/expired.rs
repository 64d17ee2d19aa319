//! Which runs a policy removes: those that ended, or that nobody works on any more, long enough ago.
//!
//! Runs are examined oldest first, a limited number at a time; the next look continues where the last one stopped. So any
//! number of runs that have to stay, because a process works on them, neither hides the others nor makes one look long.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use rustc_hash::FxHashMap;
use throughline_model::{InstanceId, Liveness};

use crate::lease::liveness;

/// Runs that one look takes in: half a millisecond of reading.
const AT_ONCE: i64 = 1024;

/// Before the first run, in the order of [`Pass::after`].
const START: (i64, i64) = (i64::MIN, i64::MIN);

/// What a policy says at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Whether the file holds too many bytes.
    pub(crate) too_large: bool,
    /// What is older than this goes, in microseconds.
    pub(crate) oldest: Option<i64>,
}

/// One go through the runs of a file.
#[derive(Debug)]
pub(crate) struct Pass {
    /// Start and number of the last run that was looked at.
    after: (i64, i64),
    /// Whether the file held too many bytes when runs were last looked for.
    too_large: bool,
}

impl Default for Pass {
    fn default() -> Self {
        Self { after: START, too_large: false }
    }
}

/// A statement that reads what [`Candidate::read`] expects.
macro_rules! candidates {
    ($index:literal) => {
        concat!(
            "SELECT r.id, r.started, coalesce(CASE r.status WHEN 0 THEN l.ts ELSE r.ended END, r.started), o.key, \
             c.instance FROM run r ",
            $index,
            " LEFT JOIN latest l ON l.run = r.id AND r.status = 0 \
             LEFT JOIN instance o ON o.id = r.owner AND r.status = 0 \
             LEFT JOIN claim c ON c.trace_id = r.trace_id "
        )
    };
}

/// The runs after one, in the order of their starts.
const NEXT: &str = concat!(
    candidates!("INDEXED BY run_started"),
    "WHERE (r.started, r.id) > (?1, ?2) AND r.started < ?3 ORDER BY r.started, r.id LIMIT ?4"
);

/// What one look has found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Runs to remove, the oldest first.
    pub(crate) runs: Vec<i64>,
    /// They ended, or something last happened in them, before this.
    before: i64,
    pub(crate) limits: Limits,
    /// Whether the pass is over, and the next look begins at the oldest run again.
    pub(crate) is_last: bool,
}

impl Pass {
    /// Continues looking for runs to remove, until there are `wanted` of them. It only reads, and where the table `latest` is
    /// behind it finds too many; the removal [asks again](still_expired) when nobody else can write.
    pub(crate) fn look(
        &mut self,
        connection: &Connection,
        database: &Path,
        limits: Limits,
        wanted: usize,
    ) -> Result<Found> {
        if limits.too_large && !self.too_large {
            // Runs that were too young to go may be the oldest now.
            self.after = START;
        }
        self.too_large = limits.too_large;
        let before = match limits {
            Limits { too_large: true, .. } => i64::MAX,
            Limits { oldest: Some(oldest), .. } => oldest,
            Limits { oldest: None, .. } => START.0,
        };
        let mut found = Found { runs: Vec::new(), before, limits, is_last: true };
        let mut living = Living::new(connection, database);
        let mut statement = connection.prepare_cached(NEXT)?;
        let mut rows = statement.query(params![self.after.0, self.after.1, before, AT_ONCE])?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            let run = Candidate::read(row)?;
            seen += 1;
            self.after = (run.started, run.id);
            if run.goes(before, &mut living)? {
                found.runs.push(run.id);
            }
            if seen == AT_ONCE || found.runs.len() == wanted {
                found.is_last = false;
                break;
            }
        }
        if found.is_last {
            self.after = START;
        }
        Ok(found)
    }
}

/// Of runs that were [found](Pass::look) those that may still go, with their starts. Asked in the transaction that removes
/// them, when the table `latest` is up to date: nobody can claim or continue a run between the answer and its removal.
pub(crate) fn still_expired(
    connection: &Connection,
    database: &Path,
    found: &Found,
) -> Result<Vec<(i64, i64)>> {
    let mut living = Living::new(connection, database);
    let mut statement = connection.prepare_cached(concat!(candidates!(""), "WHERE r.id = ?1"))?;
    let mut expired = Vec::with_capacity(found.runs.len());
    for run in &found.runs {
        if let Some(run) = statement.query_row([run], Candidate::read).optional()?
            && run.goes(found.before, &mut living)?
        {
            expired.push((run.id, run.started));
        }
    }
    Ok(expired)
}

/// What decides whether a run goes.
struct Candidate {
    id: i64,
    started: i64,
    /// When it ended, or when something last happened in it.
    last: i64,
    /// The instances that may work on it: its owner, if it has not ended, and the one that has claimed it.
    hands: [Option<i64>; 2],
}

impl Candidate {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            started: row.get(1)?,
            last: row.get(2)?,
            hands: [row.get(3)?, row.get(4)?],
        })
    }

    fn goes(&self, before: i64, living: &mut Living<'_>) -> Result<bool> {
        if self.last >= before {
            return Ok(false);
        }
        for instance in self.hands.iter().flatten() {
            if living.contains(*instance)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Which instances are alive. Each is asked for once: the answer takes a look at its lease file.
struct Living<'a> {
    connection: &'a Connection,
    database: &'a Path,
    known: FxHashMap<i64, bool>,
}

impl<'a> Living<'a> {
    fn new(connection: &'a Connection, database: &'a Path) -> Self {
        Self { connection, database, known: FxHashMap::default() }
    }

    fn contains(&mut self, key: i64) -> Result<bool> {
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let instance = InstanceId::from_u64(key as u64);
        let is_alive = liveness(self.connection, self.database, instance)? == Liveness::Alive;
        self.known.insert(key, is_alive);
        Ok(is_alive)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use throughline_model::testing::run;
    use throughline_model::{Instance, Timestamp, TraceId};

    use super::*;
    use crate::claim::claim;
    use crate::connection::{Opened, Place, STORE_FILE, Synchronous};
    use crate::lease::Lease;
    use crate::prune::remove;
    use crate::writer::Writer;

    const AGE: Limits = Limits { too_large: false, oldest: Some(1_000_000) };
    const SIZE: Limits = Limits { too_large: true, oldest: None };

    struct File {
        _folder: tempfile::TempDir,
        path: PathBuf,
        connection: Connection,
        live: InstanceId,
        _lease: Lease,
    }

    impl File {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.db");
            let connection = Self::open(&path).connection;
            let live = InstanceId::random();
            let mut writer = Writer::new(Self::open(&path));
            let lease = Lease::take(&mut writer, &path, &Instance::new(live, "loan-service")).unwrap();
            Self { _folder: folder, path, connection, live, _lease: lease }
        }

        fn open(path: &Path) -> Opened {
            let place = Place {
                path: path.to_owned(),
                synchronous: Synchronous::Off,
                busy_timeout: Duration::from_secs(5),
            };
            STORE_FILE.open(&place).unwrap()
        }

        /// Adds so many open runs, the first of which starts at this time and each other a microsecond later.
        fn open_runs(&self, of: InstanceId, count: i64, first: i64) {
            let sql = "WITH RECURSIVE number (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM number WHERE i + 1 < ?2) \
                 INSERT INTO run (trace_id, started, status, owner, service, head, compensating) \
                 SELECT randomblob(16), ?3 + i, 0, (SELECT id FROM instance WHERE key = ?1), 1, 0, 0 FROM number";
            self.connection.execute(sql, params![of.to_u64() as i64, count, first]).unwrap();
        }

        fn look(&self, pass: &mut Pass, limits: Limits) -> Found {
            pass.look(&self.connection, &self.path, limits, 32).unwrap()
        }
    }

    #[test]
    fn looks_are_short_and_go_on_behind_the_runs_that_stay() {
        let file = File::new();
        file.open_runs(file.live, 5000, 1000);
        file.open_runs(InstanceId::IMPORTED, 40, 100_000);
        let mut pass = Pass::default();
        for limits in [AGE, SIZE, AGE] {
            for _ in 0..4 {
                let found = file.look(&mut pass, limits);
                assert!(found.runs.is_empty() && !found.is_last);
            }
            let found = file.look(&mut pass, limits);
            assert!(found.runs.len() == 32 && found.runs.is_sorted() && !found.is_last);
            let found = file.look(&mut pass, limits);
            assert!(found.runs.len() == 8 && found.is_last);
        }
    }

    #[test]
    fn no_look_reads_the_whole_table_or_sorts_it() {
        let file = File::new();
        let mut statement = file.connection.prepare(&format!("EXPLAIN QUERY PLAN {NEXT}")).unwrap();
        let plan = statement.query_map([0, 0, 0, 0], |row| row.get::<_, String>(3)).unwrap();
        let plan: Vec<_> = plan.collect::<Result<_>>().unwrap();
        assert!(plan.iter().all(|step| step.starts_with("SEARCH")), "{plan:?}");
        assert!(plan[0].contains("run_started (started>? AND started<?)"), "{plan:?}");
    }

    #[test]
    fn a_file_that_has_become_too_large_is_gone_through_from_its_oldest_run() {
        let file = File::new();
        file.open_runs(file.live, 2000, 1000);
        file.open_runs(InstanceId::IMPORTED, 1, 0);
        file.connection
            .execute("INSERT INTO latest SELECT id, 5000000 FROM run WHERE started = 0", [])
            .unwrap();
        let mut pass = Pass::default();
        assert!(file.look(&mut pass, AGE).runs.is_empty());
        assert_eq!(file.look(&mut pass, SIZE).runs.len(), 1);
        assert!(file.look(&mut pass, SIZE).runs.is_empty(), "not from there each time");
        // Once it is small enough the pass is over, for nothing has an age.
        let small = Limits { too_large: false, oldest: None };
        assert!(file.look(&mut pass, small).is_last);
        assert_eq!(file.look(&mut pass, SIZE).runs.len(), 1);
    }

    #[test]
    fn what_is_claimed_or_goes_on_between_the_look_and_the_removal_stays() {
        let file = File::new();
        let mut writer = Writer::new(File::open(&file.path));
        let mut begun = ["claimed", "continued", "resumed", "dead"].map(|key| {
            let mut begun = run("loan").key(key).at(Timestamp::from_micros(0));
            begun.root();
            begun
        });
        for begun in &begun {
            writer.append(&begun.events()).unwrap();
        }
        let found = file.look(&mut Pass::default(), AGE);
        assert_eq!(found.runs.len(), 4);

        claim(&file.connection, &file.path, TraceId::from_key("claimed"), file.live).unwrap();
        let [_, continued, resumed, _] = &mut begun;
        continued.pass(Duration::from_secs(1));
        continued.point("stage:signed");
        resumed.resume(file.live);
        writer.append(&continued.events()).unwrap();
        writer.append(&resumed.events()).unwrap();
        assert_eq!(remove(&file.connection, &file.path, &found).unwrap(), 1);
        let mut left = file.connection.prepare("SELECT correlation_id FROM run ORDER BY 1").unwrap();
        let left = left.query_map([], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(left.collect::<Result<Vec<_>>>().unwrap(), ["claimed", "continued", "resumed"]);
    }
}
