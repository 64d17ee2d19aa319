//! Every crate under `crates/` can be published, and says what a registry shows of it.

use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

#[test]
fn every_crate_is_ready_to_be_published_and_nothing_else_is() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().unwrap().as_std_path();
        let is_published = package.publish.as_ref().is_none_or(|registries| !registries.is_empty());
        let should_be = folder.parent().is_some_and(|parent| parent.ends_with("crates"));
        match (should_be, is_published) {
            (true, true) => wrong.extend(lacks(package, folder)),
            (false, false) => {}
            (true, false) => wrong.push(format!("{}: remove `publish = false`", package.name)),
            (false, true) => wrong.push(format!("{}: add `publish = false`", package.name)),
        }
    }
    assert!(wrong.is_empty(), "crates/throughline-sqlite shows how it is done:\n\n{}\n", wrong.join("\n"));
}

/// What a package lacks, each with what to do.
fn lacks(package: &Package, folder: &Path) -> Vec<String> {
    let name = package.name.as_str();
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let has_licence = |file: &str| folder.join(file).is_file();
    let checks = [
        (package.description.is_some(), "`description`"),
        (package.documentation.as_ref().is_some_and(|url| url.ends_with(name)), "`documentation`"),
        (!package.keywords.is_empty() && package.keywords.len() <= 5, "one to five `keywords`"),
        (!package.categories.is_empty(), "`categories`"),
        (package.license.is_some(), "`license.workspace = true`"),
        (has_licence("LICENSE-MIT") && has_licence("LICENSE-APACHE"), "links to the licences of the root"),
        (readme.starts_with(&format!("# {name}\n")), "a README.md that begins with the crate's name"),
        (
            name == "throughline" || readme.contains("https://docs.rs/throughline)"),
            "a link to `throughline` in its README.md",
        ),
    ];
    let mut lacking: Vec<_> = checks
        .into_iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, what)| format!("{name}: lacks {what}"))
        .collect();
    // A development dependency by path alone is left out of a package; any other needs a version there.
    let by_path_alone = package.dependencies.iter().filter(|dependency| {
        dependency.path.is_some()
            && dependency.kind != DependencyKind::Development
            && dependency.req.comparators.is_empty()
    });
    lacking.extend(by_path_alone.map(|on| format!("{name}: `{}` needs a version beside its path", on.name)));
    lacking
}
