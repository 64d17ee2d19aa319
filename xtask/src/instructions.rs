//! `cargo xtask instructions`: how many instructions the hot paths take, which no other load on the machine changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::steps::{call, cargo, output_of};

/// Counts the instructions of the hot paths with valgrind and compares them with those in benches/instructions.txt.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Only what has this in its name; everything if left out.
    filter: Option<String>,
    /// Write the counts to benches/instructions.txt instead of failing where they have changed.
    #[arg(long)]
    update: bool,
}

const COUNTS: &str = "benches/instructions.txt";
const OUTPUT: &str = "target/instructions";
/// The function of the counted program that has what is counted, and nothing else.
const COUNTED: &str = "--toggle-collect=throughline_instructions::counted*";
/// What a count may differ by: hash tables are seeded at random.
const LEEWAY: f64 = 0.03;

/// One thing to count: what it is called, and how many times it is done.
struct Case {
    name: String,
    times: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let package = ["--release", "--locked", "--package", "throughline-benches", "--features", "http"];
    call(cargo().arg("build").args(package).args(["--bin", "throughline-instructions"]))?;
    let binary = target_folder()?.join("release/throughline-instructions");
    fs::create_dir_all(OUTPUT).with_context(|| format!("cannot make {OUTPUT}"))?;

    let known = Counts::read(Path::new(COUNTS))?;
    let mut counts = Counts { counted_with: counted_with()?, of: known.of.clone() };
    let comparable = known.counted_with == counts.counted_with;
    let filter = options.filter.as_deref().unwrap_or_default();
    let mut changed = Vec::new();
    println!("{:<14} {:>12} {:>12} {:>8}", "", "was", "is", "change");
    for case in cases(&binary)?.into_iter().filter(|case| case.name.contains(filter)) {
        let count = case.count(&binary)?;
        let before = counts.of.insert(case.name.clone(), count);
        let change = before.map(|before| count as f64 / before as f64 - 1.0);
        let shown = change.map_or_else(|| "new".to_owned(), |change| format!("{:+.1} %", 100.0 * change));
        println!("{:<14} {:>12} {count:>12} {shown:>8}", case.name, before.unwrap_or(0));
        if change.is_none_or(|change| change.abs() > LEEWAY) {
            changed.push(format!("{} {shown}", case.name));
        }
    }
    if options.update {
        fs::write(COUNTS, counts.to_string()).with_context(|| format!("cannot write {COUNTS}"))?;
        println!("written to {COUNTS}");
    } else if !comparable {
        println!(
            "\n!!! NOT COMPARED: {COUNTS} was counted with {}, and this is {}.",
            known.counted_with, counts.counted_with
        );
    } else if !changed.is_empty() {
        bail!(
            "these take another number of instructions than {COUNTS} says: {}. Where that is meant, write it down with `cargo xtask instructions --update` and say why; callgrind_annotate shows where they go, from the files in {OUTPUT}",
            changed.join(", ")
        );
    }
    Ok(())
}

/// The counts that were written down, and with what they were counted.
struct Counts {
    counted_with: String,
    of: BTreeMap<String, u64>,
}

impl Counts {
    /// None where there is no such file.
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        Self::parse(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut counts = Self { counted_with: String::new(), of: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ').context("a line has a name and a count")? {
                (Self::WITH, with) => counts.counted_with = with.to_owned(),
                (name, count) => {
                    let count = count.trim().parse().with_context(|| format!("the count of {name}"))?;
                    counts.of.insert(name.to_owned(), count);
                }
            }
        }
        Ok(counts)
    }

    const WITH: &str = "with";
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "# Instructions of one time each; written by `cargo xtask instructions --update`.")?;
        writeln!(f, "{} {}", Self::WITH, self.counted_with)?;
        self.of.iter().try_for_each(|(name, count)| writeln!(f, "{name} {count}"))
    }
}

fn cases(binary: &Path) -> anyhow::Result<Vec<Case>> {
    let listed = output_of(&mut Command::new(binary))?;
    let case = |line: &str| {
        let (name, times) = line.split_once(' ')?;
        Some(Case { name: name.to_owned(), times: times.parse().ok()? })
    };
    listed.lines().map(|line| case(line).with_context(|| format!("`{line}` is no case"))).collect()
}

impl Case {
    /// How many instructions one time takes.
    fn count(&self, binary: &Path) -> anyhow::Result<u64> {
        let file = format!("{OUTPUT}/{}.out", self.name);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", COUNTED, &format!("--callgrind-out-file={file}")]);
        output_of(valgrind.arg(binary).arg(&self.name))?;
        let written = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let total = written.lines().find_map(|line| line.strip_prefix("totals: "));
        let total: Option<u64> = total.and_then(|total| total.trim().parse().ok());
        let total = total.with_context(|| format!("{file} has no total"))?;
        ensure!(
            total >= self.times,
            "{file} has counted {total} instructions: the function to count in was not found"
        );
        Ok(total / self.times)
    }
}

/// What decides how many instructions the same sources become.
fn counted_with() -> anyhow::Result<String> {
    let mut with = output_of(Command::new("rustc").arg("--version"))?.trim().to_owned();
    let libc = output_of(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    // Some libraries choose by it at run time.
    let avx2 = if flags.contains(" avx2 ") { "avx2" } else { "no avx2" };
    write!(with, ", {}, {}, {avx2}", libc.trim(), std::env::consts::ARCH)?;
    Ok(with)
}

fn target_folder() -> anyhow::Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
    Ok(metadata.target_directory.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_they_were_written() {
        let written = "# a comment\nwith rustc 1.95.0, glibc 2.36\nappend-64 2000000\nstep 1234\n";
        let counts = Counts::parse(written).unwrap();
        assert_eq!(counts.counted_with, "rustc 1.95.0, glibc 2.36");
        assert_eq!(
            counts.of,
            BTreeMap::from([("append-64".to_owned(), 2_000_000), ("step".to_owned(), 1234)])
        );
        let again = Counts::parse(&counts.to_string()).unwrap();
        assert_eq!((again.counted_with, again.of), (counts.counted_with, counts.of));
        assert!(Counts::parse("step many\n").is_err());
    }
}
