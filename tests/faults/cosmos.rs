//! A store in Azure Cosmos DB: the network between, the server, and what the service answers. The server keeps its data in memory,
//! so it is cut off and stopped, and never killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use throughline::Throughline;
use throughline::delivery::ThroughlineBuilder;
use throughline::store::{CosmosStore, SqliteSpool, StoreConfig as _};

use crate::cosmos_server::{Fate, KEY, Seen, Server};
use crate::load::Load;
use crate::proxy::{self, Proxy, Weather};
use crate::retry;
use crate::row::Row;

/// Whether a process of this test binary is a server.
const SERVES: &str = "THROUGHLINE_FAULTS_SERVES";
/// Longer than an answer takes, and shorter than an attempt may take.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A server behind a proxy.
struct Remote {
    server: Server,
    proxy: Proxy,
}

impl Remote {
    fn new() -> Self {
        let mut proxy = None;
        let server = Server::behind(|port| proxy.insert(Proxy::to(proxy::Server::Tcp(port))).port());
        Self { server, proxy: proxy.unwrap() }
    }

    fn builder(&self) -> ThroughlineBuilder {
        Throughline::builder("load").store(self.server.store()).retry(retry())
    }

    /// Plays a row in which the weather between us and the server changes, and is fair again.
    async fn weather(&self, row: Row, change: impl AsyncFnOnce(&Load, &Proxy)) {
        let throughline = self.builder().build_async().await.unwrap();
        let reader = self.server.store().open_readers().await.unwrap().reader;
        let fault = async |load: &Load| {
            change(load, &self.proxy).await;
            self.proxy.set(Weather::Fair);
        };
        row.play(&throughline, &*reader, fault).await;
    }
}

