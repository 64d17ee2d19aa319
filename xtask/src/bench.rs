//! `cargo xtask bench`: how fast we are, against named peers, on this machine.

use crate::durable_peers;
use crate::steps::{call, cargo};

/// Measures the comparison rows side by side with their peers and writes them to docs/performance.md.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only rows whose name contains this; all rows but `scale` if left out. `durable-peers` compares with other libraries for
    /// durable steps, which are built for that alone.
    filter: Option<String>,
    /// With `scale`: how many events the large file has, at about 300 bytes each; ten million if left out.
    #[arg(long, value_name = "COUNT")]
    events: Option<usize>,
    /// Print the table and leave docs/performance.md as it is.
    #[arg(long)]
    dry_run: bool,
    /// With `durable-peers`: a Postgres server with an empty database, as in postgres://user:password@localhost/bench.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
}

/// The rows that want a build of their own, and the feature of that build.
const APART: [(&str, &str); 3] = [(HTTP, HTTP), ("service", HTTP), (SIGNALS, SIGNALS)];
const HTTP: &str = "http";
const SIGNALS: &str = "signals";

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let filter = options.filter.as_deref();
    if filter == Some(durable_peers::NAME) {
        return durable_peers::run(options.postgres.as_deref(), options.dry_run);
    }
    if filter.is_none_or(|filter| !APART.iter().any(|(row, _)| *row == filter)) {
        // The row `import` runs the command. In a build of its own, so that no feature of it reaches the other rows.
        let command = ["--release", "--locked", "--package", "throughline-cli", "--bin", "throughline"];
        call(cargo().arg("build").args(command))?;
        measure(options, &[], filter)?;
    }
    // The peers of `http` bring features of shared crates that would slow the other rows' peers down.
    for (row, feature) in
        APART.into_iter().filter(|(row, _)| filter.is_none_or(|filter| row.contains(filter)))
    {
        measure(options, &["--features", feature], Some(row))?;
    }
    Ok(())
}

fn measure(options: &Options, features: &[&str], filter: Option<&str>) -> anyhow::Result<()> {
    let package = ["--release", "--locked", "--package", "throughline-benches"];
    // Both binaries: the one that counts allocations is started by the one that measures time.
    call(cargo().arg("build").args(package).args(features).arg("--bins"))?;
    let mut bench = cargo();
    bench.args(["run", "--quiet"]).args(package).args(features).args(["--bin", "throughline-bench", "--"]);
    if !options.dry_run {
        bench.args(["--write", "docs/performance.md"]);
    }
    if let Some(events) = options.events {
        bench.args(["--events", &events.to_string()]);
    }
    call(bench.args(filter))
}
