//! Streamable HTTP: without a token at loopback addresses only.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

use super::Server;
use crate::commands::first_line;
use crate::error::CliError;
use crate::output::Screen;

/// Where the endpoint is.
const PATH: &str = "/mcp";
/// A question is short.
const MAX_BODY: usize = 64 << 10;

/// Serves until the process ends. Says where on the standard output.
pub(super) async fn serve(
    server: Server,
    address: SocketAddr,
    token_file: Option<&Path>,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let token = token_file
        .map(|file| first_line(file, "--token-file names a file that has a token in it", "has no token"))
        .transpose()?;
    if token.is_none() && !address.ip().is_loopback() {
        return Err(CliError::Usage(format!(
            "{address} can be reached from other machines, and what runs recorded is not for everybody: name a file with a \
             token (--token-file FILE), or listen at a loopback address (--listen 127.0.0.1:{})",
            address.port()
        )));
    }
    let refused =
        |error: std::io::Error| CliError::Input(format!("{address}: {error}; name another with --listen"));
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    // Without sessions there is nothing to keep between questions. A page in a browser, whichever host its name was made
    // to lead to, is no client.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_BODY)
        .enforce_origin_validation();
    let config = match address.ip().is_loopback() {
        true => config.with_allowed_hosts([
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
            address.ip().to_string(),
        ]),
        // By which names others reach it only they know; they have the token.
        false => config.disable_allowed_hosts(),
    };
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let token: Option<Arc<str>> = token.map(Arc::from);
    let app = Router::new().route_service(PATH, service).layer(middleware::from_fn_with_state(token, admit));
    screen.line(format_args!("Listening at http://{address}{PATH}"))?;
    screen.flush()?;
    axum::serve(listener, app).await.map_err(refused)
}

/// Lets those in who have the token, or everybody if there is none.
async fn admit(State(token): State<Option<Arc<str>>>, request: Request, next: Next) -> Response {
    match token {
        Some(token) if !has(request.headers(), &token) => (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
            "Send the token as `Authorization: Bearer TOKEN`; the server reads it from its --token-file.\n",
        )
            .into_response(),
        _ => next.run(request).await,
    }
}

fn has(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    given.is_some_and(|(_, given)| given.trim().as_bytes().ct_eq(token.as_bytes()).into())
}
