//! What a service with many open runs takes of the main memory.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::Bench;
use crate::report::{Line, Target, megabytes};

pub(super) const NAME: &str = "memory";

const RUNS: usize = 100_000;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let took = |runs: usize| -> anyhow::Result<f64> {
        let folder = tempfile::tempdir_in(bench.folder.path())?;
        let binary = std::env::current_exe()?.with_file_name("throughline-open-runs");
        let output = Command::new(&binary).arg(folder.path()).arg(runs.to_string()).output();
        let output = output.with_context(|| format!("cannot run {}", binary.display()))?;
        ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout)?;
        printed.trim().parse().with_context(|| format!("it printed `{printed}`"))
    };
    let (none, all) = (took(0)?, took(RUNS)?);
    Ok(vec![Line {
        what: "a service with 100,000 open runs, in a step each".to_owned(),
        ours: megabytes(all),
        peer: format!("with none: {}", megabytes(none)),
        value: (all / 1e6).into(),
        target: Target::MegabytesAtMost(200.0),
    }])
}
