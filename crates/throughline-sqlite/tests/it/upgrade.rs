//! Processes of two releases on one file, as during a rolling upgrade.

use rusqlite::{Connection, params};
use throughline_model::testing::{run, sample_log};
use throughline_model::{
    AppendError, Claim, Filter, Instance, InstanceId, Page, RunState, StoreConfig, Timestamp, TraceId,
    TraceReader,
};

use crate::{Place, open, shared};

/// What a later release may do: columns with defaults in every table that this one writes.
const LATER: &str = "
    ALTER TABLE event ADD COLUMN colour TEXT NOT NULL DEFAULT 'green';
    ALTER TABLE run ADD COLUMN colour TEXT NOT NULL DEFAULT 'green';
    ALTER TABLE block ADD COLUMN colour INTEGER;
    ALTER TABLE rollup ADD COLUMN colour INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run_attr ADD COLUMN colour INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE decision ADD COLUMN colour INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE name ADD COLUMN colour INTEGER;
    ALTER TABLE instance ADD COLUMN colour INTEGER;
    ALTER TABLE claim ADD COLUMN colour INTEGER;
    ALTER TABLE latest ADD COLUMN colour INTEGER;
    ALTER TABLE folded ADD COLUMN colour INTEGER;
    ALTER TABLE latest_folded ADD COLUMN colour INTEGER;
    ALTER TABLE import ADD COLUMN colour INTEGER;
    ALTER TABLE process ADD COLUMN colour INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE removed ADD COLUMN colour INTEGER;
    ALTER TABLE cause ADD COLUMN colour INTEGER;
    ALTER TABLE skip_index ADD COLUMN colour INTEGER;
    ALTER TABLE run_count ADD COLUMN colour INTEGER;
    ALTER TABLE run_folded ADD COLUMN colour INTEGER;
    CREATE TABLE colours (id INTEGER PRIMARY KEY) STRICT;";

fn migrate(place: &Place, script: &str) {
    let later = Connection::open(place.path()).unwrap();
    later.execute_batch(&format!("BEGIN IMMEDIATE; {script} PRAGMA user_version = 10; COMMIT;")).unwrap();
}

#[tokio::test]
async fn a_process_of_this_release_goes_on_writing_after_a_later_one_migrated_the_file() {
    let place = Place::new();
    let store = open(place.store()).await;
    let reader = place.store().open_reader().unwrap();
    let log = sample_log(21, 700, &[]);
    assert!(log.len() > 5000, "so many that counts are folded after the migration, too");
    let (before, after) = log.split_at(1000);
    store.append(&shared(before)).await.unwrap();
    migrate(&place, LATER);
    for group in after.chunks(500) {
        store.append(&shared(group)).await.unwrap();
    }
    let trace = TraceId::from_key("loan-42");
    assert_eq!(store.claim(trace).await.unwrap(), Claim::Granted);
    store.release(trace).await.unwrap();

    // Those that have the file open read it as well.
    for reader in [store.readers().reader, std::sync::Arc::new(reader)] {
        let events = reader.events(&Filter::new(), &Page::first(log.len() + 1)).await.unwrap();
        assert_eq!(events.items.len(), log.len());
    }
    let later = Connection::open(place.path()).unwrap();
    let green: i64 =
        later.query_row("SELECT count(*) FROM event WHERE colour = 'green'", [], |row| row.get(0)).unwrap();
    assert_eq!(green, log.len() as i64);
    store.close().await.unwrap();

    // Once closed, it can't be opened by this release again.
    let instance = Instance::new(InstanceId::random(), "loan-service");
    let errors = [
        place.store().open(instance).await.map(drop).unwrap_err(),
        place.store().open_readers().await.map(drop).unwrap_err(),
        place.store().open_importer().map(drop).unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(text.contains("schema version 10, this release knows version 9"), "{text}");
        assert!(text.contains("use the release that wrote it, or a later one"), "{text}");
    }
}

