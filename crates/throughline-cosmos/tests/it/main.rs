//! The tests of the store against Microsoft's emulator, of which each test starts its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that goes wrong must fail"
)]

mod conformance;
mod server;

use std::sync::Arc;

use throughline_cosmos::CosmosStore;
use throughline_model::{Instance, InstanceId, StoreConfig, TraceEvent, TraceStore};

/// Opens a store as a new instance.
async fn open(store: &CosmosStore) -> Arc<dyn TraceStore> {
    store.open(Instance::new(InstanceId::random(), "test")).await.unwrap()
}

fn shared(events: &[TraceEvent]) -> Vec<Arc<TraceEvent>> {
    events.iter().cloned().map(Arc::new).collect()
}
