//! Who may know whom: {model, redact} ← query ← core ← every sibling ← façade ← {cli, examples, tests, benches}; and
//! stores stand on the model alone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// A crate that must not reach some others, however deep in its dependency tree.
#[derive(Debug, Clone, Copy)]
struct Boundary {
    name: &'static str,
    /// Crates, or families of crates whose names begin so.
    foreign: &'static [&'static str],
    reason: &'static str,
}

const BOUNDARIES: &[Boundary] = &[
    Boundary {
        name: "throughline-core",
        foreign: FOREIGN_TO_CORE,
        reason: "Core depends on no HTTP, no vendor and no exporter; implement core's traits in a separate crate \
                 instead.",
    },
    Boundary {
        name: "throughline-model",
        foreign: FOREIGN_TO_MODEL,
        reason: "The model is all that a third party needs to write a store: no runtime (but for the suites in `testing`), \
                 no patterns, no colours, no instrumentation.",
    },
    Boundary {
        name: "throughline-redact",
        foreign: FOREIGN_TO_REDACT,
        reason: "Redaction is for anybody: it knows texts, names and JSON values, but no event, no runtime and no \
                 logging. What redacts an event is in core.",
    },
];

/// What instruments code, speaks HTTP, searches texts or paints them, and every other crate of ours.
const FOREIGN_TO_MODEL: &[&str] =
    &["aho-corasick", "anstyle", "http", "hyper", "metrics", "regex", "rusqlite", "throughline", "tracing"];

/// Stores and feeds stand on the model alone, as those of third parties do.
const STORES: &[&str] =
    &["throughline-cosmos", "throughline-postgres", "throughline-redis", "throughline-sqlite"];

/// What needs a runtime or instruments code, and every other crate of ours.
const FOREIGN_TO_REDACT: &[&str] = &["futures", "log", "metrics", "throughline", "tokio", "tracing"];

/// What speaks HTTP, what belongs to a vendor, what exports.
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
    "postgres",
    "prometheus",
    "redis",
    "reqwest",
    "rusqlite",
    "rustls",
    "sentry",
    "tokio-postgres",
    "tonic",
    "tower",
    "tracing-opentelemetry",
    "tracing-subscriber",
];

/// Where a crate stands. An edge must go to a lower level, so crates of one level never know each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// What tests share that knows no crate of ours.
    Tool,
    Foundation,
    Query,
    Core,
    Sibling,
    Facade,
    Top,
}

impl Level {
    fn of(name: &str) -> Option<Self> {
        match name {
            "throughline-fuzz" => Some(Self::Tool),
            "throughline-model" | "throughline-redact" => Some(Self::Foundation),
            "throughline-query" => Some(Self::Query),
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
            if own_tests || !names.contains(to.as_str()) {
                continue;
            }
            let is_store = STORES.contains(&name.as_str()) && *kind != DependencyKind::Development;
            if is_store && to != "throughline-model" {
                found.push(format!(
                    "`{name}` must not depend on `{to}` ({kind}). A store knows the model alone, but for its tests: what it \
                     lacks belongs to the model, where stores of others find it, too."
                ));
                continue;
            }
            if Level::of(to).is_some_and(|to| to < from) {
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
        (Level::Tool, _) => "What the tests of any crate may use knows none of them.",
        (Level::Foundation, _) => {
            "The event and redaction know nobody, not even each other: what needs both belongs to core."
        }
        (Level::Query, _) => "Queries are functions of the events: all that they need belongs to the model.",
        (Level::Core, _) => {
            "Core knows the model, redaction and queries alone: let it define a trait, and implement the trait in \
             the other crate."
        }
        (Level::Sibling, _) => {
            "Siblings know core and what is below it, so that each can be used, replaced and released by itself: put what they \
             share into core (a trait, a name), and bring them together in the façade."
        }
        (Level::Facade, _) => "The façade re-exports what is below it; what uses the façade stays above it.",
    }
}

/// Every path from a crate to one that is foreign to it.
fn foreign_crates(boundary: Boundary, edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let Boundary { name, foreign, reason } = boundary;
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut paths = vec![vec![name.to_owned()]];
    while let Some(path) = paths.pop() {
        let Some(last) = path.last() else { continue };
        for next in edges.get(last).into_iter().flatten() {
            if !seen.insert(next.clone()) {
                continue;
            }
            let path: Vec<_> = path.iter().chain([next]).cloned().collect();
            if foreign.iter().any(|family| next.starts_with(family)) {
                found.push(format!("`{name}` reaches `{next}`: {}. {reason}", path.join(" → ")));
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
    for Boundary { name, .. } in BOUNDARIES {
        assert!(members.iter().any(|member| member.name == *name), "no `{name}` in {members:#?}");
    }
    let mut broken = forbidden_edges(&members);
    let edges = resolved_edges(&metadata);
    broken.extend(BOUNDARIES.iter().flat_map(|&boundary| foreign_crates(boundary, &edges)));
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
        member("throughline-fuzz", &["bolero"]),
        member("throughline-model", &["serde"]),
        member("throughline-redact", &["regex"]),
        member("throughline-query", &["throughline-model"]),
        member("throughline-core", &["throughline-model", "throughline-query", "throughline-redact"]),
        member("throughline-sqlite", &["throughline-model", "rusqlite"]),
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
        ("throughline-fuzz", "throughline-model", Development, "tests/it/"),
        ("throughline-fuzz", "throughline-model", Normal, "knows none of them"),
        ("throughline-redact", "throughline-model", Normal, "belongs to core"),
        ("throughline-model", "throughline-redact", Normal, "belongs to core"),
        ("throughline-query", "throughline-core", Normal, "belongs to the model"),
        ("throughline-model", "throughline-core", Development, "tests/it/"),
        ("throughline-core", "throughline-sqlite", Normal, "define a trait"),
        ("throughline-core", "throughline-sqlite", Development, "tests/it/"),
        ("throughline-tower", "throughline-sqlite", Normal, "put what they share into core"),
        ("throughline-sqlite", "throughline-core", Normal, "knows the model alone"),
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
        ("throughline-redact", "throughline-fuzz", Development),
        ("throughline-sqlite", "throughline-core", Development),
        ("throughline-sqlite", "throughline-model", Normal),
        ("throughline-query", "throughline-redact", Normal),
        ("throughline-cli", "throughline-core", Normal),
        ("throughline-core", "hyper-like-but-not-ours", Normal),
    ] {
        assert!(forbidden_edges(&workspace_with(from, to, kind)).is_empty(), "{from} to {to}");
    }
}

#[test]
fn a_foreign_crate_deep_below_is_found_with_its_path() {
    let edge = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    for (boundary, foreign) in BOUNDARIES.iter().zip(["hyper-util", "regex-automata", "throughline-model"]) {
        let name = boundary.name;
        let edges = BTreeMap::from([edge(name, "helper"), edge("helper", foreign)]);
        let found = foreign_crates(*boundary, &edges);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains(&format!("{name} → helper → {foreign}")), "{found:#?}");
    }
}

#[test]
fn a_crate_without_a_place_is_named() {
    let stranger = Member { name: "stranger".to_owned(), dependencies: Vec::new() };
    assert!(forbidden_edges(&[stranger])[0].contains("no place"));
}
