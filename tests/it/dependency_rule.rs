//! Who may know whom: core ← every sibling ← façade ← {cli, examples, tests, benches}.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Crates, or families of crates whose names begin so, that core must not reach: what speaks HTTP, what belongs
/// to a vendor, what exports.
const FOREIGN_TO_CORE: &[&str] = &[
    "axum",
    "azure",
    "fred",
    "h2",
    "http",
    "hyper",
    "libsqlite3",
    "metrics-",
    "opentelemetry",
    "prometheus",
    "redis",
    "reqwest",
    "rusqlite",
    "rustls",
    "sentry",
    "tonic",
    "tower",
    "tracing-opentelemetry",
    "tracing-subscriber",
];

/// Where a crate stands. An edge must go to a lower level, so crates of one level never know each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Core,
    Sibling,
    Facade,
    Top,
}

impl Level {
    fn of(name: &str) -> Option<Self> {
        match name {
            "throughline-core" => Some(Self::Core),
            "throughline" => Some(Self::Facade),
            "throughline-cli" | "throughline-workspace" | "throughline-benches" | "xtask" => Some(Self::Top),
            _ => name.starts_with("throughline-").then_some(Self::Sibling),
        }
    }
}

/// What one crate of the workspace depends on, as its manifest says.
#[derive(Debug, Clone)]
struct Member {
    name: String,
    dependencies: Vec<(String, DependencyKind)>,
}

/// Every edge between members that the rule forbids, with the way out.
fn forbidden_edges(members: &[Member]) -> Vec<String> {
    let names: BTreeSet<_> = members.iter().map(|member| member.name.as_str()).collect();
    let mut found = Vec::new();
    for Member { name, dependencies } in members {
        let Some(from) = Level::of(name) else {
            found.push(format!(
                "`{name}` has no place in the rule. Name it `throughline-…` if it belongs beside core, or give it \
                 a level in tests/it/dependency_rule.rs if it stands on top."
            ));
            continue;
        };
        for (to, kind) in dependencies {
            let own_tests = name == to && *kind == DependencyKind::Development;
            if own_tests || !names.contains(to.as_str()) || Level::of(to).is_some_and(|to| to < from) {
                continue;
            }
            found.push(format!("`{name}` must not depend on `{to}` ({kind}). {}", way_out(from, *kind)));
        }
    }
    found
}

fn way_out(from: Level, kind: DependencyKind) -> &'static str {
    match (from, kind) {
        (Level::Top, _) => "Programs, examples and tests share code through the façade or a crate below it.",
        (_, DependencyKind::Development) => {
            "A test that needs several crates belongs to the workspace's own tests, in tests/it/."
        }
        (Level::Core, _) => {
            "Core knows nobody: let it define a trait, and implement the trait in the other crate."
        }
        (Level::Sibling, _) => {
            "Siblings know core alone, so that each can be used, replaced and released by itself: put what they \
             share into core (a trait, a name), and bring them together in the façade."
        }
        (Level::Facade, _) => "The façade re-exports what is below it; what uses the façade stays above it.",
    }
}

/// Every path from core to a crate that is foreign to it.
fn foreign_crates(core: &str, edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut paths = vec![vec![core.to_owned()]];
    while let Some(path) = paths.pop() {
        let Some(last) = path.last() else { continue };
        for next in edges.get(last).into_iter().flatten() {
            if !seen.insert(next.clone()) {
                continue;
            }
            let path: Vec<_> = path.iter().chain([next]).cloned().collect();
            if FOREIGN_TO_CORE.iter().any(|family| next.starts_with(family)) {
                found.push(format!(
                    "core reaches `{next}`: {}. Core knows no HTTP, no vendor and no exporter; whoever needs one \
                     implements core's traits in a crate of its own.",
                    path.join(" → ")
                ));
            } else {
                paths.push(path);
            }
        }
    }
    found
}

/// The workspace as cargo sees it on this machine; other platforms' crates need not be downloaded for it.
fn metadata() -> Metadata {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let host = Command::new(rustc).args(["--print", "host-tuple"]).output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .features(cargo_metadata::CargoOpt::AllFeatures)
        .other_options(["--filter-platform".to_owned(), host.trim().to_owned()])
        .exec()
        .unwrap()
}

