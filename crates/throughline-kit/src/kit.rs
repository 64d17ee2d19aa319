//! [`Kit`], which writes the files.

use throughline_core::metrics::{Profile, ProfileError};

use crate::{dashboards, grafana, routing, rules};

/// Writes dashboards, alert rules and the routing of alerts for one service.
#[derive(Debug, Clone)]
#[must_use = "it writes nothing by itself"]
pub struct Kit {
    pub(crate) profile: Profile,
    pub(crate) job: String,
    pub(crate) runbooks: String,
    pub(crate) grafana: String,
    pub(crate) webhook: Option<String>,
    pub(crate) faster: u32,
}

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct File {
    /// Its name, without a folder.
    pub name: String,
    /// What is in it.
    pub contents: String,
}

impl File {
    pub(crate) fn new(name: impl Into<String>, contents: impl Into<String>) -> Self {
        Self { name: name.into(), contents: contents.into() }
    }
}

/// Why a file can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KitError {
    /// The profile is invalid.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// No job has this name.
    #[error("the job has no name: use the `job_name` under which Prometheus scrapes the service")]
    NoJob,
    /// Under this profile, the metric has no name with what is asked for.
    #[error(
        "under this profile, `{metric}` can't be asked for {asked}: use the profile `standard` or `both`"
    )]
    NoName {
        /// The metric, by its name in the catalogue.
        metric: &'static str,
        /// What is asked.
        asked: String,
    },
    /// A file can't be written as YAML or JSON.
    #[error("{file} can't be written: {reason}")]
    Write {
        /// The name of the file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

impl Kit {
    /// A kit for a service whose metrics have the names of this profile. Where a service has both kinds of names, the standard
    /// ones are asked for.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            job: "throughline".to_owned(),
            runbooks: "docs/runbooks".to_owned(),
            grafana: String::new(),
            webhook: None,
            faster: 1,
        }
    }

    /// The `job_name` under which Prometheus scrapes the service; `throughline` by default. Other jobs are not looked at.
    pub fn job(mut self, name: impl Into<String>) -> Self {
        self.job = name.into();
        self
    }

    /// Where the runbooks are: an address to which `/NAME.md` is appended.
    pub fn runbooks(mut self, address: impl Into<String>) -> Self {
        self.runbooks = address.into().trim_end_matches('/').to_owned();
        self
    }

    /// Where Grafana is; without it, links to dashboards are paths.
    pub fn grafana(mut self, address: impl Into<String>) -> Self {
        self.grafana = address.into().trim_end_matches('/').to_owned();
        self
    }

    /// Tells everybody through a webhook instead of PagerDuty and Slack: an address to which the name of the receiver is appended.
    pub fn webhook(mut self, address: impl Into<String>) -> Self {
        self.webhook = Some(address.into().trim_end_matches('/').to_owned());
        self
    }

    /// Divides every time in rules and routes by a factor, for a drill: what takes five minutes takes five seconds with 60. What is
    /// counted in an hour is then counted in a minute.
    pub fn faster(mut self, factor: u32) -> Self {
        self.faster = factor.max(1);
        self
    }

    /// The alert rules, for Prometheus: `alerts.yaml`.
    ///
    /// # Errors
    /// When the profile or the job is invalid.
    pub fn alerts(&self) -> Result<File, KitError> {
        self.check()?;
        rules::file(self)
    }

    /// The dashboards, for Grafana: a JSON file each.
    ///
    /// # Errors
    /// When the profile or the job is invalid.
    pub fn dashboards(&self) -> Result<Vec<File>, KitError> {
        self.check()?;
        dashboards::all().iter().map(|dashboard| grafana::file(self, dashboard)).collect()
    }

    /// Who is told of which alert, for Alertmanager: `alertmanager.yaml`. Its secrets are in files beside it.
    ///
    /// # Errors
    /// When the profile or the job is invalid.
    pub fn routing(&self) -> Result<File, KitError> {
        self.check()?;
        routing::file(self)
    }

    fn check(&self) -> Result<(), KitError> {
        self.profile.check()?;
        if self.job.is_empty() { Err(KitError::NoJob) } else { Ok(()) }
    }
}
