//! Steps of a command: each is announced, timed, and listed at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::tools;

/// The `cargo` that runs this command, or the one on the path.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Nobody builds there a second time.
    if tools::in_ci() {
        cargo.env("CARGO_INCREMENTAL", "0");
    }
    cargo
}

/// Runs a command with its output going where ours goes; anything but success is an error that names it.
pub(crate) fn call(command: &mut Command) -> anyhow::Result<()> {
    let line = shown(command);
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` ended with {status}");
    }
    Ok(())
}

/// Runs a command and answers what it printed; anything but success is an error with what it said of that.
pub(crate) fn output_of(command: &mut Command) -> anyhow::Result<String> {
    let line = shown(command);
    let output = command.output().with_context(|| format!("cannot run `{line}`"))?;
    ensure!(
        output.status.success(),
        "`{line}` ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed something that is not text"))
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The steps taken so far.
#[derive(Default)]
pub(crate) struct Steps {
    taken: Vec<(&'static str, Duration, bool)>,
}

impl Steps {
    /// Takes a step. The first failure ends the command: what follows would fail for the same reason.
    pub(crate) fn take(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        println!("\n==> {name}");
        let started = Instant::now();
        let outcome = step();
        let took = started.elapsed();
        println!("<== {name}: {} in {:.1} s", verdict(outcome.is_ok()), took.as_secs_f64());
        self.taken.push((name, took, outcome.is_ok()));
        if outcome.is_err() {
            self.summarise();
        }
        outcome.context(name)
    }

    /// Lists the steps and how long each took.
    pub(crate) fn summarise(&self) {
        println!("\nSummary");
        for (name, took, passed) in &self.taken {
            println!("  {:<6} {:>7.1} s  {name}", verdict(*passed), took.as_secs_f64());
        }
        let total: Duration = self.taken.iter().map(|(_, took, _)| *took).sum();
        println!("  {:<6} {:>7.1} s", "in all", total.as_secs_f64());
    }
}

fn verdict(passed: bool) -> &'static str {
    if passed { "ok" } else { "FAILED" }
}
