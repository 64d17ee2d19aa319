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
pub struct Auth {
    rules: Vec<Rule>,
}

type Hook = Arc<dyn Fn(&Parts) -> Access + Send + Sync>;

#[derive(Clone)]
struct Rule {
    who: Who,
    /// What they are shown at most.
    most: Access,
}

#[derive(Clone)]
enum Who {
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
        Self::by(Who::Header { scheme: "bearer", credentials, secret_length, challenge })
    }

    /// Callers send this name and password by the basic scheme of HTTP. Browsers ask for them.
    pub fn basic(user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        let (user, password) = (user.as_ref(), password.as_ref());
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        let challenge = "Basic realm=\"throughline\", charset=\"UTF-8\"";
        Self::by(Who::Header { scheme: "basic", credentials, secret_length: password.len(), challenge })
    }

    /// A function of the service decides, request by request. It is called on the thread of the request and should not block.
    pub fn hook(decide: impl Fn(&Parts) -> Access + Send + Sync + 'static) -> Self {
        Self::by(Who::Hook(Arc::new(decide)))
    }

    fn by(who: Who) -> Self {
        Self { rules: vec![Rule { who, most: Access::All }] }
    }

    /// The same callers, who are shown no [payloads](Access::WithoutPayloads).
    #[must_use]
    pub fn without_payloads(mut self) -> Self {
        self.rules.iter_mut().for_each(|rule| rule.most = rule.most.lower(Access::WithoutPayloads));
        self
    }

    /// Also other callers. Those who are in both are shown what the more open one shows. The pages ask for the credentials of
    /// this one.
    ///
    /// ```
    /// use throughline_viewer::Auth;
    ///
    /// let auth = Auth::bearer("the token of engineers").or(Auth::bearer("the token of support").without_payloads());
    /// # let _ = auth;
    /// ```
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self
    }

    /// How long the shortest secret is; `None` where functions decide.
    pub(crate) fn secret_length(&self) -> Option<usize> {
        let lengths = self.rules.iter().filter_map(|rule| match &rule.who {
            Who::Header { secret_length, .. } => Some(*secret_length),
            Who::Hook(_) => None,
        });
        lengths.min()
    }

    /// What this caller is shown.
    pub(crate) fn access(&self, request: &Parts) -> Access {
        // Each rule is asked: how long an answer takes must not say which of the secrets was nearly right.
        let shown = self.rules.iter().map(|rule| rule.who.access(request).lower(rule.most));
        shown.min_by_key(|access| access.rank()).unwrap_or(Access::Forbidden)
    }

    /// How a caller that is shown nothing is asked to say who it is.
    pub(crate) fn challenge(&self) -> Option<&'static str> {
        self.rules.iter().find_map(|rule| match &rule.who {
            Who::Header { challenge, .. } => Some(*challenge),
            Who::Hook(_) => None,
        })
    }
}

impl Access {
    /// The more open, the lower.
    fn rank(self) -> u8 {
        match self {
            Self::All => 0,
            Self::WithoutPayloads => 1,
            Self::Forbidden => 2,
        }
    }

    /// The one of two that shows less.
    fn lower(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }
}

impl Who {
    fn access(&self, request: &Parts) -> Access {
        match self {
            Self::Header { scheme, credentials, .. } => {
                let sent = request.headers.get(AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
                // Schemes are the same in any case; only the secret has to be compared in constant time.
                let opens = sent.split_at_checked(scheme.len() + 1).is_some_and(|(given, secret)| {
                    given.trim_ascii_end().eq_ignore_ascii_case(scheme.as_bytes())
                        && bool::from(secret.ct_eq(credentials.as_bytes()))
                });
                if opens { Access::All } else { Access::Forbidden }
            }
            Self::Hook(decide) => decide(request),
        }
    }
}

impl fmt::Debug for Auth {
    /// What is demanded, without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, rule) in self.rules.iter().enumerate() {
            f.write_str(if at > 0 { " or " } else { "" })?;
            f.write_str(match &rule.who {
                Who::Header { scheme: "basic", .. } => "Auth::basic",
                Who::Header { .. } => "Auth::bearer",
                Who::Hook(_) => "Auth::hook",
            })?;
        }
        Ok(())
    }
}
