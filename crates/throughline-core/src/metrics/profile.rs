//! [`Profile`]: under which names metrics are kept.

use super::catalogue::Description;

/// Under which names metrics are kept: those of today's conventions, those that services had before, or both while
/// dashboards move over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile(Names);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Names {
    #[default]
    Standard,
    Aliases(String),
    Both(String),
}

impl Profile {
    /// `http_server_request_duration_seconds`, `throughline_workflow_duration_seconds`…
    pub fn standard() -> Self {
        Self(Names::Standard)
    }

    /// `acme_http_requests_total`, `acme_workflow_executions_total`… with the prefix `acme`, or without one if it is
    /// empty. A metric that had no such name keeps its own.
    pub fn aliases(prefix: impl Into<String>) -> Self {
        Self(Names::Aliases(prefix.into()))
    }

    /// Both.
    pub fn both(prefix: impl Into<String>) -> Self {
        Self(Names::Both(prefix.into()))
    }

    /// Checks the prefix.
    ///
    /// # Errors
    /// When names that begin with it would not be valid.
    pub fn check(&self) -> Result<(), ProfileError> {
        let (Names::Aliases(prefix) | Names::Both(prefix)) = &self.0 else { return Ok(()) };
        let sound = !prefix.starts_with(|first: char| first.is_ascii_digit())
            && prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if sound { Ok(()) } else { Err(ProfileError::Prefix { given: prefix.clone() }) }
    }

    /// Whether a metric is kept under its own name.
    pub fn keeps_name_of(&self, description: &Description) -> bool {
        !matches!(self.0, Names::Aliases(_)) || description.aliases.is_empty()
    }

    /// The prefix of aliases, if they are wanted.
    pub fn alias_prefix(&self) -> Option<&str> {
        match &self.0 {
            Names::Standard => None,
            Names::Aliases(prefix) | Names::Both(prefix) => Some(prefix),
        }
    }
}

/// Why a profile is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Metric names would not be valid.
    #[error(
        "`{given}` can't begin a metric's name: use letters, digits and underscores, and no digit at the beginning"
    )]
    Prefix {
        /// What was given.
        given: String,
    },
}
