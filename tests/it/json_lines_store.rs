//! The store of `examples/json_lines_store` keeps every promise that a store makes.

use throughline_model::StoreConfig;
use throughline_model::testing::conformance::StoreFixture;

#[path = "../../examples/json_lines_store/folder.rs"]
mod folder;
#[path = "../../examples/json_lines_store/lease.rs"]
mod lease;
#[path = "../../examples/json_lines_store/reader.rs"]
mod reader;
#[path = "../../examples/json_lines_store/store.rs"]
mod store;

pub(crate) use store::JsonLinesStore;

struct Fixture(tempfile::TempDir);

impl StoreFixture for Fixture {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn config(&self) -> Box<dyn StoreConfig> {
        Box::new(JsonLinesStore::new(self.0.path()))
    }
}

throughline_model::store_conformance!(Fixture);
