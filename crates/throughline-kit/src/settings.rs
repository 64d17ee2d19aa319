//! [`Settings`]: for which service the files are.

use throughline_core::metrics::Profile;

/// What a [`Kit`](crate::Kit) was told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) job: String,
    pub(crate) runbooks: String,
    pub(crate) grafana: String,
    pub(crate) webhook: Option<String>,
    pub(crate) faster: u32,
}