#[tokio::test]
async fn a_process_that_can_not_go_on_writing_says_how_to_fix_it_and_loses_nothing() {
    let place = Place::new();
    let store = open(place.store()).await;
    let mut loan = run("loan");
    loan.root();
    store.append(&shared(&loan.events())).await.unwrap();
    migrate(&place, "ALTER TABLE event RENAME COLUMN rest TO remainder;");
    let before = loan.events();
    loan.complete_run();
    let error = store.append(&shared(&loan.events())).await.unwrap_err();
    assert!(matches!(error, AppendError::Broken { .. }));
    let text = error.to_string();
    assert!(text.contains("traces.db has tables that this release can't work with"), "{text}");
    assert!(text.contains("restart this process with the release that the other processes run"), "{text}");

    let later = Connection::open(place.path()).unwrap();
    later
        .execute_batch("ALTER TABLE event RENAME COLUMN remainder TO rest; PRAGMA user_version = 9")
        .unwrap();
    let reader = place.store().open_reader().unwrap();
    assert_eq!(reader.trace(loan.trace_id()).await.unwrap(), before, "nothing of the group is there");
    store.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(reader.trace(loan.trace_id()).await.unwrap(), loan.events());
}

/// The statements of the release before this one, which wrote schema version 2.
struct Before(Connection);

impl Before {
    fn create(place: &Place) -> Self {
        let connection = Connection::open(place.path()).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; BEGIN; {} {} PRAGMA application_id = 0x54484c4e; \
                 PRAGMA user_version = 2; COMMIT; \
                 INSERT INTO name (id, text) VALUES (1, 'workflow:started'), (2, 'loan-service'), (3, 'stage:sign');",
                include_str!("../../src/schema/001.sql"),
                include_str!("../../src/schema/002.sql"),
            ))
            .unwrap();
        Self(connection)
    }

    /// Writes an event of the run, as the first if there is none yet, with its block.
    fn write(&self, run: i64, trace: TraceId, event: i64, event_type: i64, ts: i64) {
        let transaction = self.0.unchecked_transaction().unwrap();
        if event_type == 1 {
            transaction
                .prepare_cached(
                    "INSERT INTO run VALUES (?1, ?2, ?3, NULL, 0, 0, 2, NULL, NULL, NULL, ?4, ?4, ?4, NULL, NULL, NULL, 0, 0)",
                )
                .unwrap()
                .execute(params![run, trace.to_bytes(), ts, event])
                .unwrap();
        }
        let parent = (event_type != 1).then_some(1);
        transaction
            .prepare_cached(
                "INSERT INTO event VALUES (?1, ?2, ?3, 0, ?4, ?5, 0, 0, ?6, 0, 2, NULL, NULL, NULL, NULL, NULL, NULL, \
                 NULL, NULL, NULL, NULL, NULL) ON CONFLICT (run, span, seq) DO NOTHING",
            )
            .unwrap()
            .execute(params![event, run, event_type, parent, ts, event_type])
            .unwrap();
        let mut entry = Vec::new();
        entry.extend_from_slice(&run.to_le_bytes());
        entry.extend_from_slice(&ts.to_le_bytes());
        entry.extend_from_slice(&u64::MAX.to_le_bytes());
        entry.extend_from_slice(&(event_type as u32).to_le_bytes());
        entry.extend_from_slice(&0_u32.to_le_bytes());
        entry.extend_from_slice(&2_u16.to_le_bytes());
        entry.extend_from_slice(&0_u16.to_le_bytes());
        transaction
            .prepare_cached("INSERT INTO block VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
            .unwrap()
            .execute(params![event, 1, run, ts, ts, None::<i64>, entry])
            .unwrap();
        transaction.commit().unwrap();
    }
}

#[tokio::test]
async fn a_process_of_the_release_before_goes_on_writing_after_this_one_migrated_the_file() {
    let place = Place::new();
    let before = Before::create(&place);
    let trace = TraceId::from_key("loan-42");
    let start = 1_790_000_000_000_000;
    before.write(1, trace, 1, 1, start);

    let store = open(place.store()).await;
    before.write(1, trace, 2, 3, start + 5);
    let mut other = run("loan").key("other");
    other.complete_run();
    store.append(&shared(&other.events())).await.unwrap();
    store.close().await.unwrap();

    let reader = place.store().open_reader().unwrap();
    let events = reader.trace(trace).await.unwrap();
    assert_eq!(
        events.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>(),
        ["workflow:started", "stage:sign"]
    );
    assert_eq!(reader.trace(other.trace_id()).await.unwrap(), other.events());
    let open = reader.open_summaries(&Page::first(10)).await.unwrap().items;
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].summary.trace_id, open[0].summary.state), (trace, RunState::Unfinished));
    assert_eq!(open[0].last_event, Timestamp::from_micros(start + 5));
    // After the other side has written, the release before continues from the right numbers.
    before.write(1, trace, 5, 2, start + 9);
    let open = reader.open_summaries(&Page::first(10)).await.unwrap().items;
    assert_eq!(open[0].last_event, Timestamp::from_micros(start + 9));
}
