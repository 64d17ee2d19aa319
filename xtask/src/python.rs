//! Python packages that some tests run: in an environment of their own under `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::call;
use crate::tools::twice;

/// What the tests read from it: the interpreter that has the packages.
pub(crate) const PYTHON: &str = "THROUGHLINE_PYTHON";

/// Pinned, so that a release elsewhere breaks no build here.
const PACKAGES: &[&str] = &[
    "bugsink==2.6.2",
    "cloudcoil==0.6.0",
    "cloudcoil-models-prometheus-operator==0.80.1.0",
    "grafana-foundation-sdk==1769699379!11.6.0",
    "grpcio==1.85.3",
    "kubernetes-validate==1.37.0",
    "opentelemetry-proto==1.45.2",
    "oteltap==1.0.0",
    "prometheus-client==0.26.0",
    "sentry-relay==0.10.1",
];

/// Sees to it that every package is there, and says which interpreter has them.
pub(crate) fn provide() -> anyhow::Result<()> {
    let python = interpreter()?;
    if has_all(&python) {
        println!("here already: {}", PACKAGES.join(", "));
        return Ok(());
    }
    twice(|| {
        let folder = environment()?;
        call(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        call(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(PACKAGES),
        )
    })
}

/// The interpreter that has the packages once they are [provided](provide).
pub(crate) fn interpreter() -> anyhow::Result<PathBuf> {
    Ok(environment()?.join("bin").join("python3"))
}

fn environment() -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(Path::new("target").join("python"))?)
}

fn has_all(python: &Path) -> bool {
    let freeze = Command::new(python).args(["-m", "pip", "freeze", "--disable-pip-version-check"]).output();
    freeze.is_ok_and(|freeze| {
        let installed = String::from_utf8_lossy(&freeze.stdout);
        PACKAGES.iter().all(|package| installed.lines().any(|line| canonical(line) == canonical(package)))
    })
}

/// Names of packages are compared [without regard to case and to what separates their words](https://peps.python.org/pep-0503/).
fn canonical(package: &str) -> String {
    package.trim().to_ascii_lowercase().replace(['_', '.'], "-")
}
