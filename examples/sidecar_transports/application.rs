//! The application: calls the functions of its sidecar.

use throughline::Throughline;
use throughline::transport::{CallError, Caller, CallerError, Inspector, Profiler};

use crate::sidecar::{Record, Sidecar, Summary};

/// The same functions, over one transport.
pub(crate) struct Client(pub(crate) Caller);

impl Client {
    /// One for each transport. What changes is one line; the calls below are the same.
    pub(crate) fn for_each_transport(
        ours: &Throughline,
        sidecar: &Sidecar,
    ) -> Result<[Self; 3], CallerError> {
        Ok([
            Self(Caller::http(ours, &sidecar.origin)?),
            Self(Caller::ipc(ours, &sidecar.socket)),
            Self(Caller::direct(ours, sidecar.router.clone())),
        ])
    }

    pub(crate) fn profiled(&self, profiler: &Profiler) -> Self {
        Self(self.0.clone().profiler(profiler))
    }

    pub(crate) fn inspected(&self, inspector: &Inspector) -> Self {
        Self(self.0.clone().inspector(inspector))
    }

    pub(crate) async fn process_data(&self, records: &[Record]) -> Result<Summary, CallError> {
        self.0.call("process-data", records).await
    }

    pub(crate) async fn is_known(&self, account: &str) -> Result<bool, CallError> {
        self.0.call("is-known", account).await
    }

    pub(crate) async fn history(&self, account: &str) -> Result<Vec<Record>, CallError> {
        self.0.call("history", account).await
    }
}
