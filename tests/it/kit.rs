//! What `throughline-kit` writes, taken by the tools that it is written for.

mod alerts;
mod cases;
mod dashboards;
mod files;
mod kubernetes;
mod live;
mod routing;
mod simulated;
mod slo;
mod tape;
mod uptime;

use std::process::Command;

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
