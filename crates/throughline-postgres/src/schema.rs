//! The schema `throughline` of the database, and how it comes to be there.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::error::Fault;

/// The script that leads from each version to the next.
const MIGRATIONS: &[&str] = &[include_str!("schema/001.sql")];

/// A process that migrates holds this lock; nothing else uses this number.
const LOCK: i64 = 6_075_152_841_538_334_802;

/// How many days ahead there are partitions.
pub(crate) const DAYS_AHEAD: i32 = 7;

/// The version that the database has; 0 if it has none.
async fn version(client: &Client) -> Result<usize, Fault> {
    // Not by `to_regclass`, which may remember for a while that a table is not there.
    let sql =
        "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'throughline' AND tablename = 'migration')";
    let is_there: bool = client.query_typed_one(sql, &[]).await?.try_get(0)?;
    if !is_there {
        return Ok(0);
    }
    let sql = "SELECT coalesce(max(version), 0)::bigint FROM throughline.migration";
    let version: i64 = client.query_typed_one(sql, &[]).await?.try_get(0)?;
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(Fault::Unusable(format!(
            "the schema `throughline` has version {version}, this release knows version {}; use the release that \
             migrated it, or a later one",
            MIGRATIONS.len()
        ))),
    }
}

/// Whether there is something that this release can read.
pub(crate) async fn check(client: &Client) -> Result<(), Fault> {
    match version(client).await? {
        0 => Err(Fault::NothingYet),
        version if version < MIGRATIONS.len() => Err(Fault::Unusable(format!(
            "the schema `throughline` has version {version}, this release reads version {}; any process of this \
             release that opens it for writing migrates it",
            MIGRATIONS.len()
        ))),
        _ => Ok(()),
    }
}

/// Brings the schema up to date. A role that may not create anything can do this when there is nothing to be done.
pub(crate) async fn migrate(client: &Client) -> Result<(), Fault> {
    if version(client).await? == MIGRATIONS.len() {
        return Ok(());
    }
    client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    client.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    // Asked again under the lock: another process may have been quicker.
    let version = version(client).await?;
    if version == 0 {
        client
            .batch_execute(
                "CREATE SCHEMA IF NOT EXISTS throughline; \
                 CREATE TABLE throughline.migration (\
                     version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())",
            )
            .await?;
    }
    for (index, script) in MIGRATIONS.iter().enumerate().skip(version) {
        client.batch_execute(script).await?;
        let number = i32::try_from(index + 1).unwrap_or(i32::MAX);
        let sql = "INSERT INTO throughline.migration (version) VALUES ($1)";
        client.execute_typed(sql, &[(&number, Type::INT4)]).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Makes the partitions that are missing.
pub(crate) async fn make_partitions(client: &Client) -> Result<(), Fault> {
    client.query_typed("SELECT throughline.make_partitions($1)", &[(&DAYS_AHEAD, Type::INT4)]).await?;
    Ok(())
}
