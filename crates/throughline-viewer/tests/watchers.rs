//! Two hundred pages that are told of what is new, beside a service that works: in a process of its own, whose memory is looked at.
//!
//! It takes some seconds; `THROUGHLINE_WATCHERS_SECONDS=600` makes it take ten minutes, and measures how long an emitter takes.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail a test too")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use throughline_core::{MemoryFeed, MemoryStore, Throughline};
use throughline_viewer::Viewer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const WATCHERS: usize = 200;
/// How many events the store keeps: it is full before memory is looked at.
const KEPT: usize = 5_000;
/// How many runs one round measures.
const ROUND: usize = 400;
/// How many rounds it takes at least.
const ROUNDS: usize = 5;
/// How many events a run has.
const EVENTS: usize = 4;
/// More than this is growth.
const GROWTH: u64 = 24 << 20;

fn service() -> Throughline {
    let store = MemoryStore::new().capacity(KEPT);
    Throughline::builder("loan-service").store(store).feed(MemoryFeed::new()).build().unwrap()
}

/// How long each of some runs took, in microseconds, at the pace of a busy service.
async fn round(service: &Throughline) -> Vec<u64> {
    let mut pace = tokio::time::interval(Duration::from_micros(500));
    let mut took = Vec::with_capacity(ROUND);
    for _ in 0..ROUND {
        pace.tick().await;
        let began = Instant::now();
        let run = service
            .workflow("loan-approval")
            .run_infallible(|ctx| async move { ctx.trace_infallible("stage:credit-score", async {}).await });
        run.await.unwrap().unwrap();
        took.push(u64::try_from(began.elapsed().as_micros()).unwrap());
    }
    took
}

fn p99(took: &mut [u64]) -> u64 {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// The memory of this process, in bytes.
fn memory() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// A page that comes back whenever its connection ends, and says where it was; and that it is there, when it is for the first time.
async fn watch(address: std::net::SocketAddr, told: Arc<AtomicU64>, arrived: Arc<AtomicU64>) {
    let mut last = String::new();
    let mut has_arrived = false;
    loop {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let again = if last.is_empty() { String::new() } else { format!("last-event-id: {last}\r\n") };
        let request = format!("GET /api/live HTTP/1.1\r\nhost: {address}\r\n{again}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let (mut rest, mut part) = (String::new(), vec![0; 64 << 10]);
        let mut is_first = true;
        loop {
            let length = socket.read(&mut part).await.unwrap();
            rest.push_str(&String::from_utf8_lossy(&part[..length]));
            if is_first && rest.contains('\n') {
                assert!(rest.starts_with("HTTP/1.1 200"), "{rest}");
                arrived.fetch_add(u64::from(!has_arrived), Ordering::Relaxed);
                (is_first, has_arrived) = (false, true);
            }
            if length == 0 || rest.ends_with("0\r\n\r\n") {
                break;
            }
            // What is left is a line that has not ended.
            while let Some((line, tail)) = rest.split_once('\n') {
                if let Some(id) = line.strip_prefix("id: ") {
                    last = id.trim().to_owned();
                    told.fetch_add(1, Ordering::Relaxed);
                }
                rest = tail.to_owned();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_pages_take_no_more_memory_as_time_passes_and_hold_up_nobody_who_emits() {
    let seconds = std::env::var("THROUGHLINE_WATCHERS_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse::<u64>().expect("a number of seconds"));
    let (watched, unwatched) = (service(), service());
    let viewer = Viewer::of(&watched).max_watchers(WATCHERS).max_watchers_of_each_client(WATCHERS);
    let bound = viewer.build().unwrap().bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = bound.address();
    let server = tokio::spawn(async move { bound.serve().await.unwrap() });
    let (told, arrived) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let pages: Vec<_> = (0..WATCHERS)
        .map(|_| tokio::spawn(watch(address, Arc::clone(&told), Arc::clone(&arrived))))
        .collect();

    // The store is full, and all pages have been told something.
    let mut rounds = 0;
    while rounds * ROUND * EVENTS < 2 * KEPT
        || told.load(Ordering::Relaxed) < 4 * WATCHERS as u64
        || arrived.load(Ordering::Relaxed) < WATCHERS as u64
    {
        assert!(pages.iter().all(|page| !page.is_finished()), "a page was turned away");
        round(&watched).await;
        round(&unwatched).await;
        rounds += 1;
    }
    let (before, told_before, began) = (memory(), told.load(Ordering::Relaxed), Instant::now());
    let (mut with, mut without, mut most) = (Vec::new(), Vec::new(), before);
    while with.len() < ROUNDS
        || began.elapsed() < Duration::from_secs(seconds.unwrap_or_default())
        || told.load(Ordering::Relaxed) < told_before + WATCHERS as u64
    {
        with.push(p99(&mut round(&watched).await));
        without.push(p99(&mut round(&unwatched).await));
        most = most.max(memory());
    }
    assert!(pages.iter().all(|page| !page.is_finished()), "a page was turned away");
    let (after, told) = (memory(), told.load(Ordering::Relaxed) - told_before);
    let median = |rounds: &mut Vec<u64>| {
        rounds.sort_unstable();
        rounds[rounds.len() / 2]
    };
    let (with, without) = (median(&mut with), median(&mut without));
    println!(
        "{WATCHERS} pages for {} s: {told} messages; memory {} MB before, {} MB after, {} MB at most; \
         a run takes {with} µs (p99, median of rounds), {without} µs where nobody watches",
        began.elapsed().as_secs(),
        before >> 20,
        after >> 20,
        most >> 20,
    );
    assert!(after < before + GROWTH, "memory grew from {before} to {after} bytes");
    if let Some(seconds) = seconds {
        assert!(told >= seconds * WATCHERS as u64, "not everybody was told something each second: {told}");
        assert!(with < 4 * without + 2_000, "an emitter takes {with} µs in the place of {without} µs");
    }
    pages.iter().for_each(tokio::task::JoinHandle::abort);
    server.abort();
}
