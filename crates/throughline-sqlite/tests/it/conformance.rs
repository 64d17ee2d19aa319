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

    // Without the rules that publish an event again: to a store that is the same event, so nothing happens.
    throughline_model::conformance_tests! { Fixture:
        a_watcher_sees_every_event_from_now_on_in_order,
        a_watcher_of_one_run_sees_that_run_alone,
        every_watcher_sees_everything,
        every_field_of_an_event_survives_the_feed,
        a_watcher_that_leaves_disturbs_nobody,
        a_slow_watcher_learns_that_it_missed_events,
        a_stream_opened_by_itself_sees_what_is_published,
        a_watch_resumes_after_any_event,
        a_watch_resumes_while_events_are_published,
        a_cursor_that_is_too_old_skips_nothing_in_silence,
        a_cursor_of_another_feed_never_resumes_in_silence,
        a_watch_after_nonsense_is_an_invalid_query,
    }
}
