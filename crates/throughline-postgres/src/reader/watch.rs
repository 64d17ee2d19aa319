//! Watching a database that any process writes to.
//!
//! The log is the order of (transaction, place in it), which for the events of one run is theirs; those of different runs that were
//! written at the same time come in any order. Transactions commit in another order than they begin, so the log is
//! read only as far as all transactions before have ended: `pg_snapshot_xmin` is the first that has not. So nothing is
//! skipped, nobody who writes waits for anybody, and no session needs to be kept.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use throughline_model::{Cursor, EventStream, ReadError, StreamItem, WatchFrom, WatchRequest};
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::append::event_of;
use crate::connect::{Param, Pool, reading};
use crate::error::Fault;

type Item = Result<StreamItem, ReadError>;

/// How often a watcher that has seen everything looks again.
const INTERVAL: Duration = Duration::from_millis(100);

/// How many events are read at a time, and how many wait for a watcher that is slower.
const CHUNK: usize = 512;

const LOG: &str = "SELECT e.event::text, e.xid, e.ord FROM throughline.event e \
    JOIN throughline.run r ON r.id = e.run AND r.day = e.day \
    WHERE (e.xid, e.ord) > ($1, $2) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint \
    ORDER BY e.xid, e.ord LIMIT 512";

/// The store, what can be seen of it now, and the last transaction whose events are not all there any more.
const NOW: &str = "SELECT id, pg_current_snapshot()::text, removed FROM throughline.store";

/// Where an event stands: in which store, and where in its log. As a cursor: `postgres:8c5f…:741:3`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    store: String,
    xid: i64,
    ord: i32,
}

impl Place {
    fn read(cursor: &Cursor) -> Result<Self, ReadError> {
        let read = || {
            let mut parts = cursor.as_str().strip_prefix("postgres:")?.split(':');
            let store = parts.next()?.to_owned();
            let xid = parts.next()?.parse().ok().filter(|xid| *xid >= 0)?;
            let ord = parts.next()?.parse().ok().filter(|ord| *ord >= 0)?;
            parts.next().is_none().then_some(Self { store, xid, ord })
        };
        read().ok_or_else(|| {
            let shown: String = cursor.as_str().chars().take(64).collect();
            ReadError::InvalidQuery {
                reason: format!(
                    "`{shown}` is not a cursor of this stream; pass the cursor of an event that it delivered"
                ),
            }
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(format!("postgres:{}:{}:{}", self.store, self.xid, self.ord))
    }
}

/// Which transactions had ended, as `pg_snapshot` has it: `xmin:xmax:xip_list`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Snapshot {
    /// The first that had not.
    xmin: i64,
    /// The first that had not begun.
    xmax: i64,
    /// Those between the two that had not.
    open: Vec<i64>,
}

impl Snapshot {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (xmin, xmax) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let open = parts.next()?.split(',').filter(|xid| !xid.is_empty());
        Some(Self { xmin, xmax, open: open.map(|xid| xid.parse().ok()).collect::<Option<_>>()? })
    }

    fn has_ended(&self, xid: i64) -> bool {
        xid < self.xmin || (xid < self.xmax && !self.open.contains(&xid))
    }
}

pub(super) async fn watch(pool: &Pool, request: WatchRequest) -> Result<EventStream, Fault> {
    let after = match &request.from {
        WatchFrom::Now => None,
        WatchFrom::After(cursor) => Some(Place::read(cursor)?),
    };
    let (store, snapshot, removed) = now(pool).await?;
    let now = Place { store, xid: snapshot.xmin - 1, ord: i32::MAX };
    let (place, seen, has_missed) = match after {
        None => (now, snapshot, false),
        // What was removed may have come after the cursor.
        Some(after) if after.store == now.store && after.xid < snapshot.xmin => {
            let has_missed = after.xid <= removed;
            (after, Snapshot::default(), has_missed)
        }
        // The cursor is of another store, or this one was restored from a backup.
        Some(_) => (now, snapshot, true),
    };
    let (tx, rx) = mpsc::channel(CHUNK);
    let pool = pool.clone();
    let runtime = pool.runtime().clone();
    runtime.spawn(async move {
        if has_missed && tx.send(Ok(StreamItem::Missed(None))).await.is_err() {
            return;
        }
        if let Err(fault) = read_on(&pool, &request, place, &seen, &tx).await {
            // The watcher may be gone, too.
            let _ = tx.send(Err(fault.into_read_error())).await;
        }
    });
    Ok(Box::pin(Watched { rx }))
}

async fn now(pool: &Pool) -> Result<(String, Snapshot, i64), Fault> {
    reading!(pool, client => async {
        let row = client.query_typed_one(NOW, &[]).await?;
        let snapshot: String = row.try_get(1)?;
        let damaged = || Fault::Damaged(format!("the snapshot `{snapshot}` can't be read"));
        Ok((row.try_get(0)?, Snapshot::read(&snapshot).ok_or_else(damaged)?, row.try_get(2)?))
    })
}

/// Delivers what comes until nobody watches any more, but not what had been `seen`: where an old transaction is open,
/// others behind it have ended.
async fn read_on(
    pool: &Pool,
    request: &WatchRequest,
    mut place: Place,
    seen: &Snapshot,
    tx: &mpsc::Sender<Item>,
) -> Result<(), Fault> {
    loop {
        let found = next_chunk(pool, &place).await?;
        let is_all = found.len() < CHUNK;
        for (event, xid, ord) in found {
            (place.xid, place.ord) = (xid, ord);
            if !seen.has_ended(xid) && request.matches(&event) {
                let item = StreamItem::Event { event, cursor: place.cursor() };
                if tx.send(Ok(item)).await.is_err() {
                    return Ok(());
                }
            }
        }
        if is_all {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = tx.closed() => return Ok(()),
            }
        }
    }
}

type Logged = (Arc<throughline_model::TraceEvent>, i64, i32);

async fn next_chunk(pool: &Pool, after: &Place) -> Result<Vec<Logged>, Fault> {
    reading!(pool, client => read_chunk(client, after))
}

async fn read_chunk(client: &Client, after: &Place) -> Result<Vec<Logged>, Fault> {
    let params: &[Param<'_>] = &[(&after.xid, Type::INT8), (&after.ord, Type::INT4)];
    let rows = client.query_typed(LOG, params).await?;
    rows.iter().map(|row| Ok((Arc::new(event_of(row)?), row.try_get(1)?, row.try_get(2)?))).collect()
}

struct Watched {
    rx: mpsc::Receiver<Item>,
}

impl Stream for Watched {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        self.rx.poll_recv(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_says_which_transactions_had_ended() {
        let snapshot = Snapshot::read("10:20:10,14,15").unwrap();
        let ended: Vec<i64> = (9..22).filter(|xid| snapshot.has_ended(*xid)).collect();
        assert_eq!(ended, [9, 11, 12, 13, 16, 17, 18, 19]);
        assert_eq!(Snapshot::read("10:10:").unwrap(), Snapshot { xmin: 10, xmax: 10, open: Vec::new() });
        for text in ["", "10", "10:11", "10:x:", "10:11:a"] {
            assert_eq!(Snapshot::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let place = Place { store: "8c5f".to_owned(), xid: 741, ord: 3 };
        assert_eq!(Place::read(&place.cursor()).unwrap(), place);
        for text in ["", "postgres:", "postgres:a:1", "postgres:a:1:2:3", "postgres:a:-1:0", "sqlite:a:1"] {
            Place::read(&Cursor::new(text)).unwrap_err();
        }
    }
}
