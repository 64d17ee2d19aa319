//! A store on Postgres: the network between, the server, and what others do on it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use throughline::Throughline;
use throughline::delivery::ThroughlineBuilder;
use throughline::store::{PostgresStore, SqliteSpool, StoreConfig as _, TraceReader};
use tokio_postgres::NoTls;

use crate::load::Load;
use crate::postgres_server::{Database, Server, is_left_out};
use crate::proxy::{self, Proxy, Weather};
use crate::retry;
use crate::row::Row;

const DESTINATION: &str = "Postgres";
/// Longer than an answer takes, and shorter than an attempt may take.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A database behind a proxy.
struct Remote {
    database: Database,
    proxy: Proxy,
}

impl Remote {
    fn new() -> Option<Self> {
        let database = Database::new()?;
        let proxy = Proxy::to(proxy::Server::postgres(database.server.folder()));
        Some(Self { database, proxy })
    }

    fn builder(&self) -> ThroughlineBuilder {
        builder(&self.proxy, "postgres", &self.database.name)
    }

    async fn reader(&self) -> Arc<dyn TraceReader> {
        self.database.store().open_readers().await.unwrap().reader
    }

    /// Plays a row in which the weather between us and the server changes, and is fair again.
    async fn weather(&self, row: Row, change: impl AsyncFnOnce(&Load, &Proxy)) {
        let throughline = self.builder().build_async().await.unwrap();
        let reader = self.reader().await;
        let fault = async |load: &Load| {
            change(load, &self.proxy).await;
            self.proxy.set(Weather::Fair);
        };
        row.play(&throughline, &*reader, fault).await;
    }

