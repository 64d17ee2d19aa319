//! How a store is let in.

use std::sync::{Arc, Mutex};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use azure_data_cosmos::options::{BinaryEncodingOptions, ConnectionPoolOptions};
use azure_data_cosmos::{AccountReference, CosmosClient, CosmosRuntime, RoutingStrategy};
use throughline_cosmos::CosmosStore;
use throughline_model::testing::run;
use throughline_model::{Instance, InstanceId, StoreConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::server::{Fate, KEY, Server};
use crate::{open, shared};

#[tokio::test]
async fn an_endpoint_with_https_is_spoken_to_in_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = CosmosStore::new(format!("https://{}", listener.local_addr().unwrap()), KEY, "audit");
    let opening = tokio::spawn(async move { store.open(Instance::new(InstanceId::random(), "test")).await });
    let (mut connection, _) = listener.accept().await.unwrap();
    assert_eq!(connection.read_u8().await.unwrap(), 22, "the handshake of TLS begins with it");
    drop((connection, listener));
    let error = opening.await.unwrap().map(drop).unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

/// An identity as those of `azure_identity` are.
#[derive(Debug)]
struct Identity;

#[async_trait::async_trait]
impl TokenCredential for Identity {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Ok(AccessToken::new("hunter2", OffsetDateTime::now_utc() + Duration::hours(1)))
    }
}

#[tokio::test]
async fn an_identity_is_let_in_by_its_token() {
    let server = Server::start();
    // An identity can't make the container.
    open(&server.store()).await;
    let store = CosmosStore::with_credential(server.endpoint(), Arc::new(Identity), "audit");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::clone(&seen);
    server.judge(move |request| {
        sent.lock().unwrap().push(request.authorization.to_owned());
        Fate::Answered
    });
    let opened = open(&store).await;
    let mut loan = run("loan");
    loan.root();
    opened.append(&shared(&loan.events())).await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(
        !seen.is_empty() && seen.iter().all(|sent| sent.contains("aad") && sent.contains("hunter2")),
        "{seen:?}"
    );
    assert!(!format!("{store:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_client_that_is_there_already_is_used() {
    let server = Server::start();
    let by_key = open(&server.store()).await;
    let pool = ConnectionPoolOptions::builder().with_is_http2_allowed(false).build().unwrap();
    let runtime = CosmosRuntime::builder().with_connection_pool(pool).build().await.unwrap();
    let account = AccountReference::with_authentication_key(server.endpoint().parse().unwrap(), KEY);
    let client = CosmosClient::builder()
        .with_runtime(runtime)
        .with_binary_encoding_options(BinaryEncodingOptions::default().with_enabled(false))
        .build(account, RoutingStrategy::PreferredRegions(Vec::new()))
        .await
        .unwrap();
    let store = CosmosStore::with_client(client, "audit");
    assert_eq!(store.location(), "cosmos:127.0.0.1/audit/throughline");
    let mut loan = run("loan");
    loan.root();
    open(&store).await.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(by_key.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
}
