//! What each feature of `throughline` costs in crates to compile, and the table of it in the README.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use cargo_metadata::MetadataCommand;

use crate::readme::rewrite;

const BEGIN: &str =
    "<!-- BEGIN: measured by `UPDATE_DOCS=1 cargo test -p throughline-workspace features` -->\n";
const END: &str = "<!-- END -->\n";

/// One platform, so that the figures are the same on every machine.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// How many crates more or fewer go unnoticed: what a routine update of dependencies brings.
const LEEWAY: usize = 5;

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    feature: String,
    brings: String,
    is_default: bool,
    crates: usize,
}

#[test]
fn the_features_of_the_readme_cost_what_it_says() {
    let measured = measure();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return rewrite(|readme| {
            let (before, _, after) = around_table(readme);
            format!("{before}{BEGIN}{}{END}{after}", write(&measured))
        });
    }
    let (_, table, _) = around_table(include_str!("../../README.md"));
    let wrong = differences(&read(table), &measured);
    assert!(
        wrong.is_empty(),
        "the features in README.md:\n\n{}\n\n`cargo tree -p throughline --no-default-features --features FEATURE` shows where \
         crates come from. If the figures are as they should be, write the table again with\n\n    UPDATE_DOCS=1 cargo \
         test -p throughline-workspace features\n",
        wrong.join("\n")
    );
}

/// What is before the table, the table, and what is after it.
fn around_table(readme: &str) -> (&str, &str, &str) {
    let (before, rest) = readme.split_once(BEGIN).expect("the mark where the table begins");
    let (table, after) = rest.split_once(END).expect("the mark where the table ends");
    (before, table, after)
}

/// Where the table is too far from what was measured.
fn differences(table: &[Row], measured: &[Row]) -> Vec<String> {
    let names = |rows: &[Row]| -> Vec<_> {
        rows.iter().map(|row| (row.feature.clone(), row.brings.clone(), row.is_default)).collect()
    };
    if names(table) != names(measured) {
        return vec!["the table lists other features than crates/throughline/Cargo.toml".to_owned()];
    }
    let pairs = table.iter().zip(measured).filter(|(said, is)| said.crates.abs_diff(is.crates) > LEEWAY);
    pairs
        .map(|(said, is)| {
            let what = match (is.is_default, is.crates > said.crates) {
                (true, true) => "(which everybody compiles) has grown",
                (false, true) => "has grown",
                (_, false) => "has shrunk",
            };
            format!("`{}` {what} from {} crates to {}", is.feature, said.crates, is.crates)
        })
        .collect()
}

/// What is compiled without any feature, with each by itself, and with the defaults.
fn measure() -> Vec<Row> {
    let none = crates(&[]);
    let features = features();
    let defaults: Vec<_> =
        features.iter().filter(|row| row.is_default).map(|row| row.feature.as_str()).collect();
    let row = |feature: &str, brings: &str, crates| Row {
        feature: feature.to_owned(),
        brings: brings.to_owned(),
        is_default: true,
        crates,
    };
    let mut rows = vec![row("none", "Contexts, sagas, redaction, queries, the memory store.", none.len())];
    let all_defaults =
        row("default", "All features that are on by default.", crates(&defaults).difference(&none).count());
    rows.extend(
        features
            .into_iter()
            .map(|row| Row { crates: crates(&[&row.feature]).difference(&none).count(), ..row }),
    );
    rows.push(all_defaults);
    rows
}

/// The features of the façade, with what their comments say, in the order of its manifest.
fn features() -> Vec<Row> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let facade = metadata.packages.iter().find(|package| package.name.as_str() == "throughline").unwrap();
    let defaults: BTreeSet<_> =
        facade.features["default"].iter().flat_map(|feature| within(facade, feature)).collect();
    let manifest = std::fs::read_to_string(&facade.manifest_path).unwrap();
    let lines: Vec<_> = manifest.lines().collect();
    let described = lines.windows(2).filter_map(|pair| {
        let brings = pair[0].strip_prefix("## ")?;
        let (feature, _) = pair[1].split_once(" = ")?;
        Some(Row {
            feature: feature.to_owned(),
            brings: brings.to_owned(),
            is_default: defaults.contains(feature),
            crates: 0,
        })
    });
    let rows: Vec<_> = described.collect();
    assert_eq!(
        rows.len() + 1,
        facade.features.len(),
        "each feature but `default` has a comment above it that begins with ##"
    );
    rows
}

/// A feature and those of the same package that it switches on.
fn within(package: &cargo_metadata::Package, feature: &str) -> Vec<String> {
    let Some(on) = package.features.get(feature) else { return Vec::new() };
    let mut found = vec![feature.to_owned()];
    found.extend(on.iter().flat_map(|feature| within(package, feature)));
    found
}

/// The packages that are compiled for the façade with these features: its dependencies, theirs, and those of build scripts.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--package", "throughline", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}", "--no-dedupe", "--target", PLATFORM, "--no-default-features"])
        .args(["--features", &features.join(",")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // `name v1.2.3`, and behind it where it comes from or that it is a macro.
    let package = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    String::from_utf8(output.stdout).unwrap().lines().map(package).collect()
}

fn write(rows: &[Row]) -> String {
    let mut table = "\n| feature | what it brings | default | crates |\n|---|---|---|---|\n".to_owned();
    for Row { feature, brings, is_default, crates } in rows {
        let (feature, sign) = match feature.as_str() {
            "none" => ("none".to_owned(), ""),
            "default" => ("all defaults".to_owned(), "+"),
            feature => (format!("`{feature}`"), "+"),
        };
        let default = if *is_default { "yes" } else { "no" };
        let _ = writeln!(table, "| {feature} | {brings} | {default} | {sign}{crates} |");
    }
    table.push('\n');
    table
}

fn read(table: &str) -> Vec<Row> {
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [feature, brings, default, crates] = cells[..] else { return None };
        let crates = crates.trim_start_matches('+').parse().ok()?;
        let feature = if feature == "all defaults" { "default" } else { feature.trim_matches('`') };
        Some(Row {
            feature: feature.to_owned(),
            brings: brings.to_owned(),
            is_default: default == "yes",
            crates,
        })
    });
    rows.collect()
}

#[test]
fn growth_beyond_the_leeway_is_found_and_named() {
    let rows = |crates: [usize; 2]| -> Vec<Row> {
        [("sqlite", true), ("reqwest", false)]
            .into_iter()
            .zip(crates)
            .map(|((feature, is_default), crates)| Row {
                feature: feature.to_owned(),
                brings: "Something.".to_owned(),
                is_default,
                crates,
            })
            .collect()
    };
    let said = read(&write(&rows([10, 50])));
    assert_eq!(said, rows([10, 50]), "what is written is read again");
    assert_eq!(differences(&said, &rows([15, 45])), Vec::<String>::new());
    assert_eq!(
        differences(&said, &rows([16, 44])),
        [
            "`sqlite` (which everybody compiles) has grown from 10 crates to 16",
            "`reqwest` has shrunk from 50 crates to 44"
        ]
    );
    assert_eq!(differences(&said, &rows([10, 50])[..1]).len(), 1, "a feature is missing");
}
