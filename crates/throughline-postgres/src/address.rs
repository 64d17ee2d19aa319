//! What a connection string says: how the server is reached, and how the connection is secured.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::error::Fault;

/// A connection string, read.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) config: Config,
    pub(crate) security: Security,
}

/// How a connection is secured.
#[derive(Clone, Default)]
pub(crate) struct Security {
    /// Whether it must be encrypted, and the server prove who it is.
    pub(crate) is_required: bool,
    /// The certificates to trust instead of those of the system, a file.
    pub(crate) roots: Option<PathBuf>,
    /// The certificate that proves who we are, and its key, two files.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

impl Address {
    pub(crate) fn read(url: &str) -> Result<Self, Fault> {
        let mut url = url.to_owned();
        // The client library knows neither these names nor what they stand for.
        let mode = take(&mut url, "sslmode");
        let [roots, certificate, key] =
            ["sslrootcert", "sslcert", "sslkey"].map(|name| take(&mut url, name).map(PathBuf::from));
        // The parser's own error may quote a part of a password.
        let mut config: Config = url.parse().map_err(|_| {
            Fault::Unusable(
                "the connection string is invalid; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special \
                 characters percent-encoded"
                    .to_owned(),
            )
        })?;
        let is_required = match mode.as_deref() {
            None | Some("disable" | "allow" | "prefer") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(_) => {
                return Err(Fault::Unusable(
                    "sslmode is none of disable, prefer, require, verify-ca and verify-full".to_owned(),
                ));
            }
        };
        config.ssl_mode(if is_required { SslMode::Require } else { SslMode::Disable });
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(Fault::Unusable(
                    "sslcert and sslkey belong together: name the file of each".to_owned(),
                ));
            }
        };
        Ok(Self { config, security: Security { is_required, roots, client } })
    }
}

/// The hosts and the database of a connection string.
pub(crate) fn location(url: &str) -> String {
    let hosts = |config: &Config| {
        let host = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(folder) => folder.to_string_lossy().into_owned(),
        };
        config.get_hosts().iter().map(host).collect::<Vec<_>>().join(",")
    };
    let shown = Address::read(url).ok().map(|Address { config, .. }| {
        format!("postgres://{}/{}", hosts(&config), config.get_dbname().unwrap_or_default())
    });
    // A password with an @ that is not percent-encoded ends up in what is taken for the host.
    shown.filter(|shown| !shown.contains('@')).unwrap_or_else(|| "postgres".to_owned())
}

/// Takes a parameter out of a connection string, in either of its notations.
fn take(url: &mut String, name: &str) -> Option<String> {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let (from, separator) = if is_url { (url.find('?')? + 1, '&') } else { (0, ' ') };
    let named = format!("{name}=");
    let mut found = None;
    let kept: Vec<&str> = url[from..]
        .split(separator)
        .filter(|part| match part.strip_prefix(&named) {
            Some(value) => {
                found = Some(if is_url { decoded(value) } else { value.trim_matches('\'').to_owned() });
                false
            }
            None => true,
        })
        .collect();
    let kept = kept.join(separator.encode_utf8(&mut [0; 4]));
    if found.is_some() {
        url.truncate(from);
        url.push_str(&kept);
        if is_url && kept.is_empty() {
            url.pop();
        }
    }
    found
}

/// Without percent-encoding; what is not encoded soundly stays as it is.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_no_password_however_the_string_is_written() {
        let urls = [
            "postgres://loans:hunter2@db-1:6432,db-2/audit",
            "postgres://loans:hunter2@db-1/audit?password=hunter2",
            "postgres://loans:a@hunter2@db-1/audit",
            "postgres://loans:a/hunter2@db-1/audit",
            "postgres://loans:a?hunter2@db-1/audit",
            "postgres://loans:hunter2",
            "host=db-1 user=loans password=hunter2 dbname=audit",
            "hunter2",
        ];
        for url in urls {
            assert!(!location(url).contains("hunter2"), "{url}: {}", location(url));
        }
        assert_eq!(location(urls[0]), "postgres://db-1,db-2/audit");
        assert_eq!(location(urls[6]), "postgres://db-1/audit");
    }

    #[test]
    fn what_secures_a_connection_is_read_from_both_notations() {
        for url in [
            "postgres://db-1/audit?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fetc%2Fca%25.pem",
            "postgres://db-1/audit?sslrootcert=/etc/ca%25.pem&sslmode=require",
            "host=db-1 sslmode=verify-ca dbname=audit sslrootcert='/etc/ca%.pem'",
        ] {
            let Address { config, security } = Address::read(url).unwrap_or_else(|_| panic!("{url}"));
            assert!(security.is_required && config.get_ssl_mode() == SslMode::Require, "{url}");
            assert_eq!(security.roots.unwrap().to_str(), Some("/etc/ca%.pem"), "{url}");
            assert_eq!(config.get_dbname(), Some("audit"), "{url}");
        }
        for url in
            ["postgres://db-1/audit", "postgres://db-1/audit?sslmode=disable", "host=db-1 sslmode=prefer"]
        {
            assert!(!Address::read(url).unwrap_or_else(|_| panic!("{url}")).security.is_required, "{url}");
        }
        let both = "postgres://db-1/audit?sslmode=require&sslcert=/c.pem&sslkey=/k.pem";
        assert!(Address::read(both).unwrap_or_else(|_| panic!()).security.client.is_some());
        for url in ["postgres://db-1/audit?sslcert=/c.pem", "postgres://db-1/audit?sslmode=full"] {
            assert!(Address::read(url).is_err(), "{url}");
        }
    }
}
