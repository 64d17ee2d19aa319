//! What a store does on its own: it makes partitions ahead, sees to the statistics of the server, and removes old runs.

use std::time::Duration;

use throughline_model::{Timestamp, Upkeep};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::connect::Connector;
use crate::error::Fault;
use crate::schema;

/// The task of a store that does this; it ends with the store.
pub(crate) struct Keeper(JoinHandle<()>);

impl Keeper {
    const INTERVAL: Duration = Duration::from_secs(600);

    pub(crate) fn start(connector: Connector, age: Option<Duration>, upkeep: Upkeep) -> Self {
        let runtime = connector.runtime().clone();
        Self(runtime.spawn(async move {
            loop {
                if let Err(fault) = keep(&connector, age).await {
                    upkeep.failed(fault.into_append_error().to_string());
                }
                tokio::time::sleep(Self::INTERVAL).await;
            }
        }))
    }

    pub(crate) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn keep(connector: &Connector, age: Option<Duration>) -> Result<(), Fault> {
    let client = connector.connect().await?;
    schema::make_partitions(&client).await?;
    let analyzed = analyze(&client).await;
    // Statistics that can't be made must not keep anybody's data for longer than they may be kept.
    if let Some(age) = age {
        while remove_some(&client, Timestamp::now().minus(age)).await? {}
        drop_empty_days(&client).await?;
    }
    analyzed
}

/// Whether there are so many more events than the statistics of the partitioned table were made of that these mislead.
const IS_OUTGROWN: &str = "SELECT coalesce(sum(greatest(day.reltuples, 0)), 0) > 1000 + 1.2 * greatest(max(whole.reltuples), 0) \
    FROM pg_class whole JOIN pg_inherits i ON i.inhparent = whole.oid JOIN pg_class day ON day.oid = i.inhrelid \
    WHERE whole.oid = 'throughline.event'::regclass";

/// Makes the statistics that the server makes for each partition, and never for what they are partitions of. A role that does not
/// own the table makes none, and the server says so in a warning; a process of the owner makes them for all.
async fn analyze(client: &Client) -> Result<(), Fault> {
    let is_outgrown: bool = client.query_typed_one(IS_OUTGROWN, &[]).await?.try_get(0)?;
    if is_outgrown {
        client.batch_execute("ANALYZE throughline.event").await?;
    }
    Ok(())
}

/// The row of a run is what makes its events be there: when it is gone, they are, for every reader. A row that somebody writes
/// to at this moment stays for the next time.
const REMOVE: &str = "WITH old AS ( \
        SELECT r.id, r.day FROM throughline.run r LEFT JOIN throughline.instance i ON i.id = r.owner \
        WHERE CASE WHEN r.status = 0 \
              THEN r.latest < $1 AND throughline.liveness(i.id, i.opened, i.closed, i.expires) <> 0 \
                  AND throughline.last_event(r.id, r.day, r.latest) < $1 \
              ELSE coalesce(r.ended, r.latest) < $1 END \
        ORDER BY r.trace_id LIMIT 500 FOR UPDATE OF r SKIP LOCKED), \
    gone AS (DELETE FROM throughline.run r USING old WHERE r.id = old.id RETURNING r.id), \
    noted AS (UPDATE throughline.store SET removed = greatest(removed, (SELECT max(e.xid) FROM old \
        JOIN throughline.event e ON e.run = old.id AND e.day = old.day)) WHERE EXISTS (SELECT FROM old)) \
    SELECT count(*) FROM gone";

/// Removes some of the runs that are older than that; `false` if there was none.
async fn remove_some(client: &Client, than: Timestamp) -> Result<bool, Fault> {
    let than = than.as_micros();
    let removed: i64 = client.query_typed_one(REMOVE, &[(&than, Type::INT8)]).await?.try_get(0)?;
    Ok(removed > 0)
}

/// Days that no run belongs to, and that none will belong to any more.
const EMPTY_DAYS: &str = "SELECT c.relname::text, i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false) \
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid \
    WHERE c.relnamespace = 'throughline'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^event_[0-9]{8}$' \
        AND to_date(substr(c.relname, 7), 'YYYYMMDD') < (clock_timestamp() AT TIME ZONE 'UTC')::date - 1 \
        AND NOT EXISTS (SELECT FROM throughline.run r WHERE r.day = to_date(substr(c.relname, 7), 'YYYYMMDD'))";

async fn drop_empty_days(client: &Client) -> Result<(), Fault> {
    for row in client.query_typed(EMPTY_DAYS, &[]).await? {
        let (name, is_attached, is_pending): (String, bool, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let how = if is_pending { "FINALIZE" } else { "CONCURRENTLY" };
        // Nobody who reads or writes waits for this.
        let detach = format!("ALTER TABLE throughline.event DETACH PARTITION throughline.{name} {how}");
        let drop = format!("DROP TABLE IF EXISTS throughline.{name}");
        for statement in [is_attached.then_some(detach), Some(drop)].into_iter().flatten() {
            match client.batch_execute(&statement).await {
                // Another process removes the same day, and does the rest.
                Err(error) if is_of_another(error.code()) => break,
                done => done?,
            }
        }
    }
    Ok(())
}

fn is_of_another(code: Option<&SqlState>) -> bool {
    let codes = [&SqlState::UNDEFINED_TABLE, &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
    code.is_some_and(|code| codes.contains(&code))
}
