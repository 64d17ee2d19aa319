//! Somebody who watches, in a process that records nothing itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use throughline::event::{InstanceId, TraceEvent};
use throughline::feed::{EventStream, FeedConfig as _, RedisFeed, StreamItem, TraceStream, WatchRequest};

use crate::{Destinations, PATIENCE};

/// What happens, as it comes from Redis.
pub(crate) struct Watcher {
    _stream: Arc<dyn TraceStream>,
    events: EventStream,
    /// The processes that were seen, by the order in which they appeared.
    instances: BTreeMap<InstanceId, usize>,
}

impl Watcher {
    pub(crate) async fn open(destinations: &Destinations) -> anyhow::Result<Self> {
        let stream = RedisFeed::new(&destinations.feed).open_stream().await?;
        let stream = stream.context("this feed can be watched")?;
        let events = stream.watch(WatchRequest::new()).await?;
        Ok(Self { _stream: stream, events, instances: BTreeMap::new() })
    }

    /// Shows what happens until this does.
    pub(crate) async fn show_until(&mut self, is_it: impl Fn(&TraceEvent) -> bool) -> anyhow::Result<()> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.events.next()).await;
            let next = next.context("nothing more happens")?.context("the watch has ended")??;
            let StreamItem::Event { event, .. } = next else { bail!("the watcher missed events") };
            let seen = self.instances.len() + 1;
            let process = self.instances.entry(event.instance).or_insert(seen);
            println!("  process {process}  {:<22} {}", event.event_type, event.status.as_str());
            if is_it(&event) {
                return Ok(());
            }
        }
    }
}
