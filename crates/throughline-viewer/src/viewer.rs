//! [`Viewer`] and its builder.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use throughline_core::open::UsualTimes;
use throughline_core::{
    Readers, Redaction, Redactor, SpoolReader, Throughline, TraceAnalytics, TraceReader, TraceStream,
};
use tokio::sync::Semaphore;

use crate::access::Auth;
use crate::compressed::compressed;
use crate::log_files::LogFiles;
use crate::news::NewsRoom;
use crate::state::{Source, State};
use crate::watchers::Watchers;
use crate::{api, assets, guard};

/// How many requests are answered at once, unless the builder says otherwise.
const REQUESTS: usize = 32;
/// How many pages are told of what is new at once, unless the builder says otherwise.
const WATCHERS: usize = 100;
/// How many of these one client has, unless the builder says otherwise.
const WATCHERS_OF_EACH: usize = 20;
/// How long a request may take, unless the builder says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a viewer can't be built or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewerError {
    /// The service has no store that could be read.
    #[error("there is nothing to show: give the service a store with .store(..)")]
    NoStore,
    /// The token or the password is short enough to be guessed.
    #[error("the token or password has {length} characters; use at least {}", Auth::SHORTEST_SECRET)]
    ShortSecret {
        /// How long it is.
        length: usize,
    },
    /// The rules of redaction can't be used.
    #[error("the redaction can't be used: {0}")]
    Redaction(#[from] throughline_core::RedactionError),
    /// The address is not one of this machine alone, and anybody could read what is shown.
    #[error(
        "{address} can be reached from other machines; demand authentication with .auth(..), or bind 127.0.0.1"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The address can't be listened on.
    #[error("{address} can't be listened on: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The underlying error.
        source: std::io::Error,
    },
}

/// The pages, ready to be nested in a router or to be served. Clones are handles of one viewer.
#[derive(Clone)]
pub struct Viewer(Arc<State>);

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer")
            .field("auth", &self.0.auth)
            .field("hosts", &self.0.hosts)
            .finish_non_exhaustive()
    }
}

impl Viewer {
    /// A viewer of the runs of this service: its store, its feed if it has one that can be watched, its redaction, what became of its
    /// events, and what waits in its outbox.
    pub fn of(throughline: &Throughline) -> ViewerBuilder {
        ViewerBuilder {
            reader: throughline.reader(),
            analytics: throughline.analytics(),
            stream: throughline.stream(),
            outbox: throughline.outbox(),
            redactor: Some(throughline.redactor().clone()),
            throughline: Some(throughline.clone()),
            ..ViewerBuilder::default()
        }
    }

    /// A viewer of a store that others write to.
    pub fn over(readers: Readers) -> ViewerBuilder {
        ViewerBuilder {
            reader: Some(readers.reader),
            analytics: Some(readers.analytics),
            ..ViewerBuilder::default()
        }
    }

    /// The router to nest: `.nest_service("/throughline", viewer.router())`, which answers `/throughline` and `/throughline/`. With
    /// `.nest(..)`, axum leaves the latter to the service.
    pub fn router(&self) -> Router {
        let state = &self.0;
        let api = api::routes()
            .layer(from_fn(compressed))
            .layer(from_fn_with_state(Arc::clone(state), guard::within_limits))
            .layer(from_fn_with_state(Arc::clone(state), guard::authenticated));
        Router::new()
            .route("/", get(assets::index))
            .route(assets::PAGE, get(assets::page))
            .route("/assets/{file}", get(assets::file))
            .nest("/api", api)
            .fallback(assets::not_found)
            .with_state(Arc::clone(state))
            .layer(from_fn_with_state(Arc::clone(state), guard::for_this_host))
            .layer(from_fn(guard::contained))
    }

    /// What all requests share.
    pub(crate) fn state(&self) -> &State {
        &self.0
    }
}

/// Builds a [`Viewer`].
#[derive(Default)]
#[must_use]
pub struct ViewerBuilder {
    reader: Option<Arc<dyn TraceReader>>,
    analytics: Option<Arc<dyn TraceAnalytics>>,
    stream: Option<Arc<dyn TraceStream>>,
    outbox: Option<Arc<dyn SpoolReader>>,
    redactor: Option<Redactor>,
    throughline: Option<Throughline>,
    logs: Vec<PathBuf>,
    auth: Option<Auth>,
    hosts: Vec<String>,
    requests: Option<usize>,
    watchers: Option<usize>,
    watchers_of_each: Option<usize>,
    timeout: Option<Duration>,
}

