//! [`File`]: what is written, and why it can't be.

use serde::Serialize;
use throughline_core::metrics::ProfileError;

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
    /// Kubernetes would refuse this name.
    #[error(
        "no {what} of Kubernetes can be called `{name}`: use at most 63 lower-case letters, digits and inner hyphens"
    )]
    NoObject {
        /// What is called so.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// No image has this name.
    #[error("`{image}` is not the name of an image: use one such as registry.example.org/loan-service:1.2")]
    NoImage {
        /// The name.
        image: String,
    },
    /// Nothing can be looked at under this address.
    #[error("`{target}` can't be probed: use an address such as https://shop.example.org/livez")]
    NoTarget {
        /// The address.
        target: String,
    },
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
    /// No bucket of the histogram ends at the threshold of an objective.
    #[error(
        "the objective `{objective}`: the times are counted in buckets that end at {bounds}; use one of these as its threshold"
    )]
    NoBound {
        /// The name of the objective.
        objective: String,
        /// Where buckets end.
        bounds: String,
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

/// A file in YAML.
pub(crate) fn yaml(name: &str, value: &impl Serialize) -> Result<File, KitError> {
    let refused = |error: serde_saphyr::ser::Error| KitError::Write {
        file: name.to_owned(),
        reason: error.to_string(),
    };
    Ok(File::new(name, serde_saphyr::to_string(value).map_err(refused)?))
}
