//! WebSockets: the request ends at the upgrade, and the socket's life is a step of its own.

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::any;
use futures_util::{SinkExt as _, StreamExt as _};
use throughline_core::{Status, TraceContext, names};
use throughline_tower::{LayerExt as _, SocketSession};
use tokio_tungstenite::tungstenite;

use crate::side::{Side, serve};
use crate::support::{Server, eventually};

async fn echo(mut socket: WebSocket, ctx: TraceContext) -> Result<(), axum::Error> {
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Text(text) if text == "panic" => panic!("the client asked for it"),
            Message::Text(text) => {
                ctx.event("business:said", serde_json::json!({ "text": text.as_str() })).await.unwrap();
                socket.send(Message::Text(text)).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn upgrade(session: SocketSession, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move {
        session.run(|ctx| echo(socket, ctx)).await.unwrap().unwrap();
    })
}

async fn start() -> Server {
    Server::start(|router| router.route("/echo/{room}", any(upgrade))).await
}

async fn connect(
    server: &Server,
) -> tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>> {
    let url = server.url("/echo/7").replace("http", "ws");
    let (socket, answer) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert!(answer.headers().contains_key("x-request-id") && answer.headers().contains_key("server-timing"));
    socket
}

#[tokio::test]
async fn the_request_ends_at_the_upgrade_and_the_sockets_life_is_a_step_in_its_trace() {
    let server = start().await;
    let mut socket = connect(&server).await;
    assert_eq!(server.measured().await, "GET /echo/{room} 101");
    socket.send(tungstenite::Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "hello");

    let request = server.request_end().await;
    assert_eq!((request.status, request.parent_span_id), (Status::Success, None));
    // The socket's first event wrote the request, which had ended by then.
    assert_eq!(request.attrs.get(names::attrs::HTTP_STATUS), Some("101"));
    let events = server.events().await;
    let begun = events.iter().find(|event| event.event_type == names::WEBSOCKET_SESSION).unwrap();
    assert_eq!((begun.status, begun.parent_span_id), (Status::Pending, Some(request.span_id)));
    assert_eq!(begun.attrs.get(names::attrs::HTTP_ROUTE), Some("/echo/{room}"));
    let said = events.iter().find(|event| event.event_type == "business:said").unwrap();
    assert_eq!(said.parent_span_id, Some(begun.span_id));
    assert_eq!(server.gauge("throughline_websockets_active"), 1.0);

    socket.close(None).await.unwrap();
    assert_eq!(server.end_of(names::WEBSOCKET_SESSION).await.status, Status::Success);
    eventually(async || (server.gauge("throughline_websockets_active") == 0.0).then_some(())).await;
}

#[tokio::test]
async fn a_panic_on_a_socket_is_recorded_and_the_socket_is_not_counted_any_more() {
    let server = start().await;
    let mut socket = connect(&server).await;
    socket.send(tungstenite::Message::text("panic")).await.unwrap();
    let end = server.end_of(names::WEBSOCKET_SESSION).await;
    assert_eq!(
        (end.status, end.error.unwrap().message.as_str()),
        (Status::Failed, "the client asked for it")
    );
    eventually(async || (server.gauge("throughline_websockets_active") == 0.0).then_some(())).await;
}

#[tokio::test]
async fn a_request_that_does_not_ask_for_a_socket_is_told_to() {
    let server = start().await;
    let answer = server.get("/echo/7").await;
    assert_eq!(answer.status(), StatusCode::UPGRADE_REQUIRED);
    // RFC 9110, section 15.5.22: it must say to what.
    let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!((header("upgrade"), header("connection")), (Some("websocket"), Some("upgrade")));
    insta::assert_snapshot!(
        answer.text().await.unwrap(),
        @"this endpoint is a WebSocket: send `Connection: upgrade` and `Upgrade: websocket`"
    );
}

#[tokio::test]
async fn without_the_layer_a_sound_request_is_not_blamed() {
    let app = axum::Router::new().route("/echo/{room}", any(upgrade));
    let request = http::Request::get("/echo/7")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = tower::ServiceExt::oneshot(app, request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

/// The handshakes counted so far, by outcome.
fn handshakes(side: &Side) -> Vec<String> {
    let recorded = side.recorded("websocket_upgrades");
    let series = recorded.into_iter().filter(|(_, values)| values[0] > 0.0);
    series
        .map(|(series, values)| {
            let labels = series.trim_start_matches("throughline_websocket_upgrades_total").to_owned();
            format!("{labels} {}", values[0])
        })
        .collect()
}

#[tokio::test]
async fn handshakes_are_counted_by_how_they_were_answered() {
    let side = Side::new("prices");
    let app = axum::Router::new()
        .route("/echo/{room}", any(upgrade))
        .route("/full", any(async || StatusCode::FORBIDDEN))
        .route("/broken", any(async || StatusCode::BAD_GATEWAY))
        .layer(side.throughline.layer());
    let url = serve(app).await.replace("http", "ws");
    let connect = async |path: &str| tokio_tungstenite::connect_async(format!("{url}{path}")).await.is_ok();
    assert!(connect("/echo/7").await);
    for refused in ["/full", "/broken", "/nowhere"] {
        assert!(!connect(refused).await);
    }
    // Who does not shake hands is not counted, whatever it asks for.
    crate::support::http().get(format!("{}/echo/7", url.replace("ws", "http"))).send().await.unwrap();
    let other = crate::support::http().get(format!("{}/full", url.replace("ws", "http")));
    other.header("connection", "upgrade").header("upgrade", "h2c").send().await.unwrap();
    assert_eq!(
        handshakes(&side),
        [
            "{http_route=/broken,outcome=failed} 1",
            "{http_route=/echo/{room},outcome=accepted} 1",
            "{http_route=/full,outcome=refused} 1",
            "{http_route=_unmatched,outcome=refused} 1",
        ]
    );
}
