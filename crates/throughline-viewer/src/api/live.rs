//! What is new, as it happens.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{Extensions, HeaderMap};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::future::select;
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use throughline_core::{Cursor, EventStream, Status, StreamItem, TraceId, WatchRequest};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::state::State;
use crate::watchers::{self, Place};

/// For how long events are collected: so often a page is told, however much happens.
const COLLECTED: Duration = Duration::from_millis(250);
/// How many runs one message names.
const MOST: usize = 1_000;
/// How long a connection lasts: a service that ends waits for its connections. The page comes back and says where it was.
const LASTS: Duration = Duration::from_secs(20);
/// How often something is sent where nothing happens, so that what is between does not give up.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Runs in which something happened.
#[derive(Debug, Default, Serialize)]
struct News {
    runs: BTreeMap<TraceId, New>,
    /// Whether more happened than could be told.
    missed: bool,
}

/// What happened in a run.
#[derive(Debug, Default, Serialize)]
struct New {
    started: bool,
    ended: bool,
}

impl News {
    fn add(&mut self, item: &StreamItem) {
        match item {
            StreamItem::Event { event, .. } => {
                if self.runs.len() >= MOST && !self.runs.contains_key(&event.trace_id) {
                    self.missed = true;
                    return;
                }
                let run = self.runs.entry(event.trace_id).or_default();
                run.started |= event.is_root() && event.seq == 0;
                run.ended |= event.is_root() && event.status != Status::Pending;
            }
            _ => self.missed = true,
        }
    }
}

/// One page that is told of what is new.
struct Watcher {
    events: EventStream,
    ends: Instant,
    cursor: Option<Cursor>,
    _place: Place,
}

/// Tells of runs in which something happened.
pub(crate) async fn live(
    Shared(state): Shared<Arc<State>>,
    extensions: Extensions,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let run = parameters.one("run")?;
    let Some(feed) = &state.source.stream else {
        return Err(Problem::not_found(
            "nothing tells this viewer of what is new: give the service a feed, or the command --feed",
        ));
    };
    let place = state.watchers.place(watchers::client(&extensions, &headers), std::time::Instant::now())?;
    let mut request = WatchRequest::new();
    if let Some(run) = run {
        let run = run.parse().map_err(|_| Problem::bad_request("`run` is an id of 32 hex digits"))?;
        request = request.trace(run);
    }
    if let Some(last) = headers.get("last-event-id").and_then(|last| last.to_str().ok()) {
        request = request.after(Cursor::new(last));
    }
    let watcher = Watcher {
        events: feed.watch(request).await?,
        ends: Instant::now() + LASTS,
        cursor: None,
        _place: place,
    };
    let (page, told) = mpsc::channel(1);
    tokio::spawn(tell(watcher, page, state.timeout));
    let news = stream::unfold(told, |mut told: mpsc::Receiver<Event>| async move {
        let event = told.recv().await?;
        Some((Ok(event), told))
    });
    Ok(Sse::new(news).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Tells a page what is new until its time is over, it is gone, or it has read nothing for so long: who does not read takes no place from
/// those who do.
async fn tell(mut watcher: Watcher, page: mpsc::Sender<Event>, patience: Duration) {
    let telling = async {
        while let Some(event) = watcher.next().await {
            if page.send_timeout(event, patience).await.is_err() {
                return;
            }
        }
    };
    select(pin!(telling), pin!(page.closed())).await;
}

impl Watcher {
    /// The next message; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        let first = timeout_at(self.ends, self.events.next()).await.ok()??;
        let mut news = News::default();
        let mut item = Some(first.ok()?);
        let until = self.ends.min(Instant::now() + COLLECTED);
        while let Some(found) = item.take() {
            news.add(&found);
            if let StreamItem::Event { cursor, .. } = found {
                self.cursor = Some(cursor);
            }
            item = timeout_at(until, self.events.next()).await.ok().flatten().and_then(Result::ok);
        }
        let mut event = Event::default().event("news");
        // A line of the protocol has no line end in it.
        if let Some(cursor) =
            self.cursor.as_ref().filter(|cursor| !cursor.as_str().contains(['\r', '\n', '\0']))
        {
            event = event.id(cursor.as_str());
        }
        event.json_data(&news).ok()
    }
}
