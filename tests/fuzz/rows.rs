//! The rows of a SQLite file that somebody else wrote, or something damaged.

use std::fmt::Debug;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, params};
use throughline::SqliteStore;
use throughline::store::{SqliteImporter, SqliteReader};
use throughline_fuzz::{Target, assert_linear, fuzz};
use throughline_model::testing::sample_log;
use throughline_model::{Filter, Page, ReadError, Scope, TraceAnalytics, TraceEvent, TraceId, TraceReader};

/// A column in the first line, and what is put into it in every row.
const ROW: Target = Target::new(
    "sqlite-row",
    &[
        "event.",
        "run.",
        "name.",
        "instance.",
        "block.",
        "rollup.",
        "run_attr.",
        "decision.",
        "ts",
        "data",
        "attrs",
        "tags",
        "error",
        "rest",
        "text",
        "status",
        "seq",
        "parent",
        "\n",
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "1",
        "-1",
        "null",
        "9223372036854775807",
        "{\"a\":1}",
        "[[",
        "é",
        "\\u0000",
    ],
);

/// A file with a few runs, as bytes.
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.db");
    let mut importer: SqliteImporter = SqliteStore::new(&path).open_importer().unwrap();
    importer.append(&sample_log(7, 4, &[])).unwrap();
    importer.finish().unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(connection);
    std::fs::read(path).unwrap()
});

/// Puts a value into a column, in every row; nothing if there is no such column, or it refuses the value.
fn write(path: &Path, input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (column, value) = (String::from_utf8_lossy(&input[..end]), input.get(end + 1..).unwrap_or_default());
    let Some((table, column)) = column.split_once('.') else { return };
    let connection = Connection::open(path).unwrap();
    let known = connection.query_row(
        "SELECT type FROM pragma_table_info(?1) WHERE name = ?2",
        params![table, column],
        |row| row.get::<_, String>(0),
    );
    let Ok(kind) = known else { return };
    let number = || std::str::from_utf8(value).ok()?.parse().ok().map(Value::Integer);
    let (cast, value) = match kind.as_str() {
        "TEXT" => ("CAST(?1 AS TEXT)", Value::Blob(value.to_vec())),
        _ => ("?1", number().unwrap_or_else(|| Value::Blob(value.to_vec()))),
    };
    // What a constraint refuses stays as it is.
    let _ = connection.execute(&format!("UPDATE OR IGNORE {table} SET {column} = {cast}"), [value]);
}

/// An answer or an error: a panic in a thread of the reader is neither.
fn answered<T: Debug>(answer: Result<T, ReadError>) -> Option<T> {
    if let Err(error) = &answer {
        assert!(!error.to_string().contains("panic"), "{error}");
    }
    answer.ok()
}

async fn read_all(reader: &SqliteReader) {
    let (page, scope) = (Page::first(100), Scope::all());
    let events = answered(reader.events(&Filter::new(), &page).await);
    answered(reader.events(&Filter::new().event_type("stage:*").tag("urgent"), &page).await);
    let runs = answered(reader.runs(&Filter::new(), &page).await);
    answered(reader.open_runs(&page).await);
    answered(reader.open_summaries(&page).await);
    answered(reader.safe_to_deploy(Duration::ZERO).await);
    answered(reader.failure_rate(&scope).await);
    answered(reader.failure_rate_by_type(&scope).await);
    answered(reader.slowest_stages(&scope, 10).await);
    answered(reader.slowest_spans(&scope, 10).await);
    answered(reader.compensation_rate(&scope).await);
    answered(reader.hot_spots(&scope, 10).await);
    answered(reader.decision_outcomes(&scope).await);
    answered(reader.over_time(&scope, Duration::from_secs(3600)).await);
    let events = events.into_iter().flat_map(|found| found.items).map(|event| event.trace_id);
    let runs = runs.into_iter().flat_map(|found| found.items).map(|run| run.trace_id);
    let mut ids: Vec<TraceId> = events.chain(runs).collect();
    ids.dedup();
    for id in ids.into_iter().take(4) {
        answered(reader.trace(id).await);
        answered(reader.trace_page(id, &page).await);
        answered(reader.run(id).await);
    }
}

/// Reads a file into which something was written.
fn read<T>(input: &[u8], read: impl AsyncFnOnce(&SqliteReader) -> T) -> Option<T> {
    const NEVER: Duration = Duration::from_secs(60);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.db");
    std::fs::write(&path, &*FILE).unwrap();
    write(&path, input);
    let reader = SqliteStore::new(&path).open_reader().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    Some(runtime.block_on(async { tokio::time::timeout(NEVER, read(&reader)).await }).unwrap())
}

async fn events(reader: &SqliteReader) -> Option<Vec<TraceEvent>> {
    answered(reader.events(&Filter::new(), &Page::first(1)).await).map(|found| found.items)
}

#[test]
fn what_is_written_into_a_column_is_what_is_read() {
    let amount = |event: &TraceEvent| event.data.as_ref().and_then(|data| data.get("amount")?.as_u64());
    let found = read(b"event.data\n{\"amount\":5}", events).unwrap().unwrap();
    assert_eq!(found.iter().map(amount).collect::<Vec<_>>(), [Some(5)]);
    assert!(read(b"event.data\n{\"amount\":", events).unwrap().is_none(), "it is no JSON");
}

#[test]
fn any_row_is_read_or_refused() {
    let read_all = |bytes: &[u8]| {
        read(bytes, read_all);
    };
    fuzz!(ROW, read_all, 100);
}

#[test]
fn reading_rows_takes_time_linear_in_them() {
    for column in
        ["event.data\n{\"a\":[0", "event.attrs\n{\"a\":\"", "event.tags\n[0", "event.error\n", "name.text\n"]
    {
        for unit in ["[", "{\"a\":", ",0", "\\u0041", "é"] {
            assert_linear(unit.as_bytes(), (column, ""), &|bytes| drop(read(bytes, events)));
        }
    }
}
