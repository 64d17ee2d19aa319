//! What is looked at once for the whole checklist.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use throughline::config::{ConfigError, ObservabilityConfig};
use throughline::env::StoreLocation;
use throughline_core::{Filter, Page, RunState, Scope, Timestamp, redact_event_counted};
use throughline_sidecar::{Health, Scraper, Snapshot};

use super::{Check, PATIENCE, within};
use crate::args::DoctorArgs;
use crate::error::CliError;
use crate::store::Store;

/// How many of the latest events are looked at.
const EVENTS: usize = 500;
/// A store applies its retention from time to time.
const SLACK: Duration = Duration::from_secs(24 * 60 * 60);

/// What the checks judge.
pub(super) struct Seen {
    pub(super) config: Result<ObservabilityConfig, ConfigError>,
    /// What became of each destination.
    pub(super) destinations: Vec<Check>,
    /// What the store says; nothing if there is none yet.
    pub(super) stored: Option<Result<Stored, String>>,
    /// The page of metrics, if it is known where that is.
    pub(super) metrics: Option<Snapshot>,
    /// What the service says of itself, by path.
    pub(super) health: BTreeMap<&'static str, Health>,
    pub(super) rules: Option<PathBuf>,
    /// Where Prometheus is.
    pub(super) prometheus: Option<String>,
    pub(super) routing: Option<PathBuf>,
}

/// What is read of a store.
pub(super) struct Stored {
    /// Whether it keeps a secret for pseudonyms.
    pub(super) has_secret: bool,
    /// How many events were looked at, and what is in them that redaction replaces, by kind.
    pub(super) events: usize,
    pub(super) unredacted: BTreeMap<String, u64>,
    /// For how long runs are kept, and whether one is older.
    pub(super) kept: Option<(Duration, bool)>,
}

impl Seen {
    pub(super) async fn look(
        args: &DoctorArgs,
        config: Result<ObservabilityConfig, ConfigError>,
        destinations: Vec<Check>,
        location: Option<&str>,
    ) -> Self {
        let stored = match location {
            Some(location) => match Store::named(Some(location)) {
                Ok(store) if !store.may_exist() => None,
                Ok(store) => Some(match within(Stored::read(&store, args.keeps)).await {
                    Some(read) => read.map_err(|error| error.to_string()),
                    None => Err(format!("{} does not answer", store.name())),
                }),
                Err(error) => Some(Err(error.to_string())),
            },
            None => None,
        };
        let page = args.metrics.clone().or_else(|| {
            let metrics = config.as_ref().ok()?.metrics()?;
            (metrics.port != 0)
                .then(|| format!("http://{}:{}/metrics", reachable(&metrics.host), metrics.port))
        });
        let ask = |service: &String| {
            let service = service.trim_end_matches('/');
            ["/health/live", "/health/ready", "/health/startup"]
                .map(|path| (path, Health::ask(&format!("{service}{path}"))))
        };
        Self {
            config,
            destinations,
            stored,
            metrics: page.map(|url| Scraper::new(&url, PATIENCE).scrape()),
            health: args.service.as_ref().map(ask).into_iter().flatten().collect(),
            rules: args.rules.clone(),
            prometheus: args.prometheus.clone(),
            routing: args.routing.clone(),
        }
    }

    /// The file of the store, if it is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        match self.config.as_ref().ok()?.store()? {
            StoreLocation::Sqlite(path) => Some(path),
            _ => None,
        }
    }
}

/// A host that can be asked: a service that listens on all of them answers on its own.
fn reachable(host: &str) -> &str {
    match host {
        "0.0.0.0" | "::" | "[::]" => "localhost",
        host => host,
    }
}

impl Stored {
    async fn read(store: &Store, keeps: Option<Duration>) -> Result<Self, CliError> {
        let reader = store.readers().await?.reader;
        let redactor = store.redactor().await?;
        let latest = reader.events(&Filter::new(), &Page::first(EVENTS)).await?.items;
        let events = latest.len();
        let mut unredacted = BTreeMap::new();
        for mut event in latest {
            redact_event_counted(&redactor, &mut event, &mut unredacted);
        }
        let kept = match keeps {
            None => None,
            Some(keeps) => {
                let before = Timestamp::now().minus(keeps.saturating_add(SLACK));
                let older = Filter::new().scope(Scope::all().until(before));
                let runs = reader.runs(&older, &Page::first(EVENTS)).await?.items;
                // What a living process works on stays.
                Some((keeps, runs.iter().any(|run| run.state != RunState::Running)))
            }
        };
        Ok(Self { has_secret: reader.secret().await?.is_some(), events, unredacted, kept })
    }
}
