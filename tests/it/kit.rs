//! What `throughline-kit` writes, taken by the tools that it is written for.

mod alerts;
mod cases;
mod dashboards;
mod drawn;
mod files;
mod kubernetes;
mod live;
mod routing;
mod simulated;
mod slo;
mod tape;
mod uptime;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use throughline::metrics::Profile;

/// The profiles, and what to call them.
fn profiles() -> [(&'static str, Profile); 4] {
    [
        ("standard", Profile::standard()),
        ("aliases", Profile::aliases("acme")),
        ("aliases without a prefix", Profile::aliases("")),
        ("both", Profile::both("acme")),
    ]
}

/// Whether a program is not there, and may be done without.
fn may_do_without(program: &str) -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_there = || Command::new(program).arg("--version").output().is_ok();
    let left_out = services == "off" || (services != "required" && !is_there());
    if left_out {
        eprintln!("left out: there is no {program} to take what the kit writes");
    }
    left_out
}

/// What a program answers; what it complains of is the error.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let said = Command::new(program).args(arguments).output().expect("the program runs");
    let answer = String::from_utf8_lossy(&said.stdout).into_owned();
    if said.status.success() { Ok(answer) } else { Err(answer + &String::from_utf8_lossy(&said.stderr)) }
}

/// The interpreter of Python that has a package; nothing if this may be left out.
fn python_with(package: &str) -> Option<PathBuf> {
    let of_xtask = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python3");
    let python = std::env::var_os("THROUGHLINE_PYTHON").map_or_else(of_xtask, PathBuf::from);
    let has_it = || {
        let import = Command::new(&python).args(["-c", &format!("import {package}")]).output();
        import.is_ok_and(|import| import.status.success())
    };
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let left_out = services == "off" || (services != "required" && !has_it());
    if left_out {
        eprintln!("left out: there is no {package} to check what the kit writes with");
    }
    (!left_out).then_some(python)
}

/// What a script says of what it is given as JSON: it reads it into the types of somebody else, and says what these do not have.
fn lost(python: &Path, script: &str, given: &str) -> String {
    let mut process = Command::new(python)
        .args(["-c", &[include_str!("kit/lost.py"), script].concat()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs: `cargo xtask test` installs it, or set THROUGHLINE_SERVICES=off");
    process.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let said = process.wait_with_output().unwrap();
    String::from_utf8([said.stdout, said.stderr].concat()).unwrap()
}
