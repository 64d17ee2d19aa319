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
    /// The file that a variable names can't be read.
    #[error("{name} names a file that can't be read: {source}")]
    Unreadable {
        /// The variable.
        name: &'static str,
        /// What is wrong with the file.
        source: std::io::Error,
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

/// A secret that a variable is set to, or else that stands in the file which another variable names, as containers are given
/// them.
///
/// # Errors
/// When one of them is not text, or when the file can't be read.
pub fn secret(
    name: &'static str,
    of_file: &'static str,
    lookup: impl Fn(&'static str) -> Result<Option<String>, EnvError>,
) -> Result<Option<String>, EnvError> {
    if let Some(secret) = lookup(name)? {
        return Ok(Some(secret));
    }
    let Some(path) = lookup(of_file)? else { return Ok(None) };
    let text =
        std::fs::read_to_string(path).map_err(|source| EnvError::Unreadable { name: of_file, source })?;
    // An editor, and `echo`, end a file with a line break.
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Undoes the percent-encoding of a value, as in a list of pairs or in baggage; `None` where two hex digits are missing behind
/// a percent sign.
pub fn percent_decoded(value: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(byte) = rest.next() {
        octets.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            byte => *byte,
        });
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_percent_sign_there_are_two_hex_digits_and_no_sign() {
        assert_eq!(percent_decoded(b"a%2Cb%2c").as_deref(), Some(&b"a,b,"[..]));
        assert_eq!(percent_decoded(b"%fF").as_deref(), Some(&[255][..]));
        for wrong in ["%", "%4", "%zz", "%+1", "%-1", "% 1", "a%4"] {
            assert_eq!(percent_decoded(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_that_of_its_variable_or_else_of_the_file_that_another_one_names() {
        // Any file that ends with a line break.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let of_file = std::fs::read_to_string(path).unwrap();
        assert!(of_file.ends_with('\n'));
        let secret = |set: &[(&'static str, &str)]| {
            secret("KEY", "KEY_FILE", |name| {
                Ok(set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
            })
        };
        assert_eq!(secret(&[("KEY_FILE", path)]).unwrap().as_deref(), Some(of_file.trim_end()));
        assert_eq!(secret(&[("KEY", "itself"), ("KEY_FILE", path)]).unwrap().as_deref(), Some("itself"));
        assert_eq!(secret(&[]).unwrap(), None);
        let error = secret(&[("KEY_FILE", "nowhere/key")]).unwrap_err().to_string();
        assert!(error.starts_with("KEY_FILE names a file that can't be read: "), "{error}");
    }
}
