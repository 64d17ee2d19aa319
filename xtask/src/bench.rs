//! `cargo xtask bench`: how fast we are, against named peers, on this machine.

use crate::steps::{call, cargo};

/// Measures the comparison rows side by side with their peers and writes them to docs/performance.md.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only rows whose name contains this; all rows if left out.
    filter: Option<String>,
    /// Print the table and leave docs/performance.md as it is.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    // Both binaries: the one that counts allocations is started by the one that measures time.
    call(cargo().args(["build", "--release", "--locked", "--package", "throughline-benches", "--bins"]))?;
    let mut bench = cargo();
    bench.args(["run", "--quiet", "--release", "--locked", "--package", "throughline-benches"]);
    bench.args(["--bin", "throughline-bench", "--"]);
    if !options.dry_run {
        bench.args(["--write", "docs/performance.md"]);
    }
    call(bench.args(&options.filter))
}
