//! One workflow in two processes: events are kept in Postgres or in Azure Cosmos DB, and watched through Redis.
//!
//! It starts two processes of a loan service and watches them. The first loan begins in one process and is signed in the other.
//! The second begins in a process that is killed in the middle of a step; the other resumes it. Then it asks the store what
//! happened. Run it with `cargo run --example distributed -- --demo`. It needs the programs `redis-server` and `postgres`, of
//! which it starts its own; `--store postgres://…` and `--feed redis://…` name others that run already. With `--store cosmos`
//! the store is Microsoft's emulator, in the memory of this process, and with `--store cosmos:https://…` a real account, whose key
//! is that of `THROUGHLINE_COSMOS_KEY`.

#[path = "../../crates/throughline-cosmos/tests/it/server.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is there for tests, which use more of it")]
mod emulator;
mod loans;
mod process;
mod servers;
mod service;
mod watcher;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use throughline::TraceQuery;
use throughline::query::{RunState, Style};
use throughline::store::{CosmosStore, Filter, Page, PostgresStore, Readers, StoreConfig as _, TraceReader};

use loans::{LEFT, SIGNED_ELSEWHERE};
use process::Process;
use watcher::Watcher;

/// How long something may take that happens soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where events go.
#[derive(Clone)]
struct Destinations {
    store: String,
    feed: String,
    /// The key of a store in Cosmos DB, which no command line shows.
    key: String,
}

/// The variable with that key.
const KEY: &str = "THROUGHLINE_COSMOS_KEY";

impl Destinations {
    /// The store, if it is one in Cosmos DB.
    fn cosmos(&self) -> Option<CosmosStore> {
        self.store.starts_with("cosmos:").then(|| CosmosStore::at(&self.store, &self.key))
    }

    async fn open_readers(&self) -> anyhow::Result<Readers> {
        Ok(match self.cosmos() {
            Some(store) => store.open_readers().await?,
            None => PostgresStore::new(&self.store).open_readers().await?,
        })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut named = |option: &str| -> anyhow::Result<Option<String>> {
        let Some(at) = words.iter().position(|word| word == option) else { return Ok(None) };
        ensure!(at + 1 < words.len(), "{option} wants a URL");
        Ok(Some(words.drain(at..at + 2).nth(1).unwrap_or_default()))
    };
    let (store, feed, service) = (named("--store")?, named("--feed")?, named("--service")?);
    words.retain(|word| word != "--demo");
    if let Some(other) = words.first() {
        bail!("`{other}` is not a valid argument: run it with --demo, and --store URL and --feed URL");
    }
    let key = std::env::var(KEY).unwrap_or_default();
    if let (Some(name), Some(store), Some(feed)) = (&service, &store, &feed) {
        let (store, feed) = (store.clone(), feed.clone());
        return service::run(name, &Destinations { store, feed, key }).await;
    }
    let emulator = (store.as_deref() == Some("cosmos")).then(emulator::Server::start);
    let postgres = store.is_none().then(servers::Server::postgres).transpose()?;
    let redis = feed.is_none().then(servers::Server::redis).transpose()?;
    let url = |named: Option<String>, server: &Option<servers::Server>| {
        named.or_else(|| server.as_ref().map(|server| server.url.clone())).context("there is a server")
    };
    let (store, key) = match &emulator {
        Some(emulator) => (format!("cosmos:{}/audit", emulator.endpoint()), emulator::KEY.to_owned()),
        None => (url(store, &postgres)?, key),
    };
    demonstrate(&Destinations { store, feed: url(feed, &redis)?, key }).await
}

async fn demonstrate(destinations: &Destinations) -> anyhow::Result<()> {
    let mut watcher = Watcher::open(destinations).await?;
    let mut first = Process::start("loans-1", destinations)?;
    let second = Process::start("loans-2", destinations)?;

    heading("A loan that begins in one process and is signed in the other");
    first.apply(SIGNED_ELSEWHERE, second.address()).await?;
    watcher.show_until(|event| event.event_type == "workflow:completed").await?;

    heading("A loan whose process is killed in the middle of a step");
    first.apply(LEFT, second.address()).await?;
    watcher.show_until(|event| event.event_type == "stage:reserve-funds").await?;
    first.kill()?;
    println!("  ✗ {} is killed; its lease ends when it has not been renewed three times", first.name());
    watcher.show_until(|event| event.event_type == "workflow:completed").await?;

    let reader = destinations.open_readers().await?.reader;
    let style = if std::io::stdout().is_terminal() { Style::ansi() } else { Style::plain() };
    for loan in [SIGNED_ELSEWHERE, LEFT] {
        let query = ended(&*reader, loan).await?;
        heading(&format!("What happened to {loan}?  (throughline show {loan})"));
        println!("{}", query.tree().render(&style).trim_end());
        let events = query.spans().flat_map(|span| span.events());
        let instances: BTreeSet<_> = events.map(|event| event.instance).collect();
        ensure!(instances.len() == 2, "{loan} was worked on in {} processes", instances.len());
    }
    heading(&format!("And why?  (throughline why {LEFT})"));
    println!("{}", ended(&*reader, LEFT).await?.explain().render(&style).trim_end());
    second.end()
}

/// The run of a loan, once it has ended.
async fn ended(reader: &dyn TraceReader, loan: &str) -> anyhow::Result<TraceQuery> {
    let filter = Filter::new().correlation_id(loan.to_owned());
    let run = reader.runs(&filter, &Page::first(1)).await?.items.pop();
    let run = run.with_context(|| format!("there is no run of {loan}"))?;
    ensure!(run.state == RunState::Succeeded, "the run of {loan} is {}", run.state);
    Ok(TraceQuery::read(reader, run.trace_id).await?)
}

fn heading(what: &str) {
    println!("\n── {what}");
}
