//! Which modules of a crate know each other in a ring, and that `docs/architecture.md` says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source::{code, crate_folder, imports, rust_files, without_tests};

const CRATES: &[&str] = &[
    "throughline",
    "throughline-cli",
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

/// Which top-level modules each top-level module of a crate knows. A module with everything below it is one: what its parts
/// know of each other is a family's own business. What the root of the crate defines is the module `lib`.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// What the crate's root says about itself.
struct Root {
    modules: BTreeSet<String>,
    /// Names that are imported from the root, by the module that they are from.
    re_exports: BTreeMap<String, String>,
}

impl Root {
    fn read(code: &str) -> Self {
        let declared = |line: &str| {
            let (before, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
            (before.is_empty() || before.starts_with("pub")).then(|| name.to_owned())
        };
        let modules: BTreeSet<_> = code.lines().filter_map(declared).collect();
        let re_exports = imports(code).into_iter().filter_map(|import| {
            let from = import.path.iter().find(|segment| !matches!(segment.as_str(), "crate" | "self"))?;
            modules.contains(from).then(|| (import.name.clone(), from.clone()))
        });
        let re_exports = re_exports.collect();
        Self { modules, re_exports }
    }

    /// The module that something is from which code finds in the root; `None` if it is a re-export of another crate.
    fn module_of(&self, name: &str, is_defined_here: impl FnOnce(&str) -> bool) -> Option<String> {
        if self.modules.contains(name) {
            return Some(name.to_owned());
        }
        let re_exported = self.re_exports.get(name).cloned();
        re_exported.or_else(|| is_defined_here(name).then(|| "lib".to_owned()))
    }
}

fn graph(sources: &Path) -> Graph {
    let read = |file: &Path| without_tests(&code(&std::fs::read_to_string(file).unwrap()));
    let Some(root_file) =
        ["lib.rs", "main.rs"].map(|name| sources.join(name)).into_iter().find(|file| file.exists())
    else {
        return Graph::new();
    };
    let root_code = read(&root_file);
    let root = Root::read(&root_code);
    let defined = |name: &str| {
        ["struct", "enum", "trait", "type", "fn", "const", "static", "macro_rules!"]
            .iter()
            .any(|kind| root_code.contains(&format!("{kind} {name}")))
    };
    let mut graph = Graph::new();
    for file in rust_files(sources) {
        let below = file.strip_prefix(sources).unwrap().with_extension("");
        let mut path: Vec<_> = below.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if path.last().is_some_and(|last| last == "mod") {
            path.pop();
        }
        let is_root = file == root_file;
        if !is_root && !is_declared(sources, &path, &root_code) {
            continue;
        }
        let from = if is_root { "lib".to_owned() } else { path[0].clone() };
        let depth = if is_root { 0 } else { path.len() };
        for known in known_at_root(&read(&file), depth) {
            let Some(to) = root.module_of(&known, defined) else { continue };
            if to != from {
                graph.entry(from.clone()).or_default().insert(to);
            }
        }
        if is_root {
            graph.entry(from).or_default().extend(used_by_root(&root, &root_code));
        }
    }
    graph
}

/// Whether the crate itself has the module of this path: other files are for tests alone, or programs of their own.
fn is_declared(sources: &Path, path: &[String], root_code: &str) -> bool {
    (0..path.len()).all(|depth| {
        let declares = |code: &str| code.contains(&format!("mod {};", path[depth]));
        if depth == 0 {
            return declares(root_code);
        }
        let above = sources.join(path[..depth].join("/"));
        let files = [above.with_extension("rs"), above.join("mod.rs")];
        files
            .iter()
            .filter_map(|file| std::fs::read_to_string(file).ok())
            .any(|text| declares(&without_tests(&code(&text))))
    })
}

/// The modules that the root's own code uses: what it only passes on is for others.
fn used_by_root(root: &Root, code: &str) -> BTreeSet<String> {
    let own_code: String = code.split_inclusive(';').filter(|item| !item.contains("use ")).collect();
    let words: BTreeSet<_> = own_code.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let used = root.re_exports.iter().filter(|(name, _)| words.contains(name.as_str()));
    used.map(|(_, module)| module.clone()).collect()
}

/// The names that a file, so many modules below the root, takes from the root: with `crate::`, or with enough `super::`.
fn known_at_root(code: &str, depth: usize) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut take = |path: &[String]| {
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let rest = match path.first().map(String::as_str) {
            Some("crate") => &path[1..],
            Some("super") if ups == depth => &path[ups..],
            _ => return,
        };
        if let Some(name) = rest.first().filter(|name| *name != "*") {
            known.insert(name.clone());
        }
    };
    for import in imports(code) {
        take(&import.path);
    }
    // Paths in the middle of code.
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for path in code.split(|c| !is_part(c)) {
        if path.starts_with("crate::") || path.starts_with("super::") {
            take(&path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>());
        }
    }
    known
}

/// The groups of modules of which each can be reached from each.
fn rings(graph: &Graph) -> BTreeSet<BTreeSet<String>> {
    let reach = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            for to in graph.get(module).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = graph.keys().map(|module| (module, reach(module))).collect();
    let ring_of = |module: &String| -> BTreeSet<String> {
        let mutual = |other: &&String| reached.get(*other).is_some_and(|back| back.contains(module));
        reached[module].iter().filter(mutual).cloned().collect()
    };
    graph.keys().map(ring_of).filter(|ring| ring.len() > 1).collect()
}

/// The rings that the document lists: crate, modules, reason.
fn listed() -> Vec<(String, BTreeSet<String>, String)> {
    let document = include_str!("../../docs/architecture.md");
    let (_, table) = document.split_once("<!-- BEGIN: compared by tests/it/module_rings.rs -->\n").unwrap();
    let (table, _) = table.split_once("<!-- END -->").unwrap();
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [package, modules, why] = cells[..] else { return None };
        let name = |text: &str| text.trim().trim_matches('`').to_owned();
        let is_row = package.starts_with('`');
        is_row.then(|| (name(package), modules.split(',').map(name).collect(), why.to_owned()))
    });
    rows.collect()
}

