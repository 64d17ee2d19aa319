//! The queue: jobs in Redis, as apalis keeps them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use apalis_redis::{Config, RedisStorage};
use serde::{Deserialize, Serialize};
use throughline::event::Timestamp;
use throughline::worker::QueueDepth;

/// What the queue is called.
pub(crate) const NAME: &str = "payouts";

/// A job: to pay out a loan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Payout {
    pub(crate) loan: String,
    pub(crate) amount: u64,
}

/// The jobs that wait, and how they are put there. Cheap to clone.
pub(crate) type Queue = RedisStorage<Payout>;

/// Opens the queue on a server.
pub(crate) async fn open(url: &str) -> anyhow::Result<Queue> {
    let connected = apalis_redis::connect(url).await;
    let connection = connected.with_context(|| format!("no Redis server answers at {url}"))?;
    // A worker that is not heard of for ten seconds is dead: others take over its jobs.
    let config =
        Config::default().queue(NAME).heartbeat_interval(Duration::from_secs(5)).missed_heartbeats(2);
    Ok(RedisStorage::new(connection).with_config(config))
}

/// How many jobs could be taken and nobody has. apalis keeps new ones beside those that are due later, until a worker
/// looks.
pub(crate) async fn waiting(mut queue: Queue) -> Result<u64, redis::RedisError> {
    let config = queue.get_config();
    let mut both = redis::pipe();
    both.cmd("LLEN").arg(config.active_jobs_list());
    both.cmd("ZCOUNT")
        .arg(config.scheduled_jobs_set())
        .arg("-inf")
        .arg(Timestamp::now().as_micros() / 1_000_000);
    let (listed, due): (u64, u64) = both.query_async(queue.get_connection()).await?;
    Ok(listed + due)
}

/// Waits until the queue has reported a depth like this.
pub(crate) async fn until(depth: &QueueDepth, is_reached: impl Fn(u64) -> bool) -> anyhow::Result<()> {
    let reached = async {
        while !depth.latest().is_some_and(&is_reached) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), reached).await.is_err() {
        let why = depth.error().unwrap_or_else(|| "somebody else may be using it".to_owned());
        bail!("the queue has a depth of {:?} after 20 s: {why}", depth.latest());
    }
    Ok(())
}
