//! Streamable HTTP: without a token at loopback addresses only.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use subtle::ConstantTimeEq as _;
use throughline_viewer::Auth;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::Server;
use crate::commands::first_line;
use crate::error::CliError;
use crate::output::Screen;

/// Where the endpoint is.
const PATH: &str = "/mcp";
/// A question is short.
const MAX_BODY: usize = 64 << 10;
/// How many questions are answered at once: each may read a large run.
const AT_ONCE: usize = 16;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves until the process ends. Says where on the standard output.
pub(super) async fn serve(
    server: Server,
    address: SocketAddr,
    token_file: Option<&Path>,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let token = token_file.map(token).transpose()?;
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
    let door = Door { token: token.map(Arc::from), places: Arc::new(Semaphore::new(AT_ONCE)) };
    let app = Router::new().route_service(PATH, service).layer(middleware::from_fn_with_state(door, admit));
    screen.line(format_args!("Listening at http://{address}{PATH}"))?;
    screen.flush()?;
    axum::serve(listener, app).await.map_err(refused)
}

/// The token in a file, if nobody can guess it.
fn token(file: &Path) -> Result<String, CliError> {
    let token = first_line(file, "--token-file names a file that has a token in it", "has no token")?;
    if token.len() < Auth::SHORTEST_SECRET {
        return Err(CliError::Usage(format!(
            "{}: the token has {} characters; use at least {}",
            file.display(),
            token.len(),
            Auth::SHORTEST_SECRET
        )));
    }
    Ok(token)
}

/// Who is answered, and how many at once.
#[derive(Clone)]
struct Door {
    token: Option<Arc<str>>,
    places: Arc<Semaphore>,
}

/// Lets those in who have the token, or everybody if there is none, while there is a place.
async fn admit(State(door): State<Door>, request: Request, next: Next) -> Response {
    if door.token.is_some_and(|token| !has(request.headers(), &token)) {
        return (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
            "Send the token as `Authorization: Bearer TOKEN`; the server reads it from its --token-file.\n",
        )
            .into_response();
    }
    let Ok(_place) = door.places.try_acquire() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "1")],
            "Too many questions at once; ask again in a second.\n",
        )
            .into_response();
    };
    let too_slow = |_| {
        let said = format!("There was no answer within {} s; ask for less.\n", PATIENCE.as_secs());
        (StatusCode::GATEWAY_TIMEOUT, said).into_response()
    };
    tokio::time::timeout(PATIENCE, next.run(request)).await.unwrap_or_else(too_slow)
}

fn has(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    given.is_some_and(|(_, given)| given.trim().as_bytes().ct_eq(token.as_bytes()).into())
}
