//! Environment variables, read the same way by everybody; their names are in [`names::env`](throughline_model::names::env).

/// Why the environment can't be used as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// A variable is set to a value that it cannot have.
    #[error("invalid {name}={value}: expected {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it is set to.
        value: String,
        /// What it may be set to.
        expected: &'static str,
    },
    /// A variable is set to something that is not text.
    #[error("{name} is not valid Unicode")]
    NotUnicode {
        /// The variable.
        name: &'static str,
    },
}

/// What a variable is set to; an empty one counts as not set
/// ([OTel](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#parsing-empty-value)).
///
/// # Errors
/// When it is not text.
pub fn variable(name: &'static str) -> Result<Option<String>, EnvError> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(EnvError::NotUnicode { name }),
    }
}
