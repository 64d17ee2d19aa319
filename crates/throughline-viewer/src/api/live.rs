//! What is new, as it happens.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{Extensions, HeaderMap};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::future::select;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::news::{Collected, Messages};
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::state::State;
use crate::watchers::{self, Place};

/// How long a connection lasts: a service that ends waits for its connections. The page comes back and says where it was.
const LASTS: Duration = Duration::from_secs(20);
/// How often something is sent where nothing happens, so that what is between does not give up.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

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
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok());
    let ends = Instant::now() + LASTS;
    let (page, told) = mpsc::channel(1);
    match run {
        // What is of one run few pages look at.
        Some(run) => {
            let run = run.parse().map_err(|_| Problem::bad_request("`run` is an id of 32 hex digits"))?;
            let news = Collected::of(&**feed, last, Some(run)).await?;
            tokio::spawn(tell(news, ends, place, page, state.timeout));
        }
        None => {
            let news = state.news.join(feed, last).await?;
            tokio::spawn(tell(news, ends, place, page, state.timeout));
        }
    }
    let news = stream::unfold(told, |mut told: mpsc::Receiver<Event>| async move {
        let event = told.recv().await?;
        Some((Ok(event), told))
    });
    Ok(Sse::new(news).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Tells a page what is new until its time is over, it is gone, or it has read nothing for so long: who does not read takes no place from
/// those who do.
async fn tell(
    mut news: impl Messages,
    ends: Instant,
    _place: Place,
    page: mpsc::Sender<Event>,
    patience: Duration,
) {
    let telling = async {
        while let Ok(Some(message)) = timeout_at(ends, news.next()).await {
            if page.send_timeout(message.to_event(), patience).await.is_err() {
                return;
            }
        }
    };
    select(pin!(telling), pin!(page.closed())).await;
}
