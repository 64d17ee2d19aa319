//! The promises that every store makes.

use std::sync::Arc;

use throughline_model::testing::conformance::StoreFixture;
use throughline_model::{BoxFuture, StoreConfig, TraceReader};
use throughline_sqlite::{SqliteStore, Synchronous};

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn store(&self) -> SqliteStore {
        SqliteStore::new(self.folder.path().join("traces.db")).synchronous(Synchronous::Off)
    }
}

impl StoreFixture for Fixture {
    fn fresh() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> Box<dyn StoreConfig> {
        Box::new(self.store())
    }

    fn outside_reader(&self) -> Option<BoxFuture<'_, Arc<dyn TraceReader>>> {
        Some(Box::pin(async { Arc::new(self.store().open_reader().unwrap()) as Arc<dyn TraceReader> }))
    }
}

throughline_model::store_conformance!(Fixture);
