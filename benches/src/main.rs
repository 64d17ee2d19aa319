//! Measures the comparisons and prints them as a table.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Parser;
use throughline_benches::machine::Machine;
use throughline_benches::report::Table;
use throughline_benches::rows::{self, Bench};

/// Throughline measured side by side with named peers. Run it with `cargo xtask bench`.
#[derive(Parser)]
struct Options {
    /// Only rows whose name contains this; all rows but `scale` if left out.
    filter: Option<String>,
    /// How many events the large file of the row `scale` has.
    #[arg(long, value_name = "COUNT", default_value_t = rows::MANY_EVENTS)]
    events: usize,
    /// Write the table into this document, between its markers.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Where stores and logs are written; must be on a real disk.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let wanted = |name: &str| {
        options.filter.as_ref().map_or(name != rows::SCALE, |filter| name.contains(filter.as_str()))
    };
    if !rows::NAMES.iter().any(|name| wanted(name)) {
        bail!("no row has that in its name; there are: {}", rows::NAMES.join(", "));
    }
    let rows: Vec<_> = rows::ALL.iter().filter(|row| wanted(row.name)).collect();
    if rows.is_empty() {
        eprintln!("{} and {} are measured by a build with the feature `http`", rows::HTTP, rows::SERVICE);
        eprintln!("{} is measured by a build with the feature `signals`", rows::SIGNALS);
        return Ok(());
    }
    std::fs::create_dir_all(&options.folder)
        .with_context(|| format!("cannot make {}", options.folder.display()))?;
    let machine = Machine::here(&options.folder);
    let mut bench = Bench::new(&options.folder)?;
    bench.many_events = options.events;
    let mut table = Table::default();
    for row in rows {
        eprintln!("measuring {}", row.name);
        table.push(row.name, (row.measure)(&mut bench).with_context(|| format!("row {}", row.name))?);
    }
    println!("{machine}\n{}", table.render());
    if let Some(path) = &options.write {
        table.write(path, &machine, rows::NAMES, options.filter.is_none())?;
        println!("written to {}", path.display());
    }
    Ok(())
}
