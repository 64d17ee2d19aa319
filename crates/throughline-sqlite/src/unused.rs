//! Names that nothing uses any more: found by a look at everything that may use one, a piece at a time, and removed.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result, params};
use rustc_hash::FxHashSet;
use throughline_model::Attrs;

use crate::block::last_event;
use crate::names::find_name;
use crate::writer::Writer;

/// So many names are no burden, and not looked at. There are more where callers put ids into the names of events or tags.
const FEW: i64 = 1000;

/// The names that are used, as far as has been looked.
#[derive(Debug, Default)]
struct Used {
    names: FxHashSet<i64>,
    /// The last event that was looked at.
    event: i64,
    /// The last event of which the table of attributes has the keys.
    with_keys: i64,
}

/// Removes the names that nothing uses; returns how many there were. Others may write meanwhile.
pub(crate) fn remove_unused(writer: &mut Writer) -> Result<u64> {
    let connection = writer.connection();
    let count: i64 = connection.query_row("SELECT count(*) FROM name", [], |row| row.get(0))?;
    if count <= FEW {
        return Ok(0);
    }
    // A name that gets into one of these tables from now on comes with an event after this one.
    let mut used = Used { with_keys: last_event(connection)?, ..Used::default() };
    let counted = "SELECT type FROM rollup UNION SELECT workflow FROM rollup UNION SELECT type FROM decision \
         UNION SELECT key FROM run_attr UNION SELECT service FROM run UNION SELECT workflow FROM run";
    used.add(connection, counted)?;
    used.look_at_events(connection)?;
    let unused: Vec<i64> = {
        // A number is never given again, for readers remember what it stands for: the greatest one stays.
        let mut names = connection.prepare("SELECT id FROM name WHERE id < (SELECT max(id) FROM name)")?;
        let ids = names.query_map([], |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>>>()?;
        ids.into_iter().filter(|id| !used.names.contains(id)).collect()
    };
    let (mut left, mut removed) = (unused.chunks(64), 0);
    while left.len() > 0 {
        writer.in_turn(|connection| {
            // A writer may have used a name again. From now on none can: nobody else writes, and whoever writes next finds that
            // the file has changed, and forgets the numbers that it remembers.
            used.look_at_events(connection)?;
            let Some(unused) = left.next() else { return Ok(false) };
            let mut delete = connection.prepare_cached("DELETE FROM name WHERE id = ?1")?;
            for id in unused.iter().filter(|id| !used.names.contains(id)) {
                removed += delete.execute([id])? as u64;
            }
            Ok(true)
        })?;
    }
    Ok(removed)
}

impl Used {
    fn add(&mut self, connection: &Connection, sql: &str) -> Result<()> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.names.extend(row.get::<_, Option<i64>>(0)?);
        }
        Ok(())
    }

    /// Looks at the events that have come since the last look, and at all if this is the first.
    fn look_at_events(&mut self, connection: &Connection) -> Result<()> {
        let last = last_event(connection)?;
        let (mut tags, mut texts) = (FxHashSet::default(), FxHashSet::default());
        {
            let mut events = connection.prepare_cached(
                "SELECT type, service, workflow, tags, CASE WHEN id > ?3 THEN attrs END FROM event \
                 WHERE id > ?1 AND id <= ?2",
            )?;
            let mut rows = events.query(params![self.event, last, self.with_keys])?;
            while let Some(row) = rows.next()? {
                self.names.extend([row.get::<_, i64>(0)?, row.get(1)?]);
                self.names.extend(row.get::<_, Option<i64>>(2)?);
                if let ValueRef::Text(json) = row.get_ref(3)?
                    && !tags.contains(json)
                {
                    tags.insert(json.to_vec());
                }
                if let ValueRef::Text(json) = row.get_ref(4)? {
                    let attrs: Attrs = serde_json::from_slice(json).unwrap_or_default();
                    texts.extend(attrs.iter().map(|(key, _)| key.to_string()));
                }
            }
        }
        for json in tags {
            texts.extend(serde_json::from_slice::<Vec<String>>(&json).unwrap_or_default());
        }
        for text in texts {
            self.names.extend(find_name(connection, &text)?);
        }
        self.event = last;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use throughline_model::testing::{RunBuilder, run};
    use throughline_model::{Timestamp, TraceId, TraceReader};

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::prune::Pruner;
    use crate::{PrunePolicy, SqliteStore};

    /// A run whose names are of two kinds: those that all runs have, and those of its own.
    fn named(key: &str, own: usize, start: Timestamp) -> RunBuilder {
        let mut run = run("loan").key(key).at(start);
        for number in 0..own {
            run.point(&format!("stage:{key}-{number}"));
            run.edit(|event| {
                event.tags = vec!["kept".into(), format!("tag-{key}-{number}").into()];
                event.attrs = [(format!("attr-{key}-{number}"), "1")].into_iter().collect();
            });
        }
        run.complete_run();
        run
    }

    #[test]
    fn names_that_nothing_uses_any_more_go_and_writers_and_readers_notice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let place =
            Place { path: path.clone(), synchronous: Synchronous::Off, busy_timeout: Duration::from_secs(5) };
        let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
        let count = |writer: &Writer| {
            let sql = "SELECT count(*), max(id) FROM name";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
            writer.connection().query_row(sql, [], row).unwrap()
        };
        let kept = named("kept", 10, Timestamp::now());
        let long_ago = named("gone", 600, Timestamp::from_micros(0)).events();
        writer.append(&kept.events()).unwrap();
        writer.append(&long_ago).unwrap();
        let (before, greatest) = count(&writer);
        assert!(before > 3 * 600);
        let reader = SqliteStore::new(&path).open_reader().unwrap().in_place();
        let read = |id| futures_util::FutureExt::now_or_never(reader.trace(id)).unwrap().unwrap();
        assert_eq!(read(TraceId::from_key("kept")), kept.events());

        let age = Duration::from_secs(60);
        Pruner::open(&place, PrunePolicy::default().age(age)).unwrap().prune().unwrap();
        let (after, still_greatest) = count(&writer);
        assert!(after < 60 && still_greatest == greatest, "{after} of {before} names are left");
        assert_eq!(read(TraceId::from_key("kept")), kept.events());

        // The writer remembers numbers of names that are gone.
        writer.append(&long_ago).unwrap();
        assert_eq!(read(TraceId::from_key("gone")), long_ago);
        for wanted in ["tag-gone-7", "kept"] {
            let filter = throughline_model::Filter::new().tag(wanted);
            let page = throughline_model::Page::first(10_000);
            let found =
                futures_util::FutureExt::now_or_never(reader.events(&filter, &page)).unwrap().unwrap();
            assert_eq!(found.items.len(), if wanted == "kept" { 610 } else { 1 });
        }
    }
}
