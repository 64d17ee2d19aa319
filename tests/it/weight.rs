//! What crates weigh: how much the small ones bring along, how much of all code is in the largest, and whether what is to
//! run in a browser can.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::source::{code, rust_files};

const WASM: &str = "wasm32-unknown-unknown";

/// The crates that a package needs where it runs, itself included, with its default features.
fn tree(package: &str, options: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--package", package, "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}", "--no-dedupe"])
        .args(options)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    String::from_utf8(output.stdout).unwrap().lines().map(name).filter(|name| !name.is_empty()).collect()
}

#[test]
fn the_model_brings_few_crates_along_and_no_runtime() {
    let crates = tree("throughline-model", &[]);
    assert!(crates.len() <= 30, "{} crates: {crates:#?}", crates.len());
    for foreign in ["tokio", "regex", "anstyle", "tracing", "metrics"] {
        assert!(!crates.contains(foreign), "the model needs `{foreign}`");
    }
}

#[test]
fn redaction_knows_no_event_and_no_runtime() {
    let crates = tree("throughline-redact", &[]);
    for foreign in ["throughline-model", "tokio", "tracing"] {
        assert!(!crates.contains(foreign), "redaction needs `{foreign}`");
    }
}

#[test]
fn the_largest_crate_has_at_most_a_third_of_all_code() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let mut lines = BTreeMap::new();
    for folder in std::fs::read_dir(crates).unwrap() {
        let folder = folder.unwrap().path();
        let of_file = |file: &std::path::PathBuf| {
            let code = code(&std::fs::read_to_string(file).unwrap());
            code.lines().filter(|line| !line.trim().is_empty()).count()
        };
        let count: usize = rust_files(&folder).iter().map(of_file).sum();
        lines.insert(folder.file_name().unwrap().to_string_lossy().into_owned(), count);
    }
    let (largest, of_largest) = lines.iter().max_by_key(|(_, count)| **count).unwrap();
    let all: usize = lines.values().sum();
    assert!(
        of_largest * 3 <= all,
        "`{largest}` has {of_largest} of {all} lines of code, more than a third: {lines:#?}"
    );
}

#[test]
fn queries_need_nothing_that_a_browser_lacks() {
    let crates = tree("throughline-query", &["--target", WASM]);
    let random: Vec<_> =
        crates.iter().filter(|name| name.starts_with("getrandom") || name.starts_with("rand")).collect();
    assert!(random.is_empty(), "a browser has no entropy without glue, but queries need {random:?}");
}

#[test]
fn queries_compile_for_a_browser() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = Command::new(rustc).args(["--print", "target-libdir", "--target", WASM]).output().unwrap();
    let folder = String::from_utf8(folder.stdout).unwrap();
    if folder.trim().is_empty() || !Path::new(folder.trim()).exists() {
        eprintln!("skipped: {WASM} is not installed; `rustup target add {WASM}` does it");
        return;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let checked = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["check", "--locked", "--quiet", "--package", "throughline-query", "--target", WASM])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
