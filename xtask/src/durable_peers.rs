//! `cargo xtask bench durable-peers`: durable steps beside those of other libraries, each in a process of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::steps::{call, cargo, output_of};

pub(crate) const NAME: &str = "durable-peers";
const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- durable peers: begin -->";
const END: &str = "<!-- durable peers: end -->";
const PEERS: &str = "target/durable-peers";
const ROUNDS: usize = 3;

/// One side: what it is called, and the program and first argument that measure it.
struct Side {
    name: &'static str,
    program: String,
    engine: &'static str,
    /// Where it keeps its steps; a new folder each time if left out.
    url: Option<String>,
}

/// What a round of a side measured.
struct Round {
    steps: f64,
    p50: f64,
    p99: f64,
}

pub(crate) fn run(postgres: Option<&str>, dry_run: bool) -> anyhow::Result<()> {
    let ours = ["--release", "--locked", "--package", "throughline-benches", "--bin", "throughline-durable"];
    call(cargo().arg("build").args(ours))?;
    let manifest = "benches/durable-peers/Cargo.toml";
    let peers = ["--release", "--locked", "--manifest-path", manifest, "--target-dir", PEERS];
    call(cargo().arg("build").args(peers))?;

    let table = measure(&sides(postgres))?;
    println!("{table}");
    if postgres.is_none() {
        println!("Without Postgres: `--postgres URL` names a server with an empty database.");
    }
    if !dry_run {
        write(&table)?;
        println!("written to {DOCUMENT}");
    }
    Ok(())
}

fn sides(postgres: Option<&str>) -> Vec<Side> {
    let side = |name, program: &str, engine, url| Side { name, program: program.to_owned(), engine, url };
    let (ours, peers) = ("target/release/throughline-durable", format!("{PEERS}/release/durable-peers"));
    let mut sides = vec![
        side("Throughline, `Strict`", ours, "strict", None),
        side("Throughline, `Coalesced`", ours, "coalesced", None),
        side("Throughline, `Pipelined`", ours, "pipelined", None),
        side("`durare` 0.5, SQLite, `synchronous=FULL`", &peers, "sqlite", None),
    ];
    sides
        .extend(postgres.map(|url| side("`durare` 0.5, Postgres", &peers, "postgres", Some(url.to_owned()))));
    sides
}

/// By turns, so that whatever else the machine does meets all of them.
fn measure(sides: &[Side]) -> anyhow::Result<String> {
    let mut table = format!(
        "Load average before: {}. Medians of {ROUNDS} interleaved rounds, the least and the greatest in brackets.\n\n\
         | workflows at a time | system | steps a second | p50 of a step | p99 |\n|---|---|---|---|---|\n",
        load_average()?
    );
    for at_once in [1, 64] {
        let mut measured: Vec<Vec<Round>> = sides.iter().map(|_| Vec::new()).collect();
        for round in 1..=ROUNDS {
            for (side, rounds) in sides.iter().zip(&mut measured) {
                let one = side.measure(at_once).with_context(|| side.name.to_owned())?;
                println!("{at_once} at a time, round {round}: {}: {:.0} steps/s", side.name, one.steps);
                rounds.push(one);
            }
        }
        for (side, rounds) in sides.iter().zip(&measured) {
            let spread = |of: fn(&Round) -> f64, show: fn(f64) -> String| {
                let mut values: Vec<_> = rounds.iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                let [least, .., most] = values[..] else { return String::new() };
                format!("{} ({} to {})", show(values[values.len() / 2]), show(least), show(most))
            };
            let (count, millis) =
                (|value: f64| format!("{value:.0}"), |micros: f64| format!("{:.2} ms", micros / 1e3));
            let cells = [spread(|r| r.steps, count), spread(|r| r.p50, millis), spread(|r| r.p99, millis)];
            table += &format!("| {at_once} | {} | {} |\n", side.name, cells.join(" | "));
        }
    }
    Ok(table)
}

impl Side {
    fn measure(&self, at_once: usize) -> anyhow::Result<Round> {
        fs::create_dir_all("target/bench").context("cannot make target/bench")?;
        let folder = tempfile::tempdir_in("target/bench")?;
        let mut command = Command::new(&self.program);
        command.arg(self.engine);
        match &self.url {
            Some(url) => command.arg(url),
            None => command.arg(folder.path()),
        };
        let printed = output_of(command.arg(at_once.to_string()))?;
        let numbers: Vec<f64> = printed.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [steps, p50, p99] = numbers[..] else { bail!("it printed `{printed}` instead of three numbers") };
        Ok(Round { steps, p50, p99 })
    }
}

fn load_average() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(", "))
}

fn write(table: &str) -> anyhow::Result<()> {
    let path = Path::new(DOCUMENT);
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.with_context(|| format!("{DOCUMENT} has no `{BEGIN}` and `{END}`"))?;
    fs::write(path, format!("{before}{BEGIN}\n{table}{END}{after}"))
        .with_context(|| format!("cannot write {DOCUMENT}"))
}
