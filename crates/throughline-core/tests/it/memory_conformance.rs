//! The memory store and the memory feed keep every promise of a store and a feed.

mod store {
    use throughline_core::testing::conformance::StoreFixture;
    use throughline_core::{MemoryStore, StoreConfig};

    #[derive(Default)]
    struct Memory(MemoryStore);

    impl StoreFixture for Memory {
        fn fresh() -> Self {
            Self::default()
        }
        fn config(&self) -> Box<dyn StoreConfig> {
            Box::new(self.0.clone())
        }
        fn keeps_processes(&self) -> bool {
            true
        }
        fn keeps_secret(&self) -> bool {
            true
        }
    }

    throughline_core::store_conformance!(Memory);
}

mod feed {
    use throughline_core::testing::conformance::FeedFixture;
    use throughline_core::{FeedConfig, MemoryFeed};

    #[derive(Default)]
    struct Memory(MemoryFeed);

    impl FeedFixture for Memory {
        fn fresh() -> Self {
            Self::default()
        }
        fn config(&self) -> Box<dyn FeedConfig> {
            Box::new(self.0.clone())
        }
    }

    throughline_core::feed_conformance!(Memory);
}
