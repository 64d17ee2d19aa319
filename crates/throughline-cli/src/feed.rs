//! The live feed that a command line names.

use std::sync::Arc;

use throughline_core::{FeedConfig as _, TraceStream};
use throughline_redis::RedisFeed;

use crate::error::CliError;
use crate::store::Store;

/// What an address of a feed begins with.
const SCHEMES: &[&str] =
    &["redis:", "rediss:", "redis+unix:", "unix:", "valkey:", "valkeys:", "valkey+unix:"];

/// Where events can be followed as they happen: the named feed, or the store itself; `None` if neither supports it.
pub(crate) async fn of(feed: Option<&str>, store: &Store) -> Result<Option<Arc<dyn TraceStream>>, CliError> {
    match feed.filter(|feed| !feed.is_empty()) {
        Some(feed) => open(feed).await.map(Some),
        None => Ok(store.stream().await.ok().map(Arc::from)),
    }
}

/// Opens the feed at an address, which is never repeated: it may have a password in it.
pub(crate) async fn open(address: &str) -> Result<Arc<dyn TraceStream>, CliError> {
    if !SCHEMES.iter().any(|scheme| address.starts_with(scheme)) {
        return Err(CliError::Usage(
            "invalid feed: expected redis://HOST/, as in --feed redis://127.0.0.1/".into(),
        ));
    }
    let opened = RedisFeed::new(address).open_stream().await;
    let stream = opened.map_err(|error| CliError::Open { name: "the feed".to_owned(), error })?;
    stream.ok_or_else(|| CliError::Input("this feed can't be watched".into()))
}
