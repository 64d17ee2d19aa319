//! How a store is let in.

use std::sync::{Arc, Mutex};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration, OffsetDateTime};
use throughline_cosmos::CosmosStore;
use throughline_model::testing::run;
use throughline_model::{Instance, InstanceId, StoreConfig};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::server::{Fate, KEY, Server};
use crate::{client, open, shared};

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

/// An identity that is told no token, and says more about it than it should.
#[derive(Debug)]
struct Refused;

#[async_trait::async_trait]
impl TokenCredential for Refused {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        Err(azure_core::Error::with_message(
            azure_core::error::ErrorKind::Credential,
            "client_secret=hunter2",
        ))
    }
}

#[tokio::test]
async fn an_identity_that_gets_no_token_says_that_it_is_the_credential_and_not_which() {
    let server = Server::start();
    let store = CosmosStore::with_credential(server.endpoint(), Arc::new(Refused), "audit");
    let error = store.open(Instance::new(InstanceId::random(), "test")).await.map(drop).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("credential") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_client_that_is_there_already_is_used() {
    let server = Server::start();
    let by_key = open(&server.store()).await;
    let store = CosmosStore::with_client(client(&server).await, "audit");
    assert_eq!(store.location(), "cosmos:127.0.0.1/audit/throughline");
    let mut loan = run("loan");
    loan.root();
    open(&store).await.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(by_key.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
}
