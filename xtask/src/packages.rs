//! What a registry would get, and what may be depended on.

use crate::steps::{call, cargo};

/// The packages of the workspace that are not published.
const UNPUBLISHED: [&str; 3] = ["throughline-benches", "throughline-workspace", "xtask"];

/// Packages every crate that is published, without compiling the packages: the tests have compiled the same code.
pub(crate) fn package() -> anyhow::Result<()> {
    let mut package = cargo();
    // Offline, for all that is depended on has been compiled by now, and the index takes longer than the step.
    package.args([
        "package",
        "--workspace",
        "--no-verify",
        "--allow-dirty",
        "--locked",
        "--offline",
        "--quiet",
    ]);
    for name in UNPUBLISHED {
        package.args(["--exclude", name]);
    }
    call(&mut package)
}

/// Checks licences, sources and bans where `cargo-deny` is installed; compiling it would take longer than all tests.
pub(crate) fn check_dependencies() -> anyhow::Result<()> {
    if which::which("cargo-deny").is_err() {
        println!("skipped: cargo-deny is not installed (`cargo install cargo-deny --locked` does it)");
        return Ok(());
    }
    call(cargo().args([
        "deny",
        "--log-level",
        "error",
        "--workspace",
        "--locked",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}
