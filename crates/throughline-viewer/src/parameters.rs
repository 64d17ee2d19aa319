//! [`Parameters`] and [`Named`]: what an address asks, or a [`Problem`] that says what can be asked.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The parameters of a request. A question takes them by [`only`](Self::only): one that it does not know, such as a filter that is
/// misspelt, would otherwise be taken for one that was followed.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) =
            Query::try_from_uri(&parts.uri).map_err(|error| Problem::bad_request(error.body_text()))?;
        Ok(Self(pairs))
    }
}

impl From<Vec<(String, String)>> for Parameters {
    fn from(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }
}

impl Parameters {
    /// The parameters that have a value, if all are among these.
    pub(crate) fn only(self, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
        if let Some((unknown, _)) = self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let can_be_asked = match known {
                [] => "this takes no parameter".to_owned(),
                [one] => format!("this takes {one}"),
                [most @ .., last] => format!("this takes {} and {last}", most.join(", ")),
            };
            return Err(Problem::bad_request(format!("`{unknown}` is not known here; {can_be_asked}")));
        }
        Ok(self.0.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The value of the one parameter that a question takes.
    pub(crate) fn one(self, name: &str) -> Result<Option<String>, Problem> {
        Ok(self.only(&[name])?.pop().map(|(_, value)| value))
    }
}

/// The names within an address.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = Path::from_request_parts(parts, state).await;
        found.map(|Path(names)| Self(names)).map_err(|error| Problem::bad_request(error.body_text()))
    }
}