impl fmt::Debug for ViewerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewerBuilder")
            .field("auth", &self.auth)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl ViewerBuilder {
    /// Watches events here, so that pages say what is new.
    pub fn stream(mut self, stream: Arc<dyn TraceStream>) -> Self {
        self.stream = Some(stream);
        self
    }

    /// Shows what waits in this outbox for the store, and what the store refused, beside a service: the reader of its
    /// [spool](throughline_core::ThroughlineBuilder::spool), such as `SqliteSpool::new("outbox.db").open_reader()?`.
    pub fn outbox(mut self, outbox: Arc<dyn SpoolReader>) -> Self {
        self.outbox = Some(outbox);
        self
    }

    /// Redacts what is shown by the rules and the pseudonyms of this redactor; by default, of a service by its own, else by the standard
    /// rules.
    pub fn redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = Some(redactor);
        self
    }

    /// Shows with each run what the service logged in it: the lines of this file, or of the log files in this folder, that have the
    /// id of the run in them, such as those of `throughline-log`. They are redacted as all else is, and not shown to those who may not
    /// see payloads. May be called several times.
    ///
    /// Files are read when somebody looks: 64 MiB at most, of the time of the run. Names of log files contain `.jsonl`, `.json` or
    /// `.log`; compressed ones, as `app.log.1.gz`, are left out.
    pub fn logs(mut self, path: impl Into<PathBuf>) -> Self {
        self.logs.push(path.into());
        self
    }

    /// Demands that callers say who they are. Without it, only this machine is answered.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = Some(auth);
        self
    }

    /// A name under which the viewer is reached, without a port: `ops.example.org`. IP addresses and `localhost` need not be
    /// named. May be called several times.
    pub fn host(mut self, name: impl AsRef<str>) -> Self {
        self.hosts.push(name.as_ref().to_ascii_lowercase());
        self
    }

    /// How many requests are answered at once, 32 by default; more are asked to come back.
    pub fn max_requests(mut self, requests: usize) -> Self {
        self.requests = Some(requests);
        self
    }

    /// How many pages are told of what is new at once, 100 by default.
    pub fn max_watchers(mut self, watchers: usize) -> Self {
        self.watchers = Some(watchers);
        self
    }

    /// How many of these pages one client may have open, 20 by default, and how often it may open another: twice as many at once, and as
    /// many in 10 seconds from then on. Clients are told apart by their addresses, behind a proxy
    /// by those that it says in `X-Forwarded-For`.
    pub fn max_watchers_of_each_client(mut self, watchers: usize) -> Self {
        self.watchers_of_each = Some(watchers);
        self
    }

    /// How long the store may take to answer, and a page to read what it is told, 10 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The viewer. Nothing is opened or read.
    ///
    /// # Errors
    /// When there is no store, or a secret that is too short.
    pub fn build(self) -> Result<Viewer, ViewerError> {
        let reader = self.reader.ok_or(ViewerError::NoStore)?;
        if let Some(length) = self.auth.as_ref().and_then(Auth::secret_length)
            && length < Auth::SHORTEST_SECRET
        {
            return Err(ViewerError::ShortSecret { length });
        }
        let redactor = match self.redactor {
            Some(redactor) => redactor,
            // What is in the store was cut when it was recorded.
            None => Redaction::standard().payload_limit(usize::MAX).build()?,
        };
        let places = |places: usize| places.clamp(1, Semaphore::MAX_PERMITS);
        let requests = places(self.requests.unwrap_or(REQUESTS));
        Ok(Viewer(Arc::new(State {
            source: Source {
                reader,
                analytics: self.analytics,
                stream: self.stream,
                outbox: self.outbox,
                redactor,
                logs: Some(LogFiles(self.logs)).filter(|files| !files.0.is_empty()),
                throughline: self.throughline,
            },
            auth: self.auth,
            hosts: self.hosts,
            timeout: self.timeout.unwrap_or(TIMEOUT),
            requests: Arc::new(Semaphore::new(requests)),
            most_requests: requests,
            watchers: Watchers::new(
                places(self.watchers.unwrap_or(WATCHERS)),
                self.watchers_of_each.unwrap_or(WATCHERS_OF_EACH).max(1),
            ),
            news: NewsRoom::default(),
            usual_times: UsualTimes::default(),
        })))
    }
}
