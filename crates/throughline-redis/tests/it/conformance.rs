//! The feed keeps every promise of a feed.

use std::sync::atomic::{AtomicUsize, Ordering};

use throughline_model::FeedConfig;
use throughline_model::testing::conformance::FeedFixture;
use throughline_redis::RedisFeed;

use crate::server::{is_there, shared};

/// How many entries a feed keeps that is proved here: enough for what must be kept, and few for a flood.
const ENTRIES: usize = 250;

/// A prefix that no other test has.
pub(crate) fn prefix() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

struct Fixture<const PROTOCOL: u8>(String);

impl<const PROTOCOL: u8> FeedFixture for Fixture<PROTOCOL> {
    fn fresh() -> Self {
        Self(prefix())
    }

    fn config(&self) -> Box<dyn FeedConfig> {
        let url = format!("{}?protocol={PROTOCOL}", shared().url());
        Box::new(RedisFeed::new(url).prefix(&self.0).capacity(ENTRIES).run_capacity(ENTRIES))
    }

    fn flood(&self) -> usize {
        // More than all entries hold, if each is as full as it can be.
        2 * ENTRIES * 64
    }
}

mod resp2 {
    use super::*;

    throughline_model::feed_conformance!(Fixture<2>, if is_there());
}

mod resp3 {
    use super::*;

    throughline_model::feed_conformance!(Fixture<3>, if is_there());
}
