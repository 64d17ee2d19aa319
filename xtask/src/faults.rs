//! `cargo xtask faults`: what happens to emitters when stores and feeds fail, as a table.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::steps::{call, cargo};

const DOCUMENT: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- faults: begin -->\n";
const END: &str = "<!-- faults: end -->\n";
/// Where the tests leave their rows.
const ROWS: &str = "target/faults";
const HEAD: &str = "\
| destination | what happened | emitters saw | waited (ms): median / 99 % / longest | what became of the events | lost | doubled |
|---|---|---|---|---|---|---|
";

/// Break stores and feeds in many ways, and write what happened into docs/reliability.md.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print the table only
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let rows = Path::new(ROWS);
    if rows.exists() {
        fs::remove_dir_all(rows).with_context(|| format!("cannot empty {ROWS}"))?;
    }
    fs::create_dir_all(rows).with_context(|| format!("cannot create {ROWS}"))?;
    let rows = rows.canonicalize()?;
    let mut tests = cargo();
    tests.args([
        "test",
        "--release",
        "--package",
        "throughline-workspace",
        "--all-features",
        "--test",
        "faults",
    ]);
    // One at a time: the others would be waited for as well.
    tests.args(["--", "--test-threads", "1"]).env("THROUGHLINE_SERVICES", "required");
    call(tests.env("THROUGHLINE_FAULT_ROWS", &rows))?;

    let mut files: Vec<_> = fs::read_dir(&rows)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let mut table = HEAD.to_owned();
    for file in &files {
        table.push_str(&fs::read_to_string(file.path())?);
    }
    println!("{table}\n{} rows", files.len());
    if options.dry_run {
        return Ok(());
    }
    let document = fs::read_to_string(DOCUMENT).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let (before, rest) = document.split_once(BEGIN).with_context(|| format!("no {BEGIN:?} in {DOCUMENT}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no {END:?} in {DOCUMENT}"))?;
    ensure!(!files.is_empty(), "the tests left no rows");
    fs::write(DOCUMENT, format!("{before}{BEGIN}{table}{END}{after}"))?;
    println!("written to {DOCUMENT}");
    Ok(())
}
