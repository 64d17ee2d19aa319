//! The live feed on Redis: how much it takes, and what it costs an emitter.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use throughline_core::{Throughline, Timestamp};
use throughline_redis::RedisFeed;
use tokio::runtime::Runtime;

use super::Bench;
use crate::duel::{Samples, by_turns};
use crate::load::{EVENTS_OF_A_RUN, Load, drive, runs};
use crate::ours;
use crate::report::{Line, Target, rate, time};
use crate::servers::Server;

pub(super) const NAME: &str = "feed";

const EMITTERS: usize = 64;
/// How deep the peer's pipelines are.
const DEPTH: usize = 16;

/// How the server is while emitters emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Redis {
    Healthy,
    Stalled,
    Dead,
}

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let runtime = &bench.many;
    let [ours, peer] =
        by_turns(NAME, 5, [Box::new(|| publish(runtime)), Box::new(|| add_by_redis_benchmark(200_000))])?;
    let side = |server| move || emit_beside(runtime, server);
    let [healthy, stalled, dead] = by_turns(
        "feed, faults",
        9,
        [Box::new(side(Redis::Healthy)), Box::new(side(Redis::Stalled)), Box::new(side(Redis::Dead))],
    )?;
    let line = |what: &str, own: &Samples<Load>, quantile: fn(&Load) -> f64, target| {
        let (own, healthy) = (own.of(quantile), healthy.of(quantile));
        Line {
            what: what.to_owned(),
            ours: time(own.median()),
            peer: format!("Redis healthy: {}", time(healthy.median())),
            value: match target {
                Target::MicrosAtMost(_) => (own.median() / 1e3).into(),
                _ => own.ratio_to(&healthy),
            },
            target,
        }
    };
    let (same, quick) = (Target::RatioAtMost(1.1), Target::MicrosAtMost(10.0));
    Ok(vec![
        Line {
            what: format!("events published to Redis, {EMITTERS} emitters"),
            ours: rate(ours.median()),
            peer: format!("redis-benchmark -P {DEPTH}, XADD of the same size: {}", rate(peer.median())),
            value: ours.ratio_to(&peer),
            target: Target::RatioAtLeast(0.5),
        },
        line("an emit while Redis is stalled, p50", &stalled, |load| load.p50, same),
        line("the same, p99", &stalled, |load| load.p99, quick),
        line("an emit while Redis is dead, p50", &dead, |load| load.p50, same),
        line("the same, p99", &dead, |load| load.p99, quick),
    ])
}

/// Events in a second, from the first emit until the last one is published.
fn publish(runtime: &Runtime) -> anyhow::Result<f64> {
    let each = 100 * EVENTS_OF_A_RUN;
    let server = Server::redis()?;
    let throughline = Throughline::builder("bench")
        .feed(RedisFeed::new(&server.url))
        // Room for all: what is measured is how much is published, not how much is dropped.
        .queue_capacity(2 * EMITTERS * each)
        .build()?;
    let begun = Instant::now();
    runtime.block_on(drive(EMITTERS, each, |meter| ours::emit_runs(throughline.clone(), meter)))?;
    runtime.block_on(ours::shutdown(&throughline))?;
    Ok((EMITTERS * each) as f64 / begun.elapsed().as_secs_f64())
}

/// Entries in a second that `redis-benchmark` adds to a stream of the same bounds, each as long as our events are on average.
fn add_by_redis_benchmark(count: usize) -> anyhow::Result<f64> {
    let events: Vec<_> = runs(64, Timestamp::now(), Duration::from_secs(60), 1).collect();
    let lengths = events.iter().map(|event| serde_json::to_string(event).map(|json| json.len()));
    let length = lengths.sum::<Result<usize, _>>()? / events.len();
    let server = Server::redis()?;
    let mut command = Command::new("redis-benchmark");
    command.arg("-s").arg(socket(&server)).args(["--csv", "-c", "50", "-P", &DEPTH.to_string()]);
    command.args(["-n", &count.to_string(), "XADD", "events", "MAXLEN", "~"]);
    command.arg(RedisFeed::DEFAULT_CAPACITY.to_string()).args(["*", "event", &"x".repeat(length)]);
    let output = command.output().context("redis-benchmark comes with redis-server")?;
    ensure!(output.status.success(), "redis-benchmark: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let rate = said.lines().nth(1).and_then(|line| line.split("\",\"").nth(1));
    Ok(rate.context("redis-benchmark says how many requests it made in a second")?.parse()?)
}

/// What an emit takes.
fn emit_beside(runtime: &Runtime, state: Redis) -> anyhow::Result<Load> {
    let server = Server::redis()?;
    let throughline = Throughline::builder("bench").feed(RedisFeed::new(&server.url)).build()?;
    let server = match state {
        Redis::Healthy => Some(server),
        Redis::Stalled => {
            let mut command = Command::new("redis-cli");
            command.arg("-s").arg(socket(&server)).args(["CLIENT", "PAUSE", "60000", "ALL"]);
            ensure!(command.output()?.status.success(), "redis-cli can't pause the server");
            Some(server)
        }
        Redis::Dead => None,
    };
    let each = 20 * EVENTS_OF_A_RUN;
    let load =
        runtime.block_on(drive(EMITTERS, each, |meter| ours::emit_runs(throughline.clone(), meter)))?;
    runtime.block_on(throughline.shutdown(Duration::ZERO));
    drop(server);
    Ok(load)
}

fn socket(server: &Server) -> String {
    server.url.trim_start_matches("redis+unix://").to_owned()
}
