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
    /// Runs and their steps without what they worked on: no payloads, no messages of errors, and of the attributes only
    /// those that name a step. Business keys are shown.
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
    /// The value of the header `Authorization`, and the challenge that asks for it.
    Header {
        expected: String,
        secret_length: usize,
        challenge: &'static str,
    },
    Hook(Hook),
}

impl Auth {
    /// Callers send this token: `Authorization: Bearer TOKEN`. The pages ask for it.
    pub fn bearer(token: impl AsRef<str>) -> Self {
        let token = token.as_ref();
        let expected = format!("Bearer {token}");
        Self(Rule::Header { expected, secret_length: token.len(), challenge: "Bearer realm=\"throughline\"" })
    }

    /// Callers send this name and password by the basic scheme of HTTP. Browsers ask for them.
    pub fn basic(user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        let (user, password) = (user.as_ref(), password.as_ref());
        let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let challenge = "Basic realm=\"throughline\", charset=\"UTF-8\"";
        Self(Rule::Header { expected, secret_length: password.len(), challenge })
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
            Rule::Header { expected, .. } => {
                let sent = request.headers.get(AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
                match bool::from(sent.ct_eq(expected.as_bytes())) {
                    true => Access::All,
                    false => Access::Forbidden,
                }
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
            Rule::Header { challenge, .. } if challenge.starts_with("Basic") => "Auth::basic",
            Rule::Header { .. } => "Auth::bearer",
            Rule::Hook(_) => "Auth::hook",
        })
    }
}
