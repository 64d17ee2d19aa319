//! The tests of the store against Microsoft's emulator, of which each test starts its own.
#![expect(clippy::unwrap_used, reason = "a test that goes wrong must fail")]

mod access;
mod charges;
mod conformance;
mod container;
mod faults;
mod pages;
mod server;
mod writers;

use std::sync::Arc;

use azure_data_cosmos::options::{BinaryEncodingOptions, ConnectionPoolOptions};
use azure_data_cosmos::{AccountReference, CosmosClient, CosmosRuntime, RoutingStrategy};
use throughline_cosmos::CosmosStore;
use throughline_model::{AppendError, Instance, InstanceId, StoreConfig, TraceEvent, TraceStore};

use crate::server::{KEY, Server};

/// A client of the SDK.
async fn client(server: &Server) -> CosmosClient {
    let pool = ConnectionPoolOptions::builder().with_is_http2_allowed(false).build().unwrap();
    let runtime = CosmosRuntime::builder().with_connection_pool(pool).build().await.unwrap();
    let account = AccountReference::with_authentication_key(server.endpoint().parse().unwrap(), KEY);
    CosmosClient::builder()
        .with_runtime(runtime)
        .with_binary_encoding_options(BinaryEncodingOptions::default().with_enabled(false))
        .build(account, RoutingStrategy::PreferredRegions(Vec::new()))
        .await
        .unwrap()
}

/// Opens a store as a new instance.
async fn open(store: &CosmosStore) -> Arc<dyn TraceStore> {
    store.open(Instance::new(InstanceId::random(), "test")).await.unwrap()
}

fn shared(events: &[TraceEvent]) -> Vec<Arc<TraceEvent>> {
    events.iter().cloned().map(Arc::new).collect()
}

/// Appends as delivery does: an error that passes is no reason to give up. Returns the errors.
async fn append_until_taken(store: &dyn TraceStore, events: &[Arc<TraceEvent>]) -> Vec<AppendError> {
    let mut errors = Vec::new();
    while let Err(error) = store.append(events).await {
        assert!(error.is_retryable(), "{error}");
        errors.push(error);
        assert!(errors.len() < 1000, "it never passes: {errors:?}");
        tokio::task::yield_now().await;
    }
    errors
}
