//! A service under load from another process, with everything on, beside the same service without us.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::runtime::{Builder, Runtime};

use super::Bench;
use crate::duel::{Side, by_turns};
use crate::load::Load;
use crate::report::{Line, Target, rate, time};
use crate::visitors::{Pace, visit};

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_secs(2);
/// What part of the rate at which the slower of the two is saturated both get.
const PART: f64 = 0.8;
/// What the target allows a request beside a tenth.
const ALLOWED: f64 = 300_000.0;

const WITHOUT_STEPS: &str = "GET /rates";
const WITH_STEPS: &str = "POST /loans";

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let services =
        [Service::start("ours", bench.folder.path())?, Service::start("plain", bench.folder.path())?];
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let turn = |what: &str, request, pace| {
        let sides = services.each_ref().map(|service| service.visits(&runtime, request, pace));
        by_turns(&format!("service, {what}"), ROUNDS, sides)
    };
    let mut lines = Vec::new();
    for (what, request) in
        [("requests without a step", WITHOUT_STEPS), ("requests with three durable steps", WITH_STEPS)]
    {
        let saturated =
            turn(what, request, Pace::Closed)?.map(|side| side.of(|load| load.per_second).median());
        let pace = PART * saturated[0].min(saturated[1]);
        let [ours, peer] = turn(what, request, Pace::Open(pace))?;
        let peer_is = match request {
            WITH_STEPS => "writes three rows to SQLite by itself",
            _ => "the same without us",
        };
        let (own, others) = (ours.of(|load| load.per_second), peer.of(|load| load.per_second));
        lines.push(Line {
            what: format!("{what}, at {} (saturated: {})", rate(pace), rate(saturated[0])),
            ours: rate(own.median()),
            peer: format!("{peer_is}: {} (saturated: {})", rate(others.median()), rate(saturated[1])),
            value: own.ratio_to(&others),
            target: Target::RatioAtLeast(0.95),
        });
        if request == WITH_STEPS {
            let (own, others) = (ours.of(|load| load.p99), peer.of(|load| load.p99));
            lines.push(Line {
                what: "their p99; the ratio without 0.3 ms".to_owned(),
                ours: time(own.median()),
                peer: format!("{peer_is}: {}", time(others.median())),
                value: own.of(|p99| (p99 - ALLOWED).max(0.0)).ratio_to(&others),
                target: Target::RatioAtMost(1.1),
            });
        }
    }
    for service in services {
        service.stop()?;
    }
    Ok(lines)
}

/// A service in a process of its own.
struct Service {
    process: Child,
    address: SocketAddr,
}

impl Service {
    fn start(side: &str, folder: &Path) -> anyhow::Result<Self> {
        let binary = std::env::current_exe()?.with_file_name("throughline-service");
        let mut command = Command::new(&binary);
        command.arg(side).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("cannot run {}", binary.display()))?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse().with_context(|| format!("`{line}` is no address"))?;
        Ok(Self { process, address })
    }

    fn visits<'a>(&self, runtime: &'a Runtime, request: &'a str, pace: Pace) -> Side<'a, Load> {
        let address = self.address;
        Box::new(move || runtime.block_on(visit(address, request, CONNECTIONS, pace, TURN)))
    }

    /// Tells it to end, and waits until it has.
    fn stop(mut self) -> anyhow::Result<()> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        ensure!(status.success(), "the service ended with {status}");
        Ok(())
    }
}
