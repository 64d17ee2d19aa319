//! Keeping the lease of this instance, whatever else is in progress.

use std::time::Duration;

use throughline_model::{AppendError, Lease, TraceStore};
use tokio::time::Instant;

use super::Condition;

const LEAST_WAIT: Duration = Duration::from_millis(1);

/// Renews the lease for as long as it is polled; never ends.
pub(super) async fn keep(store: &dyn TraceStore, condition: &Condition) {
    let Lease::Heartbeat { interval, expires_after } = store.lease() else {
        return std::future::pending().await;
    };
    // A store that wants it all the time gets it once in a while.
    let interval = interval.max(LEAST_WAIT);
    let mut renewed = Instant::now();
    let mut wait = interval;
    loop {
        tokio::time::sleep(wait).await;
        // A renewal that hangs is given up in time for another before the lease expires.
        let renewal = tokio::time::timeout(interval, condition.guard(|| store.heartbeat())).await;
        let error = match renewal {
            Ok(Ok(())) => {
                (renewed, wait) = (Instant::now(), interval);
                continue;
            }
            Ok(Err(error)) => error,
            Err(_) => AppendError::Unavailable {
                reason: format!("the renewal took longer than {interval:?}"),
                retry_after: None,
                source: None,
            },
        };
        wait = (interval / 4).max(LEAST_WAIT);
        let expired = renewed.elapsed() >= expires_after;
        tracing::warn!(
            target: "throughline",
            store = store.name(),
            %error,
            expired,
            "the lease was not renewed: once it has expired, open spans of this process count as interrupted"
        );
    }
}
