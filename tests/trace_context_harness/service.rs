//! The service: a request says which services to call, and it calls them with the context that it was given.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::{Request, StatusCode, Uri, header};
use axum::routing::post;
use axum::{Json, Router};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;
use throughline::http::TracedClient;
use throughline::{LayerExt as _, Throughline};
use tower::{Layer as _, ServiceExt as _};

/// Somebody to call: `arguments` are posted to `url` as JSON.
#[derive(Deserialize)]
pub(crate) struct Call {
    url: String,
    #[serde(default)]
    arguments: Value,
}

type HttpClient = TracedClient<Client<HttpConnector, Full<axum::body::Bytes>>>;

/// A router that answers a POST to any path. All that it knows of trace context are the two layers.
pub(crate) fn router(throughline: &Throughline) -> Router {
    let client: HttpClient =
        throughline.client_layer().layer(Client::builder(TokioExecutor::new()).build_http());
    Router::new()
        .route("/", post(call_all))
        .route("/{*path}", post(call_all))
        .with_state(client)
        .layer(throughline.layer())
}

/// Calls one after the other and answers with their status codes.
async fn call_all(
    State(client): State<HttpClient>,
    Json(calls): Json<Vec<Call>>,
) -> Result<Json<Vec<u16>>, (StatusCode, String)> {
    let mut answers = Vec::with_capacity(calls.len());
    for call in calls {
        let request = request(&call).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
        let answer = client.clone().oneshot(request).await;
        let answer = answer.map_err(|error| (StatusCode::BAD_GATEWAY, format!("{}: {error}", call.url)))?;
        answers.push(answer.status().as_u16());
    }
    Ok(Json(answers))
}

/// Anyone who can reach this service can make it call others: on this machine and nowhere else.
fn request(call: &Call) -> Result<Request<Full<axum::body::Bytes>>, String> {
    let url: Uri = call.url.parse().map_err(|error| format!("`{}` is no URL: {error}", call.url))?;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    if host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback()) {
        return Err(format!("`{}` is not on this machine", call.url));
    }
    Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(call.arguments.to_string()))
        .map_err(|error| format!("`{}` cannot be called: {error}", call.url))
}