fn members(metadata: &Metadata) -> Vec<Member> {
    let member = |package: &cargo_metadata::Package| Member {
        name: package.name.to_string(),
        dependencies: package.dependencies.iter().map(|on| (on.name.clone(), on.kind)).collect(),
    };
    metadata.workspace_packages().into_iter().map(member).collect()
}

/// Normal and build edges of the resolved graph, by name.
fn resolved_edges(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let name = |id: &PackageId| metadata[id].name.to_string();
    let nodes = &metadata.resolve.as_ref().unwrap().nodes;
    let shipped = |on: &&cargo_metadata::NodeDep| {
        on.dep_kinds.iter().any(|dependency| dependency.kind != DependencyKind::Development)
    };
    nodes
        .iter()
        .map(|node| (name(&node.id), node.deps.iter().filter(shipped).map(|on| name(&on.pkg)).collect()))
        .collect()
}

#[test]
fn no_crate_knows_what_it_must_not_know() {
    let metadata = metadata();
    let members = members(&metadata);
    assert!(members.iter().any(|member| member.name == "throughline-core"), "{members:#?}");
    let mut broken = forbidden_edges(&members);
    broken.extend(foreign_crates("throughline-core", &resolved_edges(&metadata)));
    assert!(
        broken.is_empty(),
        "the dependency rule is broken (docs/architecture.md):\n\n{}\n",
        broken.join("\n")
    );
}

/// A workspace that keeps the rule, with one edge more.
fn workspace_with(from: &str, to: &str, kind: DependencyKind) -> Vec<Member> {
    let member = |name: &str, on: &[&str]| Member {
        name: name.to_owned(),
        dependencies: on.iter().map(|to| ((*to).to_owned(), DependencyKind::Normal)).collect(),
    };
    let mut members = vec![
        member("throughline-core", &["serde"]),
        member("throughline-sqlite", &["throughline-core", "rusqlite"]),
        member("throughline-tower", &["throughline-core", "tower"]),
        member("throughline", &["throughline-core", "throughline-sqlite", "throughline-tower"]),
        member("throughline-cli", &["throughline", "throughline-sqlite"]),
        member("throughline-benches", &["throughline"]),
    ];
    let extended = members.iter_mut().find(|member| member.name == from).unwrap();
    extended.dependencies.push((to.to_owned(), kind));
    members
}

#[test]
fn each_forbidden_edge_is_found_and_the_message_says_what_to_do() {
    use DependencyKind::{Development, Normal};
    let cases = [
        ("throughline-core", "throughline-sqlite", Normal, "define a trait"),
        ("throughline-core", "throughline-sqlite", Development, "tests/it/"),
        ("throughline-sqlite", "throughline-tower", Normal, "put what they share into core"),
        ("throughline-sqlite", "throughline", Development, "tests/it/"),
        ("throughline", "throughline-cli", Normal, "stays above it"),
        ("throughline-cli", "throughline-benches", Normal, "through the façade"),
    ];
    for (from, to, kind, way_out) in cases {
        let found = forbidden_edges(&workspace_with(from, to, kind));
        assert_eq!(found.len(), 1, "{from} to {to}: {found:#?}");
        assert!(found[0].contains(from) && found[0].contains(to) && found[0].contains(way_out), "{found:#?}");
    }
}

#[test]
fn allowed_edges_are_left_alone() {
    use DependencyKind::{Development, Normal};
    for (from, to, kind) in [
        ("throughline-core", "throughline-core", Development),
        ("throughline-sqlite", "throughline-core", Development),
        ("throughline-cli", "throughline-core", Normal),
        ("throughline-core", "hyper-like-but-not-ours", Normal),
    ] {
        assert!(forbidden_edges(&workspace_with(from, to, kind)).is_empty(), "{from} to {to}");
    }
}

#[test]
fn a_foreign_crate_deep_below_core_is_found_with_its_path() {
    let edge = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let edges = BTreeMap::from([edge("throughline-core", "helper"), edge("helper", "hyper-util")]);
    let found = foreign_crates("throughline-core", &edges);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("throughline-core → helper → hyper-util"), "{found:#?}");
}

#[test]
fn a_crate_without_a_place_is_named() {
    let stranger = Member { name: "stranger".to_owned(), dependencies: Vec::new() };
    assert!(forbidden_edges(&[stranger])[0].contains("no place"));
}
