//! The tests of the store on a real Postgres, of which each test process starts its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that goes wrong must fail"
)]

mod conformance;
mod crash;
mod faults;
mod hosts;
mod odd_texts;
mod pgbouncer;
mod retention;
mod schema;
mod server;
mod server_end;
#[cfg(feature = "tls")]
mod tls;
mod upkeep;
mod watch;
mod writers;

use std::process::Child;
use std::sync::Arc;

use throughline_model::{Instance, InstanceId, StoreConfig, TraceEvent, TraceStore};
use throughline_postgres::PostgresStore;

/// Opens a store as a new instance.
async fn open(store: &PostgresStore) -> Arc<dyn TraceStore> {
    store.open(Instance::new(InstanceId::random(), "test")).await.unwrap()
}

fn shared(events: &[TraceEvent]) -> Vec<Arc<TraceEvent>> {
    events.iter().cloned().map(Arc::new).collect()
}

/// Does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
