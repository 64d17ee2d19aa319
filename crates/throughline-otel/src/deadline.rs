//! Until when somebody waits for what the exporter does.

use std::time::Instant;

use tokio::sync::watch;

/// Set by the sink at any time, also while something is under way.
#[derive(Debug, Clone)]
pub(crate) struct Deadline(watch::Receiver<Option<Instant>>);

impl Deadline {
    pub(crate) fn new(set: watch::Receiver<Option<Instant>>) -> Self {
        Self(set)
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.0.borrow().is_some_and(|until| until <= Instant::now())
    }

    /// The answer, or `None` if it came too late for somebody who waits.
    pub(crate) async fn limit<T>(&mut self, asking: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = asking => Some(answer),
            () = self.passes() => None,
        }
    }

    async fn passes(&mut self) {
        loop {
            let until = *self.0.borrow_and_update();
            tokio::select! {
                () = at(until.map(Into::into)) => return,
                changed = self.0.changed() => if changed.is_err() {
                    // The sink is gone: what is under way may take as long as it likes.
                    std::future::pending::<()>().await;
                },
            }
        }
    }
}

/// Completes at this moment, or never.
pub(crate) async fn at(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