    /// Ends every session but the one that asks.
    fn cut(&self) {
        self.database.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
}

fn builder(proxy: &Proxy, user: &str, database: &str) -> ThroughlineBuilder {
    let url = format!("host=127.0.0.1 port={} user={user} dbname={database}", proxy.port());
    Throughline::builder("load").store(PostgresStore::new(url)).retry(retry())
}

fn row(place: u32, fault: &'static str) -> Row {
    Row { place, destination: DESTINATION, fault }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_network() {
    let Some(remote) = Remote::new() else { return };
    let slow = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Slow(Duration::from_millis(20)));
        load.told(200).await;
    };
    remote.weather(row(1, "20 ms each way"), slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_stalls_for_a_moment() {
    let Some(remote) = Remote::new() else { return };
    let stalls = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Stalled);
        load.is_quiet_for(A_MOMENT).await;
    };
    remote.weather(row(2, "the network stalls for 0.2 s"), stalls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_stalls_for_longer_than_anybody_waits() {
    let Some(remote) = Remote::new() else { return };
    let stalls = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Stalled);
        load.refused(16).await;
    };
    remote.weather(row(3, "the network stalls until emitters are told"), stalls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset() {
    let Some(remote) = Remote::new() else { return };
    let resets = async |load: &Load, proxy: &Proxy| {
        for _ in 0..5 {
            proxy.reset();
            load.acknowledged(20).await;
        }
    };
    remote.weather(row(4, "all connections are reset, five times"), resets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_not_be_reached() {
    let Some(remote) = Remote::new() else { return };
    let down = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Down);
        load.refused(16).await;
    };
    remote.weather(row(5, "every connection is reset until emitters are told"), down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_after_the_commit() {
    let Some(remote) = Remote::new() else { return };
    let lost = async |load: &Load, proxy: &Proxy| {
        for _ in 0..3 {
            proxy.set(Weather::AnswersLost);
            load.is_quiet_for(A_MOMENT).await;
            proxy.set(Weather::Fair);
            load.acknowledged(20).await;
        }
    };
    remote.weather(row(6, "answers are lost after the commit, three times"), lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_half_closed() {
    let Some(remote) = Remote::new() else { return };
    let half_closed = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::HalfClosed);
        load.refused(16).await;
    };
    remote.weather(row(7, "connections are half-closed until emitters are told"), half_closed).await;
}

/// Plays a row on a server of its own.
async fn on_a_server(row: Row, fault: impl AsyncFnOnce(&Load, &mut Server)) {
    if is_left_out() {
        return;
    }
    let mut server = Server::start();
    let name = server.database();
    let proxy = Proxy::to(proxy::Server::postgres(server.folder()));
    let throughline = builder(&proxy, "postgres", &name).build_async().await.unwrap();
    let reader = PostgresStore::new(server.url(&name)).open_readers().await.unwrap().reader;
    row.play(&throughline, &*reader, async |load: &Load| fault(load, &mut server).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted() {
    on_a_server(row(8, "the server is restarted"), async |_, server| server.end_and_restart("-INT")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes() {
    on_a_server(row(9, "the server crashes and recovers"), async |_, server| server.end_and_restart("-QUIT"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped() {
    let stopped = async |load: &Load, server: &mut Server| {
        let processes = server.psql("postgres", "SELECT pid FROM pg_stat_activity").unwrap();
        let postmaster = std::fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap();
        let processes: Vec<_> = postmaster.lines().take(1).chain(processes.lines()).collect();
        // The session that asked is gone by now.
        let signal = |signal| Command::new("kill").arg(signal).args(&processes).output().unwrap();
        signal("-STOP");
        load.refused(16).await;
        signal("-CONT");
    };
    on_a_server(
        row(10, "every process of the server is stopped by SIGSTOP until emitters are told"),
        stopped,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_ended_by_an_administrator() {
    let Some(remote) = Remote::new() else { return };
    let ended = async |load: &Load, _: &Proxy| {
        for _ in 0..5 {
            remote.cut();
            load.acknowledged(20).await;
        }
    };
    remote.weather(row(11, "an administrator ends all sessions, five times"), ended).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_becomes_read_only() {
    let Some(remote) = Remote::new() else { return };
    let name = remote.database.name.clone();
    let read_only = async |load: &Load, _: &Proxy| {
        let set = |to| format!("ALTER DATABASE {name} SET default_transaction_read_only = {to}");
        remote.database.psql(&set("on"));
        // Only new sessions are.
        remote.cut();
        load.refused(16).await;
        remote.database.server.psql("postgres", &set("off")).unwrap();
        remote.cut();
    };
    remote
        .weather(row(12, "the server is read-only until emitters are told, as after a failover"), read_only)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_free_connection() {
    let Some(remote) = Remote::new() else { return };
    let Remote { database, proxy } = &remote;
    let role = format!("app_{}", database.name);
    database.psql(&format!("CREATE ROLE {role} LOGIN; ALTER DATABASE {} OWNER TO {role}", database.name));
    let throughline = builder(proxy, &role, &database.name).build_async().await.unwrap();
    let reader = remote.reader().await;
    let full = async |load: &Load| {
        let limit = |to: i32| database.psql(&format!("ALTER ROLE {role} CONNECTION LIMIT {to}"));
        limit(0);
        remote.cut();
        load.refused(16).await;
        limit(-1);
    };
    row(13, "the server has no free connection until emitters are told")
        .play(&throughline, &*reader, full)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_somebody_else_locks() {
    let Some(remote) = Remote::new() else { return };
    let (other, connection) = tokio_postgres::connect(&remote.database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let locked = async |load: &Load, _: &Proxy| {
        other.batch_execute("BEGIN; LOCK TABLE throughline.event IN ACCESS EXCLUSIVE MODE").await.unwrap();
        load.refused(16).await;
        other.batch_execute("ROLLBACK").await.unwrap();
    };
    remote.weather(row(14, "another session locks the events until emitters are told"), locked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_not_be_reached_with_a_spool() {
    let Some(remote) = Remote::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let builder = remote.builder().spool(SqliteSpool::new(folder.path().join("spool.db")));
    let throughline = builder.build_async().await.unwrap();
    let reader = remote.reader().await;
    let down = async |load: &Load| {
        remote.proxy.set(Weather::Down);
        load.acknowledged(2_000).await;
        remote.proxy.set(Weather::Fair);
    };
    let row =
        Row { destination: "Postgres and a spool", ..row(20, "every connection is reset for 2,000 events") };
    let report = row.play(&throughline, &*reader, down).await;
    assert!(report.is_complete(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_while_a_spool_is_drained() {
    let Some(remote) = Remote::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let builder = remote.builder().spool(SqliteSpool::new(folder.path().join("spool.db")));
    let throughline = builder.build_async().await.unwrap();
    let reader = remote.reader().await;
    let lost = async |load: &Load| {
        remote.proxy.set(Weather::Down);
        load.acknowledged(1_000).await;
        for _ in 0..3 {
            remote.proxy.set(Weather::AnswersLost);
            load.acknowledged(500).await;
            remote.proxy.set(Weather::Fair);
        }
    };
    let row =
        Row { destination: "Postgres and a spool", ..row(21, "answers are lost while the spool is drained") };
    let report = row.play(&throughline, &*reader, lost).await;
    assert!(report.is_complete(), "{report:?}");
}
