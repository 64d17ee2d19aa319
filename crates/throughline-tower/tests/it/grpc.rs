//! A server of tonic behind the layer.

use std::pin::Pin;

use throughline_core::{Status, TraceContext};
use throughline_tower::LayerExt as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::support::Story;

/// Answers as its client asks it to.
struct Obliging;

type Answer = Result<HealthCheckResponse, tonic::Status>;

#[tonic::async_trait]
impl Health for Obliging {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
        let ctx = request.extensions().get::<TraceContext>().unwrap().clone();
        match request.into_inner().service.as_str() {
            "panic" => panic!("the check broke"),
            "internal" => Err(tonic::Status::internal("the check failed")),
            "unknown" => Err(tonic::Status::not_found("no such service")),
            _ => {
                ctx.trace_infallible("stage:check", async {}).await.unwrap();
                Ok(tonic::Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
            }
        }
    }

    type WatchStream = Pin<Box<dyn futures_util::Stream<Item = Answer> + Send>>;

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
        let messages = [Ok(serving), Err(tonic::Status::data_loss("the rest is gone"))];
        Ok(tonic::Response::new(Box::pin(futures_util::stream::iter(messages))))
    }
}

async fn start() -> (Story, HealthClient<tonic::transport::Channel>) {
    let story = Story::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .layer(story.throughline.layer())
        .add_service(HealthServer::new(Obliging))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let channel = tonic::transport::Endpoint::new(url).unwrap().connect().await.unwrap();
    (story, HealthClient::new(channel))
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn a_call_is_traced_and_its_answer_says_how_long_it_took() {
    let (story, mut client) = start().await;
    let answer = client.check(of("any")).await.unwrap();
    assert!(
        answer.metadata().contains_key("server-timing") && answer.metadata().contains_key("x-request-id")
    );
    let end = story.request_end().await;
    assert_eq!(end.status, Status::Success);
    assert_eq!(story.end_of("stage:check").await.parent_span_id, Some(end.span_id));
    assert_eq!(story.measured().await, "POST _unmatched 200");
}

#[tokio::test]
async fn a_status_that_is_the_servers_fault_is_a_failure_and_others_are_not() {
    let (story, mut client) = start().await;
    assert_eq!(client.check(of("unknown")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(story.measured().await, "POST _unmatched 200");
    assert_eq!(story.events().await, [], "a client's mistake is not worth a record");

    let (story, mut client) = start().await;
    assert_eq!(client.check(of("internal")).await.unwrap_err().code(), Code::Internal);
    assert_eq!(story.request_end().await.error.unwrap().kind, "grpc:13");
    assert_eq!(story.measured().await, "POST _unmatched 200 grpc:13");
}

#[tokio::test]
async fn a_status_in_the_trailers_counts_as_one_in_the_head() {
    let (story, mut client) = start().await;
    let mut messages = client.watch(of("any")).await.unwrap().into_inner();
    assert!(messages.message().await.unwrap().is_some());
    assert_eq!(messages.message().await.unwrap_err().code(), Code::DataLoss);
    assert_eq!(story.request_end().await.error.unwrap().kind, "grpc:15");
    assert_eq!(story.measured().await, "POST _unmatched 200 grpc:15");
}

#[tokio::test]
async fn a_panic_is_told_in_the_clients_own_terms() {
    let (story, mut client) = start().await;
    let status = client.check(of("panic")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "internal server error"));
    assert_eq!(story.request_end().await.error.unwrap().message, "the check broke");
    assert_eq!(story.measured().await, "POST _unmatched 200 panic");
    assert_eq!(client.check(of("any")).await.unwrap().into_inner().status(), ServingStatus::Serving);
}
