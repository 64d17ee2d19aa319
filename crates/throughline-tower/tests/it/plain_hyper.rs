//! A service of plain hyper, without any framework.

use std::convert::Infallible;

use axum::body::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use throughline_core::{Status, TraceContext};
use throughline_tower::{LayerExt as _, RequestId};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

use crate::support::Story;

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let id = request.extensions().get::<RequestId>().unwrap().to_string();
    if request.uri().path() == "/panic" {
        panic!("the service broke");
    }
    let ctx = request.extensions().get::<TraceContext>().unwrap().clone();
    let body = ctx.trace_infallible("stage:read", request.into_body().collect()).await.unwrap().unwrap();
    Ok(Response::new(Full::new(Bytes::from(format!("{id} {}", body.to_bytes().len())))))
}

async fn start() -> (Story, String) {
    let story = Story::new();
    let service = ServiceBuilder::new().layer(story.throughline.layer()).service_fn(answer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    (story, url)
}

#[tokio::test]
async fn a_plain_service_has_its_context_and_its_paths_are_no_labels() {
    let (story, url) = start().await;
    let request = crate::support::http().post(format!("{url}/any/path")).header("x-request-id", "r-1");
    assert_eq!(request.body("seven").send().await.unwrap().text().await.unwrap(), "r-1 5");
    assert_eq!(story.request_end().await.status, Status::Success);
    assert_eq!(story.measured().await, "POST _unmatched 200");
}

#[tokio::test]
async fn a_panic_in_a_plain_service_is_an_answer_too() {
    let (story, url) = start().await;
    let answer = crate::support::http().get(format!("{url}/panic")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(story.request_end().await.error.unwrap().message, "the service broke");
    assert_eq!(story.measured().await, "GET _unmatched 500 panic");
}
