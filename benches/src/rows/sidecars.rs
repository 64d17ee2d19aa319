//! The commands that watch a service from beside it: how fast they are, and how much memory they take.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::{Bench, command};
use crate::duel::{bar, by_turns, nanos};
use crate::machine::peak_memory;
use crate::report::{Line, Target, megabytes, rate, time};

pub(super) const NAME: &str = "sidecars";

/// How many lines of a log are there when it is read, and how many a second are then added for how many seconds.
const THERE: usize = 1_000_000;
const A_SECOND: usize = 100_000;
const SECONDS: usize = 10;
/// How many lines are written at once.
const AT_ONCE: usize = A_SECOND / 1_000;
/// How many series a page of metrics has.
const SERIES: usize = 100_000;
/// What the commands may keep.
const MEMORY: f64 = 128.0;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let folder = bench.folder.path();
    let mut lines = logs(&folder.join("service.log"))?.to_vec();
    lines.extend(scrape(&folder.join("page.txt"))?);
    Ok(lines)
}

/// A line as a service logs it.
fn log_line(number: usize) -> String {
    let level = if number.is_multiple_of(50) { "WARN" } else { "INFO" };
    format!(
        "{{\"timestamp\":\"2026-03-01T09:30:{:02}.{:06}Z\",\"level\":\"{level}\",\"message\":\"credit check answered\",\
         \"service\":\"loan-service\",\"target\":\"loans::credit\",\"trace_id\":\"{number:032x}\",\
         \"span_id\":\"{number:016x}\",\"correlation_id\":\"loan-{number}\",\
         \"metadata\":{{\"score\":712,\"bureau\":\"north\"}}}}\n",
        number / 1_000_000 % 60,
        number % 1_000_000
    )
}

/// The command on one core.
fn on_one_core() -> anyhow::Result<Command> {
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", "0"]).arg(command()?.get_program());
    Ok(pinned)
}

fn logs(path: &Path) -> anyhow::Result<[Line; 3]> {
    let mut file = File::create(path)?;
    for chunk in 0..THERE / A_SECOND {
        let lines: String = (chunk * A_SECOND..(chunk + 1) * A_SECOND).map(log_line).collect();
        file.write_all(lines.as_bytes())?;
    }
    let read = || {
        let began = Instant::now();
        let status =
            on_one_core()?.arg("logs").arg(path).arg("--no-follow").stdout(Stdio::null()).status()?;
        ensure!(status.success(), "`throughline logs` ended with {status}");
        Ok(THERE as f64 / began.elapsed().as_secs_f64())
    };
    let [read] = by_turns(NAME, 3, [Box::new(read)])?;
    let (late, memory) = follow(path, &mut file)?;
    let on_one_core = read.median();
    Ok([
        Line {
            what: "lines a second that `throughline logs` shows on one core".to_owned(),
            ours: rate(on_one_core),
            peer: "as many as 100,000/s".to_owned(),
            value: (on_one_core / A_SECOND as f64).into(),
            target: Target::RatioAtLeast(1.0),
        },
        Line {
            what: format!("the last of {} lines that are written at 100,000/s", A_SECOND * SECONDS),
            ours: format!("shown {} after it was written", time(late)),
            peer: String::new(),
            value: (late / 1e6).into(),
            target: Target::MillisBelow(1_000.0),
        },
        Line {
            what: "memory of `throughline logs` that follows them".to_owned(),
            ours: megabytes(memory),
            peer: String::new(),
            value: (memory / 1e6).into(),
            target: Target::MegabytesAtMost(MEMORY),
        },
    ])
}

