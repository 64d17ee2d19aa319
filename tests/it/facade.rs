//! The façade has every public name of the crates below it, in a module where it is looked for, and no globs.

use std::collections::BTreeSet;

use crate::source::{code, crate_folder, imports, rust_files, without_tests};

/// The crates whose public names the façade has.
const CRATES: &[&str] = &[
    "throughline-core",
    "throughline-cosmos",
    "throughline-kit",
    "throughline-log",
    "throughline-metrics",
    "throughline-model",
    "throughline-otel",
    "throughline-postgres",
    "throughline-query",
    "throughline-redact",
    "throughline-redis",
    "throughline-sentry",
    "throughline-sidecar",
    "throughline-sqlite",
    "throughline-tower",
    "throughline-viewer",
    "throughline-workflow",
];

/// Public names that the façade leaves out, and why.
const INTERNAL: &[(&str, &str)] = &[
    ("throughline_core::beside::Beside", EXPLAINS),
    ("throughline_core::beside::add_children", EXPLAINS),
    ("throughline_core::beside::add_process", EXPLAINS),
    ("throughline_core::beside::caused_by", EXPLAINS),
    ("throughline_core::beside::compare", EXPLAINS),
    ("throughline_core::beside::good_beside", EXPLAINS),
    ("throughline_core::beside::kind_of", EXPLAINS),
    ("throughline_core::beside::last_good", EXPLAINS),
    ("throughline_core::beside::shortest_id", EXPLAINS),
    ("throughline_core::env::EXPORTERS", READS),
    ("throughline_core::env::has_exporter", READS),
    ("throughline_core::env::has_user", READS),
    ("throughline_core::env::host_and_port", READS),
    ("throughline_core::env::otlp::ALL", READS),
    ("throughline_core::env::otlp::Batches", READS),
    ("throughline_core::env::otlp::Collector", READS),
    ("throughline_core::env::otlp::LOGS", READS),
    ("throughline_core::env::otlp::LOG_RECORDS", READS),
    ("throughline_core::env::otlp::METRICS", READS),
    ("throughline_core::env::otlp::SPANS", READS),
    ("throughline_core::env::otlp::Signal", READS),
    ("throughline_core::env::otlp::TRACES", READS),
    ("throughline_core::env::otlp::default_endpoint", READS),
    ("throughline_core::env::otlp::protocol_at", READS),
    ("throughline_core::env::pairs", READS),
    ("throughline_core::env::percent_decoded", READS),
    ("throughline_core::env::place", READS),
    ("throughline_core::env::secret", READS),
    ("throughline_core::env::variable", READS),
    ("throughline_core::open::AtWork", SHOWS),
    ("throughline_core::open::Deployment", SHOWS),
    ("throughline_core::open::Holder", SHOWS),
    ("throughline_core::open::STUCK_AFTER", SHOWS),
    ("throughline_core::open::UsualTime", SHOWS),
    ("throughline_core::open::UsualTimes", SHOWS),
    ("throughline_core::open::at_work", SHOWS),
    ("throughline_core::sampling::SamplingState", EXPORTS),
    ("throughline_core::sampling::threshold_of", EXPORTS),
    ("throughline_kit::File", OF_OPERATORS),
    ("throughline_kit::Kit", OF_OPERATORS),
    ("throughline_kit::Indicator", OF_OPERATORS),
    ("throughline_kit::KitError", OF_OPERATORS),
    ("throughline_kit::Objective", OF_OPERATORS),
    ("throughline_kit::Objectives", OF_OPERATORS),
    ("throughline_kit::ObjectivesError", OF_OPERATORS),
    ("throughline_kit::Subject", OF_OPERATORS),
    ("throughline_model::conformance_tests", "what the conformance suites are made of"),
    ("throughline_sidecar::Block", BESIDE),
    ("throughline_sidecar::Digest", BESIDE),
    ("throughline_sidecar::Digests", BESIDE),
    ("throughline_sidecar::Document", BESIDE),
    ("throughline_sidecar::Errors", BESIDE),
    ("throughline_sidecar::Family", BESIDE),
    ("throughline_sidecar::Files", BESIDE),
    ("throughline_sidecar::FoundLine", BESIDE),
    ("throughline_sidecar::Health", BESIDE),
    ("throughline_sidecar::History", BESIDE),
    ("throughline_sidecar::Kind", BESIDE),
    ("throughline_sidecar::LevelCount", BESIDE),
    ("throughline_sidecar::LogFilter", BESIDE),
    ("throughline_sidecar::LogLevel", BESIDE),
    ("throughline_sidecar::LogStyle", BESIDE),
    ("throughline_sidecar::LogSummary", BESIDE),
    ("throughline_sidecar::LogTally", BESIDE),
    ("throughline_sidecar::LogTime", BESIDE),
    ("throughline_sidecar::LogValue", BESIDE),
    ("throughline_sidecar::LoggedError", BESIDE),
    ("throughline_sidecar::LogsError", BESIDE),
    ("throughline_sidecar::MessageCount", BESIDE),
    ("throughline_sidecar::Panel", BESIDE),
    ("throughline_sidecar::PanelStyle", BESIDE),
    ("throughline_sidecar::Percentiles", BESIDE),
    ("throughline_sidecar::Prometheus", BESIDE),
    ("throughline_sidecar::Record", BESIDE),
    ("throughline_sidecar::Sample", BESIDE),
    ("throughline_sidecar::Scraper", BESIDE),
    ("throughline_sidecar::Section", BESIDE),
    ("throughline_sidecar::Snapshot", BESIDE),
    ("throughline_sidecar::Tone", BESIDE),
    ("throughline_sidecar::family_rank", BESIDE),
    ("throughline_sidecar::shown_value", BESIDE),
];

