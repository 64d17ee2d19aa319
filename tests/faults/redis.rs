//! A feed on Redis beside a store: nothing that happens to it may cost an emitter anything.

use std::time::Duration;

use throughline::feed::RedisFeed;
use throughline::store::StoreConfig as _;
use throughline::{SqliteStore, Throughline};

use crate::load::Load;
use crate::proxy::{self, Proxy, Weather};
use crate::redis_server::{Server, is_there};
use crate::retry;
use crate::row::Row;

/// How many events are recorded while the feed is broken.
const MEANWHILE: u64 = 2_000;

/// Plays a row with a server behind a proxy. The store takes everything, whatever becomes of the feed.
async fn play(place: u32, fault: &'static str, change: impl AsyncFnOnce(&Load, &Proxy, &mut Server)) {
    if !is_there() {
        return;
    }
    let mut server = Server::start();
    let proxy = Proxy::to(proxy::Server::Tcp(server.port()));
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::new(folder.path().join("traces.db"));
    let feed = RedisFeed::new(format!("redis://127.0.0.1:{}/", proxy.port()));
    let builder = Throughline::builder("load").store(store.clone()).feed(feed).retry(retry());
    let throughline = builder.build_async().await.unwrap();
    let reader = store.open_readers().await.unwrap().reader;
    let row = Row { place, destination: "Redis, beside SQLite", fault };
    let change = async |load: &Load| {
        change(load, &proxy, &mut server).await;
        proxy.set(Weather::Fair);
    };
    let report = row.play(&throughline, &*reader, change).await;
    let store = &report.destinations[0];
    assert_eq!((store.dropped(), store.pending), (0, 0), "{store:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_network() {
    play(40, "20 ms each way", async |load, proxy, _| {
        proxy.set(Weather::Slow(Duration::from_millis(20)));
        load.acknowledged(MEANWHILE).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_stalls() {
    play(41, "the network stalls", async |load, proxy, _| {
        proxy.set(Weather::Stalled);
        load.acknowledged(MEANWHILE).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset() {
    play(42, "all connections are reset, five times", async |load, proxy, _| {
        for _ in 0..5 {
            proxy.reset();
            load.acknowledged(MEANWHILE / 5).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_not_be_reached() {
    play(43, "every connection is reset", async |load, proxy, _| {
        proxy.set(Weather::Down);
        load.acknowledged(MEANWHILE).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost() {
    play(44, "answers are lost", async |load, proxy, _| {
        proxy.set(Weather::AnswersLost);
        load.acknowledged(MEANWHILE).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed() {
    play(45, "the server is killed and started again", async |load, _, server| {
        server.kill();
        load.acknowledged(MEANWHILE).await;
        server.restart();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped() {
    play(46, "the server is stopped by SIGSTOP", async |load, _, server| {
        server.stop();
        load.acknowledged(MEANWHILE).await;
        server.resume();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory() {
    play(47, "the server has no memory left", async |load, _, server| {
        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        load.acknowledged(MEANWHILE).await;
        server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_becomes_a_replica() {
    play(
        48,
        "the server becomes a replica, which refuses to write, and is promoted",
        async |load, _, server| {
            server.command(&["REPLICAOF", "127.0.0.1", "1"]);
            load.acknowledged(MEANWHILE).await;
            server.command(&["REPLICAOF", "NO", "ONE"]);
        },
    )
    .await;
}
