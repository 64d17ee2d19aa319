//! System tools that some tests run: what is missing is installed where that is allowed.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{bail, ensure};

/// A tool, and the Debian package that brings it.
struct Tool {
    name: &'static str,
    package: &'static str,
    why: &'static str,
    /// Where being there is not enough.
    probe: Option<Probe>,
}

/// A question that only a tool that will do answers with success.
struct Probe {
    arguments: &'static [&'static str],
    /// What the tool has to be like, and what helps if the package does not.
    wanted: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "strace",
        package: "strace",
        why: "proves that an fdatasync comes before every acknowledgement",
        probe: None,
    },
    Tool { name: "sqlite3", package: "sqlite3", why: "opens the store as people do", probe: None },
    Tool {
        name: "redis-server",
        package: "redis-server",
        why: "is what workers and the live feed are proved on",
        probe: None,
    },
    Tool {
        name: "valgrind",
        package: "valgrind",
        why: "counts the instructions of the hot paths",
        probe: None,
    },
    Tool {
        name: "initdb",
        package: "postgresql",
        why: "makes the Postgres server that the store is proved on",
        probe: None,
    },
    Tool {
        name: "pgbouncer",
        package: "pgbouncer",
        why: "stands before that server, and hands each transaction to another session",
        probe: None,
    },
    Tool { name: "promtool", package: "prometheus", why: "checks what is scraped", probe: None },
    Tool {
        name: "amtool",
        package: "prometheus-alertmanager",
        why: "checks who is told of which alert",
        probe: None,
    },
    Tool {
        name: "prometheus-blackbox-exporter",
        package: "prometheus-blackbox-exporter",
        why: "looks at a service from outside",
        probe: None,
    },
    Tool { name: "openssl", package: "openssl", why: "answers that prober with a certificate", probe: None },
    Tool {
        name: "docker-compose",
        package: "docker-compose",
        why: "checks the compose file and its profiles",
        probe: None,
    },
    Tool {
        name: "node",
        package: "nodejs",
        why: "calls a service as people do who trace with OpenTelemetry",
        // What `engines` in the lock file says of the OpenTelemetry packages.
        probe: Some(Probe {
            arguments: &[
                "-e",
                "const [major, minor] = process.versions.node.split('.').map(Number);
                 const fits = major > 20 || (major === 20 && minor >= 6) || (major === 18 && minor >= 19);
                 process.exit(fits ? 0 : 1)",
            ],
            wanted: "version 20.6 or later, or 18.19 or later of 18 (https://nodejs.org/en/download has them)",
        }),
    },
    Tool { name: "npm", package: "npm", why: "installs the packages that Node needs", probe: None },
    Tool { name: "chromium", package: "chromium", why: "looks at the pages of the viewer", probe: None },
    Tool {
        name: "python3",
        package: "python3-venv",
        why: "has the strictest reader of OpenMetrics, and a server that speaks the protocol of Sentry",
        // Debian takes these modules out of its Python, and puts them into the package above.
        probe: Some(Probe {
            arguments: &["-c", "import ensurepip, venv"],
            wanted: "one with the modules venv and ensurepip (another python3 on the PATH may be in the way)",
        }),
    },
];

impl Tool {
    /// Debian keeps the programs of a Postgres server off the path.
    fn path(&self) -> Option<PathBuf> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut beside = versions.map(|version| version.path().join("bin").join(self.name));
        which::which(self.name).ok().or_else(|| beside.find(|path| path.exists()))
    }

    fn is_there(&self) -> bool {
        self.path().is_some() && self.probe.as_ref().is_none_or(|probe| probe.succeeds(self.name))
    }

    /// What is wrong with one that is not there.
    fn lack(&self) -> String {
        match &self.probe {
            Some(probe) if self.path().is_some() => {
                format!("{} will not do: want {}", self.name, probe.wanted)
            }
            _ => format!("{} is missing", self.name),
        }
    }
}

impl Probe {
    fn succeeds(&self, name: &str) -> bool {
        let mut command = Command::new(name);
        command.args(self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// Installs packages, as root. Some of them are servers that would start at once on their default ports; the policy
/// that forbids it is the one of [Debian](https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt),
/// and goes away with the shell unless it was there before.
const INSTALL: &str = r#"
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
apt-get update
apt-get install -y --no-install-recommends "$@"
"#;

/// Sees to it that every tool is there.
pub(crate) fn provide() -> anyhow::Result<()> {
    let missing: Vec<_> = TOOLS.iter().filter(|tool| !tool.is_there()).collect();
    if missing.is_empty() {
        println!("here already: {}", names());
        return Ok(());
    }
    for tool in &missing {
        println!("{}; it {}", tool.lack(), tool.why);
    }
    let packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
    let apt_command = format!("apt-get update && apt-get install -y {}", packages.join(" "));
    if !may_install() {
        bail!(
            "some tools are missing. Install them:\n\n    sudo sh -c '{apt_command}'\n\nor leave out what needs them:\n\n    cargo xtask test --without-services\n"
        );
    }
    let install = || {
        let status = as_root("sh").args(["-c", INSTALL, "install"]).args(&packages).status()?;
        ensure!(status.success(), "installing {} ended with {status}", packages.join(", "));
        Ok(())
    };
    twice(install)?;
    match missing.iter().find(|tool| !tool.is_there()) {
        Some(tool) => bail!("after `{apt_command}`, {}", tool.lack()),
        None => Ok(()),
    }
}

/// Mirrors have bad moments; one more try is cheaper than a failed run.
pub(crate) fn twice(step: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    step().or_else(|first| {
        println!("{first:#}; trying once more");
        step()
    })
}

/// What [`provide`] would have seen to.
pub(crate) fn names() -> String {
    TOOLS.iter().map(|tool| tool.name).collect::<Vec<_>>().join(", ")
}

/// Whether this is a run of CI.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

fn may_install() -> bool {
    which::which("apt-get").is_ok() && (in_ci() || is_root())
}

/// `/proc` shows the user without a call into libc, which would be unsafe code or one more crate.
fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .any(|line| line.strip_prefix("Uid:").and_then(|ids| ids.split_whitespace().nth(1)) == Some("0"))
    })
}

fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    // In CI that is not root, `sudo` without a password is the custom.
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", program]);
    sudo
}
