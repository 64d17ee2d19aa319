//! The credit bureau as the service sees it: somebody else's, asked over HTTP.

use axum::http::StatusCode;
use reqwest::Method;
use throughline::http::TracedClient;
use throughline::{LayerExt as _, Throughline};
use tower::{Layer as _, ServiceExt as _};

/// How the bureau is asked. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bureau {
    url: String,
    client: TracedClient<reqwest::Client>,
}

/// Why the bureau said nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BureauError {
    /// The URL makes no sense.
    #[error("`{0}` is no URL")]
    BadUrl(String),
    /// It cannot be reached, or what it says makes no sense.
    #[error("no answer from the bureau")]
    NoAnswer(#[from] reqwest::Error),
    /// It answered with an error.
    #[error("the bureau answered {0}")]
    Refused(StatusCode),
}

impl Bureau {
    /// The bureau at this URL. Its client is layered once: the trace goes along with every request, and every request is
    /// a span.
    pub(crate) fn new(throughline: &Throughline, client: reqwest::Client, url: &str) -> Self {
        Self { url: url.to_owned(), client: throughline.client_layer().layer(client) }
    }

    /// How good somebody is for their debts, from 0 to 1000.
    pub(crate) async fn score(&self) -> Result<u32, BureauError> {
        Ok(self.get("/score").await?.json().await?)
    }

    /// Whether the bureau answers.
    pub(crate) async fn ping(self) -> Result<(), BureauError> {
        self.get("/ping").await.map(drop)
    }

    async fn get(&self, path: &str) -> Result<reqwest::Response, BureauError> {
        let url = format!("{}{path}", self.url);
        let url = url.parse().map_err(|_| BureauError::BadUrl(url))?;
        let answer = self.client.clone().oneshot(reqwest::Request::new(Method::GET, url)).await?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status => Err(BureauError::Refused(status)),
        }
    }
}
