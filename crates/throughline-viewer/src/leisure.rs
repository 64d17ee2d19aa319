//! [`at_leisure`]: what takes long in a large run.

use throughline_core::ReadError;

/// Does what takes long where it keeps nobody waiting: threads of the service's runtime have requests to answer.
pub(crate) async fn at_leisure<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReadError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        // Goes the way of all panics.
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => ReadError::Unavailable {
            reason: "the service is shutting down".to_owned(),
            source: Some(error.into()),
        },
    })
}