fn row(place: u32, fault: &'static str) -> Row {
    Row { place, destination: "Cosmos DB", fault }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_network() {
    let slow = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Slow(Duration::from_millis(20)));
        load.told(200).await;
    };
    Remote::new().weather(row(60, "20 ms each way"), slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_stalls_for_a_moment() {
    let stalls = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Stalled);
        load.is_quiet_for(A_MOMENT).await;
    };
    Remote::new().weather(row(61, "the network stalls for 0.2 s"), stalls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_stalls_for_longer_than_anybody_waits() {
    let stalls = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Stalled);
        load.refused(16).await;
    };
    Remote::new().weather(row(62, "the network stalls until emitters are told"), stalls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset() {
    let resets = async |load: &Load, proxy: &Proxy| {
        for _ in 0..5 {
            proxy.reset();
            load.acknowledged(20).await;
        }
    };
    Remote::new().weather(row(63, "all connections are reset, five times"), resets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_not_be_reached() {
    let down = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Down);
        load.refused(16).await;
    };
    Remote::new().weather(row(64, "every connection is reset until emitters are told"), down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_after_the_commit() {
    let lost = async |load: &Load, proxy: &Proxy| {
        for _ in 0..3 {
            proxy.set(Weather::AnswersLost);
            load.is_quiet_for(A_MOMENT).await;
            proxy.set(Weather::Fair);
            load.acknowledged(20).await;
        }
    };
    Remote::new().weather(row(65, "answers are lost after the commit, three times"), lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_half_closed() {
    let half_closed = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::HalfClosed);
        load.refused(16).await;
    };
    Remote::new().weather(row(66, "connections are half-closed until emitters are told"), half_closed).await;
}

/// Plays a row in which the service answers like this, until so many more were told something.
async fn answers(
    row: Row,
    judge: impl FnMut(&Seen<'_>) -> Fate + Send + 'static,
    until: impl AsyncFnOnce(&Load),
) {
    let remote = Remote::new();
    let throughline = remote.builder().build_async().await.unwrap();
    let reader = remote.server.store().open_readers().await.unwrap().reader;
    let fault = async |load: &Load| {
        remote.server.judge(judge);
        until(load).await;
        remote.server.recover();
    };
    row.play(&throughline, &*reader, fault).await;
}

/// Of batches, each of so many has this fate.
fn each(nth: usize, fate: impl Fn() -> Fate + Send + 'static) -> impl FnMut(&Seen<'_>) -> Fate + Send {
    let mut batches = 0;
    move |request| {
        batches += usize::from(request.is_batch);
        if request.is_batch && batches % nth == 0 { fate() } else { Fate::Answered }
    }
}

async fn enough(load: &Load) {
    load.acknowledged(200).await;
}

async fn until_told(load: &Load) {
    load.refused(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_throttles() {
    let row = row(67, "two of three batches meet 429, which asks for 20 ms");
    let mut batches = 0;
    let judge = move |request: &Seen<'_>| {
        batches += usize::from(request.is_batch);
        if request.is_batch && batches % 3 > 0 { Fate::Refused(429, Some(20)) } else { Fate::Answered }
    };
    answers(row, judge, enough).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_throttles_everything() {
    let row = row(68, "every request meets 429, which asks for 50 ms, until emitters are told");
    answers(row, |_| Fate::Refused(429, Some(50)), until_told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_not_available() {
    let row = row(69, "every request meets 503 until emitters are told");
    answers(row, |_| Fate::Refused(503, None), until_told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_does_not_answer_in_time() {
    let row = row(70, "every third batch is committed and answered with 408");
    answers(row, each(3, || Fate::DoneBut(408)), enough).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_busy_with_the_same_document() {
    let row = row(71, "every third batch meets 449");
    answers(row, each(3, || Fate::Refused(449, None)), enough).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_moves_its_partitions() {
    let row = row(72, "every third batch meets 410");
    answers(row, each(3, || Fate::Refused(410, None)), enough).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_takes_no_writes() {
    let row = row(73, "every batch meets 403 until emitters are told, as in a failover");
    answers(row, each(1, || Fate::RefusedAs(403, 3)), until_told).await;
}

/// A server in a process of its own, which ends with this, behind a proxy.
struct Apart {
    child: Child,
    /// What it says at its end, too, somebody has to take.
    _said: Box<dyn Iterator<Item = String> + Send>,
    proxy: Proxy,
}

impl Apart {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "cosmos::this_process_serves_when_it_is_told_to", "--nocapture"]);
        command.env(SERVES, "yes").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Box::new(said.lines().map_while(Result::ok));
        let port = lines.find_map(|line| line.strip_prefix("port ")?.parse().ok()).expect("it says its port");
        let proxy = Proxy::to(proxy::Server::Tcp(port));
        // It ends with its standard input.
        writeln!(child.stdin.as_mut().unwrap(), "{}", proxy.port()).unwrap();
        assert!(lines.any(|line| line == "ready"), "it did not start");
        Self { child, _said: lines, proxy }
    }

    fn store(&self) -> CosmosStore {
        CosmosStore::new(format!("http://127.0.0.1:{}", self.proxy.port()), KEY, "audit")
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn this_process_serves_when_it_is_told_to() {
    if std::env::var_os(SERVES).is_none() {
        return;
    }
    let mut input = std::io::stdin().lock();
    let _server = Server::behind(|port| {
        println!("\nport {port}");
        let mut entrance = String::new();
        input.read_line(&mut entrance).unwrap();
        entrance.trim().parse().unwrap()
    });
    println!("ready");
    let _ = input.read(&mut [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped() {
    let server = Apart::start();
    let throughline =
        Throughline::builder("load").store(server.store()).retry(retry()).build_async().await.unwrap();
    let reader = server.store().open_readers().await.unwrap().reader;
    let stopped = async |load: &Load| {
        server.signal("-STOP");
        load.refused(16).await;
        server.signal("-CONT");
    };
    row(74, "the server is stopped by SIGSTOP until emitters are told")
        .play(&throughline, &*reader, stopped)
        .await;
}

/// Plays a row with a spool, from which everything is delivered in the end.
async fn with_a_spool(row: Row, fault: impl AsyncFnOnce(&Load, &Proxy)) {
    let remote = Remote::new();
    let folder = tempfile::tempdir().unwrap();
    let builder = remote.builder().spool(SqliteSpool::new(folder.path().join("spool.db")));
    let throughline = builder.build_async().await.unwrap();
    let reader = remote.server.store().open_readers().await.unwrap().reader;
    let fault = async |load: &Load| fault(load, &remote.proxy).await;
    let row = Row { destination: "Cosmos DB and a spool", ..row };
    let report = row.play(&throughline, &*reader, fault).await;
    assert!(report.is_complete(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_can_not_be_reached_with_a_spool() {
    let down = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Down);
        load.acknowledged(1_000).await;
        proxy.set(Weather::Fair);
    };
    with_a_spool(row(80, "every connection is reset for 1,000 events"), down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_while_a_spool_is_drained() {
    let lost = async |load: &Load, proxy: &Proxy| {
        proxy.set(Weather::Down);
        load.acknowledged(500).await;
        for _ in 0..3 {
            proxy.set(Weather::AnswersLost);
            load.acknowledged(200).await;
            proxy.set(Weather::Fair);
        }
    };
    with_a_spool(row(81, "answers are lost while the spool is drained"), lost).await;
}
