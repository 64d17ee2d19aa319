//! The promises that every store and every stream makes.

use std::sync::Arc;
use std::time::Duration;

use throughline_core::MemoryFeed;
use throughline_model::testing::RemoteStore;
use throughline_model::testing::conformance::{FeedFixture, StoreFixture};
use throughline_model::{
    AppendError, BoxFuture, FeedConfig, Instance, InstanceId, LiveFeed, OpenError, StoreConfig, TraceEvent,
    TraceStore, TraceStream,
};
use throughline_postgres::PostgresStore;

use crate::server::Database;

/// A database of its own; where there is no server and none is required, a store that stands in for it, so that the tests
/// which the suite writes have something to ask.
pub(crate) enum Fixture {
    Postgres(Database, PostgresStore),
    LeftOut(RemoteStore, MemoryFeed),
}

impl Fixture {
    fn new() -> Self {
        Self::of(Database::new().map(|database| (database.store(), database)))
    }

    /// A store in a database.
    pub(crate) fn of(store: Option<(PostgresStore, Database)>) -> Self {
        let left_out = || Self::LeftOut(RemoteStore::new(), MemoryFeed::new());
        store.map_or_else(left_out, |(store, database)| Self::Postgres(database, store))
    }
}

impl StoreFixture for Fixture {
    fn fresh() -> Self {
        Self::new()
    }

    fn config(&self) -> Box<dyn StoreConfig> {
        match self {
            Self::Postgres(_, store) => Box::new(store.clone()),
            Self::LeftOut(store, _) => Box::new(store.clone()),
        }
    }

    fn advance(&self, time: Duration) -> bool {
        let Self::Postgres(database, _) = self else { return false };
        let earlier = format!("interval '{} microseconds'", time.as_micros());
        database.psql(&format!(
            "UPDATE throughline.instance SET expires = expires - {earlier}, seen = seen - {earlier}"
        ));
        true
    }

    fn keeps_processes(&self) -> bool {
        matches!(self, Self::Postgres(..))
    }

    fn keeps_secret(&self) -> bool {
        matches!(self, Self::Postgres(..))
    }
}

throughline_model::store_conformance!(Fixture);

/// A store as a feed: what is appended can be watched.
struct Feed(PostgresStore);

struct OpenFeed {
    store: Arc<dyn TraceStore>,
    stream: Arc<dyn TraceStream>,
}

impl FeedFixture for Fixture {
    fn fresh() -> Self {
        Self::new()
    }

    fn config(&self) -> Box<dyn FeedConfig> {
        match self {
            Self::Postgres(_, store) => Box::new(Feed(store.clone())),
            Self::LeftOut(_, feed) => Box::new(feed.clone()),
        }
    }

    fn flood(&self) -> usize {
        match self {
            Self::Postgres(..) => 5000,
            Self::LeftOut(..) => 20_000,
        }
    }

    fn kept(&self) -> usize {
        match self {
            Self::Postgres(..) => usize::MAX,
            Self::LeftOut(..) => 200,
        }
    }
}

impl FeedConfig for Feed {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>> {
        let config = self.0.clone();
        Box::pin(async move {
            let store = config.open(instance).await?;
            let feed = OpenFeed { store, stream: Arc::new(config.open_reader().await?) };
            Ok(Arc::new(feed) as Arc<dyn LiveFeed>)
        })
    }

    fn open_stream(&self) -> BoxFuture<'static, Result<Option<Arc<dyn TraceStream>>, OpenError>> {
        let config = self.0.clone();
        Box::pin(async move {
            // A reader creates no schema.
            let _ = config.open(Instance::new(InstanceId::random(), "conformance")).await?;
            Ok(Some(Arc::new(config.open_reader().await?) as Arc<dyn TraceStream>))
        })
    }
}

impl LiveFeed for OpenFeed {
    fn name(&self) -> &str {
        "postgres"
    }

    fn publish<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        // A large call is written in parts side by side, each with other runs: of what is published in order, one after the other.
        Box::pin(async move {
            for few in events.chunks(16) {
                self.store.append(few).await?;
            }
            Ok(())
        })
    }

    fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        Some(Arc::clone(&self.stream))
    }
}

mod stream {
    use super::Fixture;

    throughline_model::feed_conformance!(Fixture);
}