#[test]
fn modules_know_each_other_in_no_ring_but_those_that_the_document_gives_a_reason_for() {
    let mut measured = BTreeSet::new();
    for package in CRATES {
        let graph = graph(&crate_folder(package).join("src"));
        measured.extend(rings(&graph).into_iter().map(|ring| ((*package).to_owned(), ring)));
    }
    let listed = listed();
    let without_reason: Vec<_> = listed.iter().filter(|(_, _, why)| why.len() < 20).collect();
    assert!(without_reason.is_empty(), "each ring has a reason: {without_reason:#?}");
    let listed: BTreeSet<_> = listed.into_iter().map(|(package, ring, _)| (package, ring)).collect();
    let added: Vec<_> = measured.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&measured).collect();
    assert!(
        added.is_empty() && gone.is_empty(),
        "rings of modules that docs/architecture.md does not list: {added:#?}\nthat it lists and are gone: {gone:#?}\n\
         Take a ring apart by moving what both sides need into a module that neither knows, or give the reason in the table."
    );
}

#[test]
fn rings_are_found_through_groups_super_inline_paths_and_re_exports() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "lib.rs",
        "mod a;\nmod b;\nmod c;\nmod d;\n#[cfg(test)]\nmod tests;\npub use c::Sea;\npub use other::Thing;",
    );
    write("a.rs", "use super::b::Bee;\nuse crate::Thing;");
    write("b.rs", "mod inner;\nfn f() { crate::d::call() }");
    write("b/inner.rs", "use super::Bee;\nuse super::super::{c, Sea};");
    write(
        "c.rs",
        "// use crate::b;\n#[cfg(test)]\nmod inline { use crate::b::Bee; }\n#[cfg(test)]\nmod tests;",
    );
    write("c/tests.rs", "use crate::b::Bee;");
    write("d.rs", "use crate::{Sea, a::A};");
    write("tests.rs", "use crate::a;");
    let graph = graph(folder.path());
    let known = |module: &str| graph.get(module).into_iter().flatten().cloned().collect::<Vec<_>>();
    assert_eq!(known("a"), ["b"]);
    assert_eq!(known("b"), ["c", "d"]);
    assert_eq!(known("c"), [""; 0]);
    assert_eq!(known("d"), ["a", "c"]);
    assert_eq!(rings(&graph), BTreeSet::from([["a", "b", "d"].map(str::to_owned).into()]));
}
