//! The durable store on Postgres: how much it takes, and how quickly it answers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use throughline_core::{
    Instance, InstanceId, StoreConfig, Throughline, Timestamp, TraceEvent, TraceId, TraceReader as _,
};
use throughline_postgres::{PostgresReader, PostgresStore};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, Statement};

use super::Bench;
use crate::duel::{Samples, bar, by_turns, nanos, quantile};
use crate::load::{EVENTS_OF_A_RUN, drive, runs};
use crate::ours::{self, Remembering};
use crate::report::{Line, Target, rate, time};
use crate::servers::Server;

pub(super) const NAME: &str = "postgres";

const EMITTERS: usize = 64;
const EACH: usize = 50 * EVENTS_OF_A_RUN;
/// How many events the runs are looked up in.
const MANY: usize = 1_000_000;
/// How many runs are looked up in a turn.
const LOOKED_UP: usize = 200;

type Groups = Vec<Vec<Arc<TraceEvent>>>;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let server = Server::postgres()?;
    // Of its own, for connections: the other rows' has none.
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let mut lines = emits(&runtime, bench.folder.path(), &server)?;
    lines.extend(look_ups(&runtime, &server)?);
    Ok(lines)
}

/// 64 emitters against `pgbench`, once with rows in groups of the same sizes, and once with a commit for each row.
fn emits(runtime: &Runtime, folder: &Path, server: &Server) -> anyhow::Result<Vec<Line>> {
    let groups = RefCell::new(Groups::new());
    let [ours, grouped, single] = by_turns(
        NAME,
        5,
        [
            Box::new(|| {
                let rate;
                (rate, *groups.borrow_mut()) = emit(runtime, server)?;
                Ok(rate)
            }),
            Box::new(|| pgbench(folder, server, &groups.borrow())),
            Box::new(|| {
                let events = groups.borrow();
                let single = events.iter().flatten().take(2_000).map(|event| vec![Arc::clone(event)]);
                pgbench(folder, server, &single.collect())
            }),
        ],
    )?;
    let line = |what: &str, peer: &str, measured: &Samples, target| Line {
        what: what.to_owned(),
        ours: rate(ours.median()),
        peer: format!("{peer}: {}", rate(measured.median())),
        value: ours.ratio_to(measured),
        target: Target::RatioAtLeast(target),
    };
    Ok(vec![
        line(
            "durable emits into Postgres, 64 emitters",
            "pgbench, rows of the same size in the same groups",
            &grouped,
            0.5,
        ),
        line("the same", "pgbench, a commit for each row", &single, 20.0),
    ])
}

/// Emits into a new store; events in a second, and the groups in which they were committed.
fn emit(runtime: &Runtime, server: &Server) -> anyhow::Result<(f64, Groups)> {
    runtime.block_on(async {
        connect(server).await?.batch_execute("DROP SCHEMA IF EXISTS throughline CASCADE; CHECKPOINT").await?;
        let (store, groups) = Remembering::new(PostgresStore::new(&server.url));
        let throughline = Throughline::builder("bench").store(store).build()?;
        let load = drive(EMITTERS, EACH, |meter| ours::emit_runs(throughline.clone(), meter)).await?;
        ours::shutdown(&throughline).await?;
        Ok((load.per_second, groups.take()))
    })
}

/// Rows in a second that `pgbench` inserts into a plain table over one connection. Each transaction is one statement with as many
/// rows as a group has, each as long as the events are on average.
fn pgbench(folder: &Path, server: &Server, groups: &Groups) -> anyhow::Result<f64> {
    let length: usize = groups
        .iter()
        .flatten()
        .map(|event| serde_json::to_string(event).map(|json| json.len()))
        .sum::<Result<_, _>>()?;
    let length = length / groups.iter().map(Vec::len).sum::<usize>().max(1);
    let mut sizes = BTreeMap::<usize, usize>::new();
    for group in groups {
        *sizes.entry(group.len()).or_default() += 1;
    }
    // As many scripts as pgbench takes, each with a size that stands for those next to it.
    let width = sizes.len().div_ceil(100).max(1);
    let sizes: Vec<_> = sizes.into_iter().collect();
    let scripts = tempfile::tempdir_in(folder)?;
    let row = format!("('{{\"event\":\"{}\"}}')", "x".repeat(length.saturating_sub(12)));
    let mut command = Command::new("pgbench");
    command.args(["--no-vacuum", "--client", "1", "--transactions", &groups.len().to_string()]);
    for (index, sizes) in sizes.chunks(width).enumerate() {
        let weight: usize = sizes.iter().map(|(_, count)| count).sum();
        let rows: usize = sizes.iter().map(|(size, count)| size * count).sum();
        let mut script = "INSERT INTO plain (event) VALUES ".to_owned();
        for place in 0..rows.div_ceil(weight) {
            write!(script, "{}{row}", if place > 0 { "," } else { "" })?;
        }
        let path = scripts.path().join(format!("{index}.sql"));
        std::fs::write(&path, script + ";\n")?;
        command.arg("--file").arg(format!("{}@{weight}", path.display()));
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(async {
        let client = connect(server).await?;
        let table = "DROP TABLE IF EXISTS plain; CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
                     at timestamptz NOT NULL DEFAULT clock_timestamp(), event json NOT NULL); CHECKPOINT";
        client.batch_execute(table).await?;
        anyhow::Ok(client)
    })?;
    let output = command.arg(&server.url).output();
    let output = output.context("pgbench comes with Postgres (Debian: postgresql)")?;
    ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    let rate: f64 = rate.context("pgbench says how many transactions it made in a second")?.parse()?;
    let rows: i64 = runtime.block_on(client.query_one("SELECT count(*) FROM plain", &[]))?.try_get(0)?;
    Ok(rate * rows as f64 / groups.len() as f64)
}

