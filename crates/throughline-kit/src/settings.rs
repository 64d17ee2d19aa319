//! [`Settings`]: for which service the files are.

use throughline_core::metrics::Profile;

/// What a [`Kit`](crate::Kit) was told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) profile: Profile,
    pub(crate) job: String,
    pub(crate) runbooks: String,
    pub(crate) grafana: String,
    /// Where the viewer is, and where Grafana reaches Prometheus.
    pub(crate) viewer: Option<String>,
    pub(crate) prometheus: String,
    /// Where Prometheus reaches the page of the service, and Alertmanager.
    pub(crate) service: String,
    pub(crate) alertmanager: String,
    pub(crate) webhook: Option<String>,
    pub(crate) faster: u32,
    /// The events of a funnel, from the first to the last.
    pub(crate) funnel: Vec<String>,
    /// Where the service runs on Kubernetes, and where what watches it does.
    pub(crate) namespace: String,
    pub(crate) monitoring: String,
    pub(crate) image: String,
    /// What is looked at from outside, and where the prober is that does it.
    pub(crate) targets: Vec<String>,
    pub(crate) prober: String,
}
