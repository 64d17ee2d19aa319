//! The promises that every store makes.

use throughline_model::StoreConfig;
use throughline_model::testing::conformance::StoreFixture;

use crate::server::Server;

impl StoreFixture for Server {
    fn fresh() -> Self {
        Self::start()
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

throughline_model::store_conformance!(Server);
