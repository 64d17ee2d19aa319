//! The Node packages that some tests run: under `target/`, as the lock files have them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::steps::call;
use crate::tools::twice;

/// Packages, and where they come from and go to.
pub(crate) struct Packages {
    /// What the tests read from it: the folder with the packages.
    pub(crate) variable: &'static str,
    /// Where the lock file lies.
    lists: &'static str,
    /// The folder under `target/`.
    folder: &'static str,
}

/// What a caller needs that traces with OpenTelemetry, what builds the pages of the viewer and looks at them, and the same for
/// the script that watches pages.
pub(crate) const ALL: [Packages; 3] = [
    Packages { variable: "THROUGHLINE_NODE_MODULES", lists: "tests/node_client", folder: "node_client" },
    Packages {
        variable: "THROUGHLINE_VIEWER_MODULES",
        lists: "crates/throughline-viewer/web",
        folder: "viewer_web",
    },
    Packages {
        variable: "THROUGHLINE_BROWSER_MODULES",
        lists: "crates/throughline-tower/web",
        folder: "browser_web",
    },
];

/// What draws dashboards; no test of the usual run does.
pub(crate) const PERSES: Packages =
    Packages { variable: "THROUGHLINE_PERSES_MODULES", lists: "tests/perses", folder: "perses" };

const LISTS: [&str; 2] = ["package.json", "package-lock.json"];

/// Sees to it that the packages of the lock files are there, and no others.
pub(crate) fn provide() -> anyhow::Result<()> {
    ALL.iter().try_for_each(Packages::provide)
}

impl Packages {
    /// Sees to it that the packages of its lock file are there, and no others.
    pub(crate) fn provide(&self) -> anyhow::Result<()> {
        let folder = self.folder()?;
        if self.modules()?.exists() && LISTS.iter().all(|list| self.is_installed(&folder, list)) {
            println!("here already: what {}/package-lock.json lists", self.lists);
            return Ok(());
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let [list, lock] = LISTS;
        self.copy(&folder, list)?;
        // The copy of the lock file says what is installed: it does not outlive a failure.
        twice(|| {
            self.copy(&folder, lock)?;
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
    pub(crate) fn modules(&self) -> anyhow::Result<PathBuf> {
        Ok(self.folder()?.join("node_modules"))
    }

    fn folder(&self) -> anyhow::Result<PathBuf> {
        Ok(std::path::absolute(Path::new("target").join(self.folder))?)
    }

    fn is_installed(&self, folder: &Path, list: &str) -> bool {
        let wanted = fs::read(Path::new(self.lists).join(list));
        wanted.is_ok_and(|wanted| fs::read(folder.join(list)).is_ok_and(|installed| installed == wanted))
    }

    fn copy(&self, folder: &Path, list: &str) -> anyhow::Result<()> {
        let from = Path::new(self.lists).join(list);
        fs::copy(&from, folder.join(list)).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    }
}