/// How long after it was written the last line is shown, in nanoseconds, and how many bytes of memory it took at most.
fn follow(path: &Path, file: &mut File) -> anyhow::Result<(f64, f64)> {
    let mut process =
        on_one_core()?.arg("logs").arg(path).args(["--tail", "1"]).stdout(Stdio::piped()).spawn()?;
    let shown = BufReader::new(process.stdout.take().context("it has no output")?);
    let count = Arc::new(AtomicUsize::new(0));
    let reading = std::thread::spawn({
        let count = Arc::clone(&count);
        move || {
            for line in shown.split(b'\n') {
                if line.is_err() || count.fetch_add(1, Ordering::Relaxed) == A_SECOND * SECONDS {
                    break;
                }
            }
            Instant::now()
        }
    });
    // The line of before says that it has begun.
    while count.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let progress = bar("a log that grows", (A_SECOND * SECONDS) as u64);
    let began = Instant::now();
    for part in 0..A_SECOND * SECONDS / AT_ONCE {
        let from = THERE + part * AT_ONCE;
        let lines: String = (from..from + AT_ONCE).map(log_line).collect();
        file.write_all(lines.as_bytes())?;
        let due = Duration::from_millis(part as u64 + 1);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        progress.set_position((part * AT_ONCE) as u64);
    }
    let written = Instant::now();
    progress.finish_and_clear();
    let last = reading.join().map_err(|_| anyhow::anyhow!("what it shows can't be read"))?;
    let memory = peak_memory(process.id())?;
    process.kill()?;
    process.wait()?;
    Ok((nanos(last.saturating_duration_since(written)), memory))
}

/// A page of histograms and counters.
fn page() -> String {
    const BUCKETS: [&str; 18] = [
        "0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60",
        "300", "900", "3600", "+Inf",
    ];
    let mut page = String::from(
        "# HELP http_server_request_duration_seconds How long requests took.\n\
         # TYPE http_server_request_duration_seconds histogram\n",
    );
    let name = "http_server_request_duration_seconds";
    for route in 0..SERIES / (BUCKETS.len() + 2) {
        let labels = format!(r#"http_request_method="GET",http_route="/loans/{route}/{{id}}""#);
        for (at, bound) in BUCKETS.iter().enumerate() {
            let _ = writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {}", at * 7 + route);
        }
        let _ = writeln!(page, "{name}_sum{{{labels}}} {}.25", route * 3);
        let _ = writeln!(page, "{name}_count{{{labels}}} {}", 17 * 7 + route);
    }
    page
}

/// Answers every request with this page; how many there were.
fn serve(page: String) -> anyhow::Result<(SocketAddr, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // For as long as this process.
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { continue };
            count.fetch_add(1, Ordering::Relaxed);
            let mut request = [0; 4096];
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                page.len()
            );
            // Who hangs up is not answered.
            let _ = socket
                .read(&mut request)
                .and_then(|_| socket.write_all(head.as_bytes()))
                .and_then(|()| socket.write_all(page.as_bytes()));
        }
    });
    Ok((address, asked))
}

fn scrape(path: &Path) -> anyhow::Result<[Line; 2]> {
    let page = page();
    std::fs::write(path, &page)?;
    let (address, asked) = serve(page)?;
    let url = format!("http://{address}/metrics");
    let ours = || {
        let began = Instant::now();
        let status =
            command()?.args(["scrape", &url, "--times", "1", "--json"]).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "`throughline scrape` ended with {status}");
        Ok(nanos(began.elapsed()))
    };
    let promtool = || {
        let began = Instant::now();
        let output = Command::new("promtool").args(["check", "metrics"]).stdin(File::open(path)?).output();
        let output = output.context("`promtool` is missing: install the package prometheus")?;
        ensure!(output.status.code().is_some(), "`promtool` was killed");
        Ok(nanos(began.elapsed()))
    };
    let [ours, promtool] = by_turns(NAME, 5, [Box::new(ours), Box::new(promtool)])?;

    let before = asked.load(Ordering::Relaxed);
    let mut process =
        command()?.args(["scrape", &url, "--every", "100ms", "--json"]).stdout(Stdio::null()).spawn()?;
    while asked.load(Ordering::Relaxed) < before + 20 {
        ensure!(process.try_wait()?.is_none(), "`throughline scrape` ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    let memory = peak_memory(process.id())?;
    process.kill()?;
    process.wait()?;
    Ok([
        Line {
            what: format!("`throughline scrape` of a page of {SERIES} series, with starting up"),
            ours: time(ours.median()),
            peer: format!("`promtool check metrics` {}", time(promtool.median())),
            value: (ours.median() / 1e6).into(),
            target: Target::MillisBelow(300.0),
        },
        Line {
            what: "its memory after 20 such pages".to_owned(),
            ours: megabytes(memory),
            peer: String::new(),
            value: (memory / 1e6).into(),
            target: Target::MegabytesAtMost(MEMORY),
        },
    ])
}
