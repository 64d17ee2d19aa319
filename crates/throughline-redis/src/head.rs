//! [`Head`], what a feed says of itself.

use redis::RedisResult;
use redis::streams::StreamRangeReply;
use throughline_model::InstanceId;

use crate::connection::Connection;
use crate::entries::Entry;
use crate::keys::Keys;
use crate::place::EntryId;

/// What a feed says of itself.
pub(crate) struct Head {
    /// Which feed it is; `None` if it has had no event.
    pub(crate) feed: Option<InstanceId>,
    /// The last entry of the stream of all events.
    pub(crate) last: EntryId,
    /// The number of the last event in that; if it is empty, of the last that there was.
    pub(crate) n: u64,
}

impl Head {
    /// Not in a transaction: of one that the server refuses, the client makes a panic.
    pub(crate) async fn read(connection: &mut Connection, keys: &Keys) -> RedisResult<Self> {
        let mut ask = redis::pipe();
        ask.cmd("HMGET").arg(keys.feed()).arg("id").arg("n");
        ask.cmd("XREVRANGE").arg(keys.all()).arg("+").arg("-").arg("COUNT").arg(1);
        let ((id, n), last): ((Option<String>, Option<u64>), StreamRangeReply) =
            ask.query_async(connection).await?;
        let feed = id.and_then(|id| id.parse().ok());
        let last = last.ids.first().and_then(|entry| Entry::read(entry).ok());
        let last = last.and_then(|entry| Some((entry.id, entry.events.last()?.n)));
        let (last, n) = last.unwrap_or((EntryId::START, n.unwrap_or_default()));
        Ok(Self { feed, last, n })
    }
}
