//! The pages that are part of the crate are what their sources build, and the sources have no error of types.

use std::path::{Path, PathBuf};
use std::process::Command;

const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web");

/// Where `cargo xtask test` has put the packages of `web/package-lock.json`.
pub(crate) fn modules() -> PathBuf {
    let of_xtask = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/viewer_web/node_modules");
    std::env::var_os("THROUGHLINE_VIEWER_MODULES").map_or_else(of_xtask, PathBuf::from)
}

/// Whether tests that need these programs, besides the packages, are left out.
pub(crate) fn may_be_left_out(programs: &[&str]) -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let runs = |program: &&str| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let is_there = || modules().join("esbuild").exists() && programs.iter().all(runs);
    if services == "off" || (services != "required" && !is_there()) {
        eprintln!(
            "left out: it needs {} and the packages that `cargo xtask test` installs",
            programs.join(", ")
        );
        return true;
    }
    false
}

/// Runs a script of Node that has to end well.
fn node(arguments: &[&std::ffi::OsStr], folder: &Path) {
    let mut node = Command::new("node");
    let output = node.args(arguments).env("NODE_PATH", modules()).current_dir(folder).output();
    let output = output.expect("node runs: install it, or set THROUGHLINE_SERVICES=off");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_pages_are_what_their_sources_build() {
    if may_be_left_out(&["node"]) {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    node(&["build.mjs".as_ref(), out.path().as_os_str()], Path::new(WEB));
    for file in ["app.js", "app.css"] {
        let built = std::fs::read(out.path().join(file)).unwrap();
        let ours =
            std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/assets").join(file)).unwrap();
        assert!(
            built == ours,
            "src/assets/{file} is not what web/ builds. Build it again:\n\n    cd crates/throughline-viewer/web && \
             NODE_PATH={} node build.mjs ../src/assets\n",
            modules().display()
        );
    }
}

#[test]
fn the_sources_of_the_pages_have_no_error_of_types() {
    if may_be_left_out(&["node"]) {
        return;
    }
    // The compiler looks for packages in the folders above the sources.
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(Path::new(WEB).join("tsconfig.json"), folder.path().join("tsconfig.json")).unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    for file in std::fs::read_dir(Path::new(WEB).join("src")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join("src").join(file.file_name())).unwrap();
    }
    std::os::unix::fs::symlink(modules().canonicalize().unwrap(), folder.path().join("node_modules"))
        .unwrap();
    node(&[modules().join("typescript/bin/tsc").as_os_str(), "-p".as_ref(), ".".as_ref()], folder.path());
}
