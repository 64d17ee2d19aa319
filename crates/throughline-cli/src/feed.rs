//! The live feed that a command line names.

use std::sync::Arc;

use throughline_core::{FeedConfig as _, TraceStream};
use throughline_redis::RedisFeed;

use crate::error::CliError;

/// What an address of a feed begins with.
const SCHEMES: &[&str] =
    &["redis:", "rediss:", "redis+unix:", "unix:", "valkey:", "valkeys:", "valkey+unix:"];

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
