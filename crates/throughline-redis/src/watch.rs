//! [`RedisStream`], the reading end.

mod follow;
mod numbers;
mod repeats;

use std::time::Duration;

use futures_core::Stream;
use throughline_model::{
    BoxFuture, EventStream, ReadError, StreamItem, TraceStream, WatchFrom, WatchRequest,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::connection::{Client, read_error};
use crate::keys::Keys;
use crate::place::Place;
use follow::Follower;

/// How long the server may hold back a response until there is something to read.
const BLOCK: Duration = Duration::from_secs(1);
/// How long a response may take, then.
pub(crate) const BLOCKED: Duration = Duration::from_secs(5);
/// How many items a watcher may be behind before reading waits for it.
const AHEAD: usize = 64;

/// Watches a feed. Each watch has a connection of its own, because a read that blocks holds up all else on it, and is
/// driven on the runtime where the feed was opened.
#[derive(Clone)]
pub(crate) struct RedisStream {
    pub(crate) client: Client,
    pub(crate) keys: Keys,
    pub(crate) ttl: Duration,
    pub(crate) runtime: Handle,
}

type Item = Result<StreamItem, ReadError>;

/// The items of a watch, whose task ends when this is dropped.
struct Items(mpsc::Receiver<Item>);

impl Stream for Items {
    type Item = Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Item>> {
        self.0.poll_recv(cx)
    }
}

impl TraceStream for RedisStream {
    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<EventStream, ReadError>> {
        let after = match &request.from {
            WatchFrom::Now => None,
            WatchFrom::After(cursor) => match Place::read(cursor) {
                Ok(place) => Some(place),
                Err(error) => return Box::pin(std::future::ready(Err(error))),
            },
        };
        let (began, has_begun) = oneshot::channel();
        let (items, received) = mpsc::channel(AHEAD);
        let stream = self.clone();
        // At the call, not at the first poll: "from now on" begins when the watch is asked for.
        let _task = self.runtime.spawn(async move {
            match Follower::start(stream, request, after).await {
                Ok(follower) => {
                    // Who no longer waits has left, which the follower sees.
                    let _ = began.send(Ok(()));
                    follower.run(items).await;
                }
                Err(error) => {
                    let _ = began.send(Err(read_error(&error)));
                }
            }
        });
        Box::pin(async move {
            has_begun.await.unwrap_or_else(|_| {
                Err(ReadError::Unavailable {
                    reason: "the emitter that this stream belongs to has ended".to_owned(),
                    source: None,
                })
            })?;
            Ok(Box::pin(Items(received)) as EventStream)
        })
    }
}
