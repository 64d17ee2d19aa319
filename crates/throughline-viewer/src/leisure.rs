//! [`at_leisure`]: what takes long in a large run.

use std::sync::Arc;

use throughline_core::ReadError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many large runs are worked on at once: each takes memory and a processor.
const AT_ONCE: usize = 4;

static LARGE: Semaphore = Semaphore::const_new(AT_ONCE);

tokio::task_local! {
    /// The place among the requests that a request has: what it began keeps it until that ends, although nobody may wait for
    /// the answer any more.
    static PLACE: Arc<OwnedSemaphorePermit>;
}

/// Answers a request that has this place.
pub(crate) async fn in_place<T>(place: OwnedSemaphorePermit, answer: impl Future<Output = T>) -> T {
    PLACE.scope(Arc::new(place), answer).await
}

/// Does what takes long where it keeps nobody waiting: threads of the service's runtime have requests to answer.
pub(crate) async fn at_leisure<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReadError> {
    let unavailable =
        |reason: &str, source: Option<_>| ReadError::Unavailable { reason: reason.to_owned(), source };
    let turn =
        LARGE.acquire().await.map_err(|error| unavailable("the viewer is closed", Some(error.into())))?;
    let place = PLACE.try_with(Arc::clone).ok();
    let done = tokio::task::spawn_blocking(move || {
        let _held = (turn, place);
        work()
    });
    done.await.map_err(|error| match error.try_into_panic() {
        // Goes the way of all panics.
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => unavailable("the service is shutting down", Some(error.into())),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_the_place_of_its_request() {
        let requests = Arc::new(Semaphore::new(1));
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let place = Arc::clone(&requests).try_acquire_owned().unwrap();
        let request = tokio::spawn(in_place(
            place,
            at_leisure(move || {
                let _ = begun.send(());
                may_end.recv()
            }),
        ));
        has_begun.await.unwrap();
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        assert_eq!(requests.available_permits(), 0, "its work goes on");
        end.send(()).unwrap();
        drop(requests.acquire().await.unwrap());
    }
}
