//! Who may see what: [`Auth`] and [`Access`].

use std::fmt;
use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

/// What a caller is shown. The viewer changes nothing, so there is no level that may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// Everything that is in the store.
    All,
    /// Runs and their steps without what they worked on: no payloads, so no choices either, no messages of errors, and of
    /// attributes and tags only those that say what a step is. Business keys are shown.
    WithoutPayloads,
    /// Nothing.
    Forbidden,
}

/// How callers are told apart.
///
/// ```
/// use throughline_viewer::{Access, Auth};
///
/// let token = Auth::bearer("from a secret store");
/// let password = Auth::basic("ops", "from a secret store");
/// // Whatever the service knows: here a header that its proxy sets.
/// let by_role = Auth::hook(|request| match request.headers.get("x-role").map(|role| role.as_bytes()) {
///     Some(b"ops") => Access::All,
///     Some(b"support") => Access::WithoutPayloads,
///     _ => Access::Forbidden,
/// });
/// # let _ = (token, password, by_role);
/// ```
#[derive(Clone)]
pub struct Auth(Rule);

type Hook = Arc<dyn Fn(&Parts) -> Access + Send + Sync>;

#[derive(Clone)]
enum Rule {
    /// What the header `Authorization` says behind its scheme, and the challenge that asks for it.
    Header {
        scheme: &'static str,
        credentials: String,
        secret_length: usize,
        challenge: &'static str,
    },
    Hook(Hook),
}

impl Auth {
    /// How many characters a token or a password has at least: shorter ones can be guessed.
    pub const SHORTEST_SECRET: usize = 12;

    /// Callers send this token: `Authorization: Bearer TOKEN`. The pages ask for it.
    pub fn bearer(token: impl AsRef<str>) -> Self {
        let credentials = token.as_ref().to_owned();
        let (secret_length, challenge) = (credentials.len(), "Bearer realm=\"throughline\"");
        Self(Rule::Header { scheme: "bearer", credentials, secret_length, challenge })
    }

    /// Callers send this name and password by the basic scheme of HTTP. Browsers ask for them.
    pub fn basic(user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        let (user, password) = (user.as_ref(), password.as_ref());
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        let challenge = "Basic realm=\"throughline\", charset=\"UTF-8\"";
        Self(Rule::Header { scheme: "basic", credentials, secret_length: password.len(), challenge })
    }

    /// A function of the service decides, request by request. It is called on the thread of the request and should not block.
    pub fn hook(decide: impl Fn(&Parts) -> Access + Send + Sync + 'static) -> Self {
        Self(Rule::Hook(Arc::new(decide)))
    }

    /// How long the secret is; `None` where a function decides.
    pub(crate) fn secret_length(&self) -> Option<usize> {
        match &self.0 {
            Rule::Header { secret_length, .. } => Some(*secret_length),
            Rule::Hook(_) => None,
        }
    }

    /// What this caller is shown.
    pub(crate) fn access(&self, request: &Parts) -> Access {
        match &self.0 {
            Rule::Header { scheme, credentials, .. } => {
                let sent = request.headers.get(AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
                // Schemes are the same in any case; only the secret has to be compared in constant time.
                let opens = sent.split_at_checked(scheme.len() + 1).is_some_and(|(given, secret)| {
                    given.trim_ascii_end().eq_ignore_ascii_case(scheme.as_bytes())
                        && bool::from(secret.ct_eq(credentials.as_bytes()))
                });
                if opens { Access::All } else { Access::Forbidden }
            }
            Rule::Hook(decide) => decide(request),
        }
    }

    /// How a caller that is shown nothing is asked to say who it is.
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        match &self.0 {
            Rule::Header { challenge, .. } => Some(challenge),
            Rule::Hook(_) => None,
        }
    }
}

impl fmt::Debug for Auth {
    /// What is demanded, without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Rule::Header { scheme: "basic", .. } => "Auth::basic",
            Rule::Header { .. } => "Auth::bearer",
            Rule::Hook(_) => "Auth::hook",
        })
    }
}
