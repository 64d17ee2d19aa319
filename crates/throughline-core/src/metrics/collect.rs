//! What is measured only when somebody looks.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

type Measure = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub(super) struct Collectors(Mutex<Registered>);

#[derive(Default)]
struct Registered {
    next: u64,
    measures: Vec<(u64, Measure)>,
}

impl Collectors {
    pub(super) fn add(collectors: &Arc<Self>, measure: Measure) -> CollectorGuard {
        let mut registered = collectors.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = registered.next;
        registered.next += 1;
        registered.measures.push((id, measure));
        CollectorGuard(Some((Arc::downgrade(collectors), id)))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).measures.len()
    }

    pub(super) fn run(&self) {
        // Not under the lock: a collector may drop a guard.
        let measures = {
            let registered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            registered.measures.iter().map(|(_, measure)| Arc::clone(measure)).collect::<Vec<_>>()
        };
        for measure in measures {
            // One that panics must not keep the others from being seen.
            if catch_unwind(AssertUnwindSafe(|| measure())).is_err() {
                tracing::warn!(target: "throughline", "a metrics collector panicked");
            }
        }
    }
}

/// Keeps a collector: it is forgotten when this is dropped.
#[derive(Default)]
#[must_use = "dropped, the collector is forgotten"]
pub struct CollectorGuard(Option<(Weak<Collectors>, u64)>);

impl Drop for CollectorGuard {
    fn drop(&mut self) {
        let Some((collectors, id)) = self.0.take() else { return };
        let Some(collectors) = collectors.upgrade() else { return };
        let mut registered = collectors.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = registered.measures.iter().position(|(own, _)| *own == id);
        let removed = at.map(|at| registered.measures.swap_remove(at));
        // What it holds may hold guards itself.
        drop(registered);
        drop(removed);
    }
}

impl fmt::Debug for CollectorGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CollectorGuard").finish_non_exhaustive()
    }
}
