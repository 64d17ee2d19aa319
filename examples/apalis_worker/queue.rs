//! The queue: jobs in Redis, as apalis keeps them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
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

/// A Redis server of our own; it ends with this.
pub(crate) struct Server {
    process: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts one on a Unix socket, which keeps nothing on disk.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
        command.arg("--unixsocket").arg(folder.path().join("redis.sock"));
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = started.context(
            "cannot start redis-server: install it (on Debian: apt-get install redis-server), or name one that runs \
             with --redis redis://127.0.0.1:6379/",
        )?;
        let said = process.stdout.take().context("redis-server says how it does")?;
        let mut server = Self { process, folder };
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        if !lines.any(|line| line.contains("eady to accept connections")) {
            bail!("redis-server ended with {} before it was ready", server.process.wait()?);
        }
        // What else it says is read, so that it is not held up by nobody listening.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
