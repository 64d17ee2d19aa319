//! The queue: jobs in Redis, as apalis keeps them.

use std::time::Duration;

use anyhow::Context as _;
use apalis_redis::{Config, RedisStorage};
use serde::{Deserialize, Serialize};

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

/// How many jobs nobody has taken yet.
pub(crate) async fn waiting(mut queue: Queue) -> Result<u64, redis::RedisError> {
    let list = queue.get_config().active_jobs_list();
    redis::cmd("LLEN").arg(list).query_async(queue.get_connection()).await
}