/// A connection of the peer's, which the current runtime drives.
async fn connect(server: &Server) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(&server.url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// All events of one run, out of a million.
fn look_ups(runtime: &Runtime, server: &Server) -> anyhow::Result<Vec<Line>> {
    let (traces, reader, client, statement) = runtime.block_on(fill(server))?;
    let mut turns = traces.chunks_exact(LOOKED_UP).cycle();
    let mut next = || turns.next().unwrap_or_default().to_vec();
    let traces = RefCell::new(Vec::new());
    let [ours, peer] = by_turns(
        "postgres, look-ups",
        11,
        [
            Box::new(|| {
                *traces.borrow_mut() = next();
                runtime.block_on(ours_each(&reader, &traces.borrow()))
            }),
            Box::new(|| runtime.block_on(bare_each(&client, &statement, &traces.borrow()))),
        ],
    )?;
    Ok(vec![Line {
        what: "one run of 15 out of 1,000,000 events in Postgres, p50".to_owned(),
        ours: time(ours.median()),
        peer: format!("bare prepared query, same table: {}", time(peer.median())),
        value: ours.ratio_to(&peer),
        target: Target::RatioAtMost(1.5),
    }])
}

/// Half of the look-ups took at most so many nanoseconds.
async fn ours_each(reader: &PostgresReader, traces: &[TraceId]) -> anyhow::Result<f64> {
    let mut took = Vec::with_capacity(traces.len());
    for id in traces {
        let started = Instant::now();
        let events = reader.trace(*id).await?;
        took.push(nanos(started.elapsed()));
        ensure!(events.len() == EVENTS_OF_A_RUN, "a run has {} events", events.len());
    }
    Ok(quantile(&took, 0.5))
}

/// The same with a prepared query, without making events of the rows.
async fn bare_each(client: &Client, statement: &Statement, traces: &[TraceId]) -> anyhow::Result<f64> {
    let mut took = Vec::with_capacity(traces.len());
    for id in traces {
        let started = Instant::now();
        let rows = client.query(statement, &[&&id.to_bytes()[..]]).await?;
        took.push(nanos(started.elapsed()));
        ensure!(rows.len() == EVENTS_OF_A_RUN, "a run has {} rows", rows.len());
    }
    Ok(quantile(&took, 0.5))
}

/// A million events, some of their runs, and who reads them.
async fn fill(server: &Server) -> anyhow::Result<(Vec<TraceId>, PostgresReader, Client, Statement)> {
    let client = connect(server).await?;
    client.batch_execute("DROP SCHEMA IF EXISTS throughline CASCADE").await?;
    let store = PostgresStore::new(&server.url);
    let open = store.open(Instance::new(InstanceId::from_u64(1), "loan-service")).await?;
    let events = runs(MANY / EVENTS_OF_A_RUN, Timestamp::now(), Duration::from_secs(7 * 24 * 3600), 42);
    let events: Vec<_> = events.collect();
    let progress = bar("a million events, Postgres", events.len() as u64);
    // Runs of 64 go along together, so this is a whole number of runs, which are then not read again.
    for group in events.chunks(64 * EVENTS_OF_A_RUN) {
        open.append(group).await?;
        progress.inc(group.len() as u64);
    }
    progress.finish_and_clear();
    open.close().await?;
    client.batch_execute("VACUUM (ANALYZE)").await?;
    let traces: Vec<_> = events.iter().filter(|event| event.is_root() && event.seq == 0).collect();
    let traces = traces.into_iter().step_by(7).map(|event| event.trace_id).collect();
    let statement = client
        .prepare(
            "SELECT e.* FROM throughline.run r JOIN throughline.event e ON e.run = r.id AND e.day = r.day \
             WHERE r.trace_id = $1",
        )
        .await?;
    Ok((traces, store.open_reader().await?, client, statement))
}
