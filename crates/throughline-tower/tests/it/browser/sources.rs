//! The script that is part of the crate is what its source builds, and the source has no error of types.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const WEB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web");

/// Where `cargo xtask test` has put the packages of `web/package-lock.json`.
pub(super) fn modules() -> PathBuf {
    let of_xtask = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/browser_web/node_modules");
    std::env::var_os("THROUGHLINE_BROWSER_MODULES").map_or_else(of_xtask, PathBuf::from)
}

/// Whether tests that need these programs, besides the packages, are left out.
pub(super) fn may_be_left_out(programs: &[&str]) -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let runs = |program: &&str| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let is_there = || modules().join("web-vitals").exists() && programs.iter().all(runs);
    let left_out = services == "off" || (services != "required" && !is_there());
    if left_out {
        eprintln!(
            "left out: it needs {} and the packages that `cargo xtask test` installs",
            programs.join(", ")
        );
    }
    left_out
}

/// Runs a script of Node that has to end well.
fn node(arguments: &[&OsStr], folder: &Path) {
    let mut node = Command::new("node");
    let output = node.args(arguments).env("NODE_PATH", modules()).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| {
        panic!("node does not run ({error}): install it, or set THROUGHLINE_SERVICES=off")
    });
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_script_is_what_its_source_builds() {
    if may_be_left_out(&["node"]) {
        return;
    }
    let out = tempfile::tempdir().unwrap();
    node(&["build.mjs".as_ref(), out.path().as_os_str()], Path::new(WEB));
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/browser/assets");
    let built = std::fs::read(out.path().join("script.js")).unwrap();
    let ours = std::fs::read(assets.join("script.js")).unwrap();
    assert!(
        built == ours,
        "src/browser/assets/script.js is not what web/ builds. Build it again:\n\n    cd crates/throughline-tower/web && \
         NODE_PATH={} node build.mjs ../src/browser/assets\n",
        modules().display()
    );
    // Other versions of Node may compress otherwise: what counts is what it is when it is read.
    let same = "const { readFileSync: read } = require('node:fs'), zlib = require('node:zlib');
        const [plain, brotli, gzip] = ['', '.br', '.gz'].map((end) => read(`script.js${end}`));
        process.exit(plain.equals(zlib.brotliDecompressSync(brotli)) && plain.equals(zlib.gunzipSync(gzip)) ? 0 : 1)";
    node(&["-e".as_ref(), same.as_ref()], &assets);
}

#[test]
fn the_source_of_the_script_has_no_error_of_types() {
    if may_be_left_out(&["node"]) {
        return;
    }
    // The compiler looks for packages in the folders above the sources.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    for file in ["tsconfig.json", "src/script.ts", "src/library.ts"] {
        std::fs::copy(Path::new(WEB).join(file), folder.path().join(file)).unwrap();
    }
    std::os::unix::fs::symlink(modules().canonicalize().unwrap(), folder.path().join("node_modules"))
        .unwrap();
    node(&[modules().join("typescript/bin/tsc").as_os_str(), "-p".as_ref(), ".".as_ref()], folder.path());
}
