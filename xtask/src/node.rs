//! The Node packages of the client that some tests run: under `target/`, as the lock file has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::steps::call;
use crate::tools::twice;

/// What the tests read from it: the folder with the packages.
pub(crate) const MODULES: &str = "THROUGHLINE_NODE_MODULES";

/// Where the client and its lock file lie.
const CLIENT: &str = "tests/node_client";
const LISTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Sees to it that the packages of the lock file are there, and no others.
pub(crate) fn provide() -> anyhow::Result<()> {
    let folder = folder()?;
    if modules()?.exists() && LISTS.iter().all(|list| is_installed(&folder, list)) {
        println!("here already: what {CLIENT}/package-lock.json lists");
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let [list, lock] = LISTS;
    copy(&folder, list)?;
    // The copy of the lock file says what is installed: it does not outlive a failure.
    twice(|| {
        copy(&folder, lock)?;
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
        let installed = call(&mut npm);
        if installed.is_err() {
            fs::remove_file(folder.join(lock))?;
        }
        installed
    })
}

/// The folder with the packages once they are [provided](provide).
pub(crate) fn modules() -> anyhow::Result<PathBuf> {
    Ok(folder()?.join("node_modules"))
}

fn folder() -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(Path::new("target").join("node_client"))?)
}

fn is_installed(folder: &Path, list: &str) -> bool {
    let wanted = fs::read(Path::new(CLIENT).join(list));
    wanted.is_ok_and(|wanted| fs::read(folder.join(list)).is_ok_and(|installed| installed == wanted))
}

fn copy(folder: &Path, list: &str) -> anyhow::Result<()> {
    let from = Path::new(CLIENT).join(list);
    fs::copy(&from, folder.join(list)).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
