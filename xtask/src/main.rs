//! The development commands of this workspace, run as `cargo xtask COMMAND`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

mod bench;
mod durable_peers;
mod examples;
mod faults;
mod instructions;
mod node;
mod packages;
mod python;
mod steps;
mod test;
mod tools;

/// The development commands of Throughline.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    Test(test::Options),
    Bench(bench::Options),
    /// Write the table of docs/redaction.md anew.
    RedactionReport,
    /// Write the files of `deploy` that are generated, the tables of docs/operations.md, the heads of the runbooks and
    /// docs/production-checklist.md anew.
    Kit,
    /// Draw two dashboards with the components of Perses, as pictures in docs/images, with the programs that `cargo xtask test` installs.
    Draw,
    Instructions(instructions::Options),
    Faults(faults::Options),
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is not in a workspace")?;
    std::env::set_current_dir(root).with_context(|| format!("cannot enter {}", root.display()))?;
    match command {
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::RedactionReport => {
            let test = ["test", "--locked", "--package", "throughline-redact", "--test", "corpus"];
            steps::call(steps::cargo().args(test).env("UPDATE_DOCS", "1"))
        }
        Command::Kit => {
            let test =
                ["test", "--locked", "--package", "throughline-workspace", "--all-features", "--test", "it"];
            steps::call(steps::cargo().args(test).args(["--", "kit::files"]).env("UPDATE_DOCS", "1"))?;
            let test = ["test", "--locked", "--package", "throughline-cli", "--bins", "--", "checklist"];
            steps::call(steps::cargo().args(test).env("UPDATE_DOCS", "1"))
        }
        Command::Draw => {
            node::PERSES.provide()?;
            let test =
                ["test", "--locked", "--package", "throughline-workspace", "--all-features", "--test", "it"];
            let mut cargo = steps::cargo();
            cargo.args(test).args(["--", "--ignored", "kit::drawn"]);
            steps::call(cargo.env(node::PERSES.variable, node::PERSES.modules()?))
        }
        Command::Instructions(options) => instructions::run(&options),
        Command::Faults(options) => faults::run(&options),
    }
}