/// How exporters sample.
const EXPORTS: &str = "how exporters of ours agree with others on what they sample";

/// How variables and headers are read.
const READS: &str = "how our own crates and programs read variables and headers";

/// Why a service has no use for what operators load elsewhere.
const OF_OPERATORS: &str = "for operators, who have the command; a service needs none of it";

/// Why nobody else needs what explanations are made of.
const EXPLAINS: &str = "how our own command and pages explain a run with what lies beside it";

/// Why nobody else needs what is said of runs that have not ended.
const SHOWS: &str = "how our own command and pages show what runs now";

/// Why a service has no use for what watches it.
const BESIDE: &str = "for those who watch a service from beside it, who have the command";

/// How many names every user is asked to know.
const MOST_AT_THE_ROOT: usize = 12;

/// The public names of a module, as paths; of a module in it that the façade does not re-export as a whole, its names.
fn public_names(package: &str, module: &[&str], in_facade: &BTreeSet<String>) -> BTreeSet<String> {
    let folder = crate_folder(package).join("src");
    let file = match module {
        [] => folder.join("lib.rs"),
        path => folder.join(path.join("/")).with_extension("rs"),
    };
    let code = without_tests(&code(&std::fs::read_to_string(&file).unwrap()));
    let path = [&[package.replace('-', "_").as_str()], module].concat().join("::");
    let mut names: BTreeSet<_> = imports(&code)
        .into_iter()
        // What another crate of ours has is looked for there.
        .filter(|import| import.is_public && !import.path[0].starts_with("throughline"))
        .map(|import| format!("{path}::{}", import.name))
        .collect();
    for line in code.lines() {
        let Some(item) = line.strip_prefix("pub ") else { continue };
        let item = ["const ", "async "].iter().fold(item, |item, word| {
            item.strip_prefix(word).filter(|rest| rest.starts_with("fn ")).unwrap_or(item)
        });
        let Some((kind, rest)) = item.split_once(' ') else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        match kind {
            "mod" if !in_facade.contains(&format!("{path}::{name}")) => {
                names.extend(public_names(package, &[module, &[&*name]].concat(), in_facade));
            }
            "const" | "enum" | "fn" | "macro" | "mod" | "static" | "struct" | "trait" | "type" | "union" => {
                names.insert(format!("{path}::{name}"));
            }
            _ => {}
        }
    }
    names
}

/// The macros that a crate exports, which stand at its root wherever they are written.
fn exported_macros(package: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in rust_files(&crate_folder(package).join("src")) {
        let code = code(&std::fs::read_to_string(file).unwrap());
        for exported in code.split("#[macro_export]").skip(1) {
            let Some((_, rest)) = exported.split_once("macro_rules! ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.insert(format!("{}::{name}", package.replace('-', "_")));
        }
    }
    names
}

/// What the façade re-exports, by the path that it comes from.
fn in_facade() -> BTreeSet<String> {
    let files = rust_files(&crate_folder("throughline").join("src"));
    let code = files.iter().map(|file| code(&std::fs::read_to_string(file).unwrap()));
    let public = code.flat_map(|code| imports(&without_tests(&code))).filter(|import| import.is_public);
    public.map(|import| import.path.join("::")).collect()
}

#[test]
fn every_public_name_is_in_the_facade_or_said_to_be_internal() {
    let found = in_facade();
    let public: BTreeSet<_> = CRATES
        .iter()
        .flat_map(|package| {
            let mut names = public_names(package, &[], &found);
            names.append(&mut exported_macros(package));
            names
        })
        .collect();
    assert!(public.len() > 200, "the names are read: {public:#?}");
    let is_internal = |name: &String| INTERNAL.iter().any(|(internal, _)| internal == name);
    let missing: Vec<_> = public.iter().filter(|name| !found.contains(*name) && !is_internal(name)).collect();
    assert!(
        missing.is_empty(),
        "public, but not in crates/throughline: re-export them in the module where they are looked for, or list them as \
         internal in tests/it/facade.rs with a reason:\n\n{missing:#?}"
    );
    let stale: Vec<_> = INTERNAL
        .iter()
        .filter(|(name, _)| !public.contains(*name) || found.contains(*name))
        .map(|(name, _)| name)
        .collect();
    assert!(stale.is_empty(), "listed as internal, but gone or in the façade: {stale:?}");
}

#[test]
fn the_facade_has_no_globs_and_a_root_that_can_be_remembered() {
    let globs: Vec<_> = in_facade().into_iter().filter(|path| path.ends_with("::*")).collect();
    assert!(globs.is_empty(), "a glob says nothing about what is public: {globs:?}");
    let root = code(&std::fs::read_to_string(crate_folder("throughline").join("src/lib.rs")).unwrap());
    let names: Vec<_> = imports(&root).into_iter().filter(|import| import.is_public).collect();
    assert!(names.len() <= MOST_AT_THE_ROOT, "{} names at the root: {names:#?}", names.len());
}

#[test]
fn each_module_of_the_facade_shows_how_it_is_used() {
    let folder = crate_folder("throughline").join("src");
    // What is in a folder is private to the module of its name.
    for file in rust_files(&folder).into_iter().filter(|file| file.parent() == Some(&folder)) {
        let source = std::fs::read_to_string(&file).unwrap();
        assert!(
            source.contains("```\n//! ") || source.contains("```no_run\n"),
            "no example in {}",
            file.display()
        );
        let uses = source.lines().filter(|line| line.starts_with("//! use throughline"));
        for line in uses {
            assert!(
                line.starts_with("//! use throughline::"),
                "{}: `{line}` does not use the façade",
                file.display()
            );
        }
    }
}
