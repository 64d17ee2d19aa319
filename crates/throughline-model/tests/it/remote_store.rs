//! A store in the shape of a distributed database keeps every promise of a store.

use std::time::Duration;

use throughline_model::testing::conformance::StoreFixture;
use throughline_model::testing::{FaultyStore, RemoteStore};
use throughline_model::{Limits, SpanId, StoreConfig, Timestamp, TraceEvent, TraceId};

/// An event with a type that is too long.
pub(crate) fn refused_event() -> TraceEvent {
    let event_type = "x".repeat(RemoteStore::LONGEST_TYPE + 1);
    let span = SpanId::from_u64(99).unwrap();
    let start = Timestamp::from_micros(0);
    TraceEvent::new(TraceId::from_key("refused"), span, event_type, start, "loan-service")
}

/// A store whose use is found sound when the test is over.
pub(crate) struct Sound(pub(crate) RemoteStore);

impl Drop for Sound {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.0.violations(), [""; 0], "the suite keeps to the limits");
        }
    }
}

/// Small calls of one trace each, several at once; time passes when the test says so.
mod by_trace {
    use super::*;

    struct Fixture(Sound);

    impl StoreFixture for Fixture {
        fn fresh() -> Self {
            Self(Sound(RemoteStore::new().stopped_clock()))
        }
        fn config(&self) -> Box<dyn StoreConfig> {
            Box::new(self.0.0.clone())
        }
        fn refused_event(&self) -> Option<TraceEvent> {
            Some(refused_event())
        }
        fn advance(&self, time: Duration) -> bool {
            self.0.0.advance(time);
            true
        }
    }

    throughline_model::store_conformance!(Fixture);
}

/// Calls of many traces, of which each is atomic by itself; time passes as it does, and every call goes through a store
/// that could fail.
mod in_groups {
    use super::*;

    struct Fixture(Sound);

    impl StoreFixture for Fixture {
        fn fresh() -> Self {
            let store = RemoteStore::new().limits(Limits::new().events(50));
            Self(Sound(store.lease_interval(Duration::from_millis(300))))
        }
        fn config(&self) -> Box<dyn StoreConfig> {
            Box::new(FaultyStore::around(self.0.0.clone()))
        }
        fn refused_event(&self) -> Option<TraceEvent> {
            Some(refused_event())
        }
    }

    throughline_model::store_conformance!(Fixture);
}

/// A store that answers no question across runs.
mod without_analytics {
    use super::*;
    use crate::altered::{Altered, Change};

    struct Fixture(Altered);

    impl StoreFixture for Fixture {
        fn fresh() -> Self {
            Self(Altered::new(Change::NoAnalytics))
        }
        fn config(&self) -> Box<dyn StoreConfig> {
            Box::new(self.0.clone())
        }
        fn refused_event(&self) -> Option<TraceEvent> {
            Some(refused_event())
        }
        fn advance(&self, time: Duration) -> bool {
            self.0.advance(time);
            true
        }
        fn keeps_secret(&self) -> bool {
            true
        }
    }

    throughline_model::store_conformance!(Fixture);
}
