//! The promises that every store, every stream and every spool makes.

use std::sync::Arc;

use throughline_model::testing::conformance::{FeedFixture, SpoolFixture, StoreFixture};
use throughline_model::{
    AppendError, BoxFuture, FeedConfig, Instance, LiveFeed, OpenError, SpoolConfig, StoreConfig, TraceEvent,
    TraceStore, TraceStream,
};
use throughline_sqlite::{SqliteSpool, SqliteStore, Synchronous};

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::new(self.folder.path().join("traces.db")).synchronous(Synchronous::Off)
    }
}

impl StoreFixture for Fixture {
    fn fresh() -> Self {
        Self::new()
    }

    fn config(&self) -> Box<dyn StoreConfig> {
        Box::new(self.store())
    }

    fn keeps_processes(&self) -> bool {
        true
    }

    fn keeps_secret(&self) -> bool {
        true
    }
}

throughline_model::store_conformance!(Fixture);

impl SpoolFixture for Fixture {
    fn fresh() -> Self {
        Self::new()
    }

    fn config(&self) -> Box<dyn SpoolConfig> {
        Box::new(SqliteSpool::new(self.folder.path().join("spool.db")).capacity_bytes(1 << 20))
    }
}

mod spool {
    use super::Fixture;

    throughline_model::spool_conformance!(Fixture);
}

/// A store as a feed: what is appended can be watched.
struct Feed(SqliteStore);

struct OpenFeed {
    store: Arc<dyn TraceStore>,
    stream: Arc<dyn TraceStream>,
}

impl FeedFixture for Fixture {
    fn fresh() -> Self {
        Self::new()
    }

    fn config(&self) -> Box<dyn FeedConfig> {
        Box::new(Feed(self.store()))
    }

    fn flood(&self) -> usize {
        5000
    }

    fn kept(&self) -> usize {
        usize::MAX
    }
}

impl FeedConfig for Feed {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>> {
        let config = self.0.clone();
        Box::pin(async move {
            let store = StoreConfig::open(&config, instance).await?;
            let feed = OpenFeed { store, stream: Arc::new(config.open_reader()?) };
            Ok(Arc::new(feed) as Arc<dyn LiveFeed>)
        })
    }

    fn open_stream(&self) -> BoxFuture<'static, Result<Option<Arc<dyn TraceStream>>, OpenError>> {
        let config = self.0.clone();
        Box::pin(async move {
            // A reader does not create the file.
            config.open_importer()?;
            Ok(Some(Arc::new(config.open_reader()?) as Arc<dyn TraceStream>))
        })
    }
}

impl LiveFeed for OpenFeed {
    fn name(&self) -> &str {
        "sqlite"
    }

    fn publish<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        self.store.append(events)
    }

    fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        Some(Arc::clone(&self.stream))
    }
}

mod stream {
    use super::Fixture;

    throughline_model::feed_conformance!(Fixture);
}
