//! `/metrics` as a router.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;

use crate::{ExpositionFormat, Prometheus};

/// Scrapes at the same time; more are refused. Two Prometheus servers and a curious person are the usual load.
const AT_ONCE: usize = 4;

impl Prometheus {
    /// Adds `GET /metrics` to a router that has the layer around it already: scrapes are no requests to measure, and
    /// everything else stays as it is. The page comes in the [format](ExpositionFormat) that the client wants.
    ///
    /// It discloses a lot about a service: prefer to [`serve`](Self::serve) it on a port that is not public. At most four
    /// scrapes are answered at the same time; further ones get 503.
    pub fn add_to<S>(&self, router: Router<S>) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let (prometheus, scrapes) = (self.clone(), Arc::new(Semaphore::new(AT_ONCE)));
        let scrape = move |headers: HeaderMap| scrape(prometheus.clone(), Arc::clone(&scrapes), headers);
        router.route("/metrics", get(scrape))
    }

    /// `/metrics` alone, to be nested or served by other means. To have it beside the routes of a service, see
    /// [`add_to`](Self::add_to): a router that is merged brings its answer to unknown paths along, and that of this one is
    /// neither traced nor measured.
    pub fn router<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        self.add_to(Router::new())
    }
}

async fn scrape(prometheus: Prometheus, scrapes: Arc<Semaphore>, headers: HeaderMap) -> Response {
    let Ok(permit) = scrapes.try_acquire_owned() else {
        let reason = "too many scrapes at the same time\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], reason).into_response();
    };
    let accept: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).collect();
    let format = ExpositionFormat::accepted(&accept.join(","));
    // Collectors read from the system and may take locks of the host.
    let page = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        prometheus.render(format)
    });
    match page.await {
        Ok(page) => ([(CONTENT_TYPE, format.content_type()), (VARY, "accept")], page).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be read\n").into_response(),
    }
}
