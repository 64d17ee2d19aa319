//! Streamable HTTP: without a token at loopback addresses only.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
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

/// Serves until the process ends. Says where on the standard output. Each caller is answered by the server whose token it sends;
/// where a server has none, everybody is.
pub(super) async fn serve(
    ways: Vec<(Option<String>, Server)>,
    address: SocketAddr,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let mut tokens: Vec<_> = ways.iter().filter_map(|(token, _)| token.as_deref()).collect();
    tokens.sort_unstable();
    if tokens.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(CliError::Usage(
            "the same token is in both files, so that nobody knows how much its holder may see; write another into one of \
             them"
                .into(),
        ));
    }
    if tokens.is_empty() && !address.ip().is_loopback() {
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
    let way = |(token, server): (Option<String>, Server)| {
        let sessions = Arc::new(NeverSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config.clone());
        Way { token, service }
    };
    let door = Door { ways: ways.into_iter().map(way).collect(), places: Semaphore::new(AT_ONCE) };
    let app = Router::new().route(PATH, any(answer)).with_state(Arc::new(door));
    screen.line(format_args!("Listening at http://{address}{PATH}"))?;
    screen.flush()?;
    axum::serve(listener, app).await.map_err(refused)
}

/// The token in a file, if nobody can guess it.
pub(super) fn token(file: &Path) -> Result<String, CliError> {
    let token = first_line(file, "a file was expected that has a token in it", "has no token")?;
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
struct Door {
    ways: Vec<Way>,
    places: Semaphore,
}

/// A server, and the token of those whom it answers.
struct Way {
    token: Option<String>,
    service: StreamableHttpService<Server, NeverSessionManager>,
}

impl Door {
    /// The server that answers whom these headers are from.
    fn server(&self, headers: &HeaderMap) -> Option<&StreamableHttpService<Server, NeverSessionManager>> {
        let given = bearer(headers);
        let opens = |way: &&Way| match (&way.token, given) {
            (None, _) => true,
            (Some(token), Some(given)) => given.as_bytes().ct_eq(token.as_bytes()).into(),
            (Some(_), None) => false,
        };
        self.ways.iter().find(opens).map(|way| &way.service)
    }
}

/// Answers those who are let in, while there is a place.
async fn answer(State(door): State<Arc<Door>>, request: Request) -> Response {
    let Some(server) = door.server(request.headers()) else {
        return (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
            "Send the token as `Authorization: Bearer TOKEN`; the server reads it from its --token-file.\n",
        )
            .into_response();
    };
    let Ok(_place) = door.places.try_acquire() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "1")],
            "Too many questions at once; ask again in a second.\n",
        )
            .into_response();
    };
    match tokio::time::timeout(PATIENCE, server.handle(request)).await {
        Ok(response) => response.map(Body::new),
        Err(_) => {
            let said = format!("There was no answer within {} s; ask for less.\n", PATIENCE.as_secs());
            (StatusCode::GATEWAY_TIMEOUT, said).into_response()
        }
    }
}

/// The token that a caller sends.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
