//! The work that a store does on its own.

use std::sync::Arc;
use std::time::Duration;

use throughline_core::{
    AppendError, BoxFuture, Instance, MemoryStore, OpenError, Readers, StoreConfig, Throughline, TraceEvent,
    TraceId, TraceStore, Upkeep,
};

use crate::support::leave_to_inner;

/// A store that does something on its own.
struct Busy {
    inner: MemoryStore,
    upkeep: Upkeep,
}

struct OpenBusy {
    inner: Arc<dyn TraceStore>,
    upkeep: Upkeep,
}

impl StoreConfig for Busy {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let (opening, upkeep) = (self.inner.open(instance), self.upkeep.clone());
        Box::pin(
            async move { Ok(Arc::new(OpenBusy { inner: opening.await?, upkeep }) as Arc<dyn TraceStore>) },
        )
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        self.inner.open_readers()
    }
}

impl TraceStore for OpenBusy {
    fn name(&self) -> &str {
        "busy"
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        self.inner.append(events)
    }

    fn upkeep(&self) -> Upkeep {
        self.upkeep.clone()
    }

    leave_to_inner!();
}

#[tokio::test]
async fn what_fails_of_the_work_that_a_store_does_on_its_own_is_in_the_delivery_report() {
    let upkeep = Upkeep::default();
    let store = Busy { inner: MemoryStore::new(), upkeep: upkeep.clone() };
    let throughline = Throughline::builder("test").store(store).build().unwrap();
    let report = throughline.delivery_report();
    assert_eq!(report.destinations[0].upkeep_failures, 0);
    assert!(!report.to_string().contains("upkeep"), "{report}");

    upkeep.failed("the disk is full");
    upkeep.failed("old runs were not removed");
    let report = throughline.shutdown(Duration::from_secs(10)).await;
    let store = &report.destinations[0];
    assert_eq!(
        (store.upkeep_failures, store.last_upkeep_failure.as_deref()),
        (2, Some("old runs were not removed"))
    );
    assert!(
        report.to_string().contains("upkeep failed 2 times, the last time because old runs were"),
        "{report}"
    );
    assert!(report.is_complete(), "no event is lost by it");
}
