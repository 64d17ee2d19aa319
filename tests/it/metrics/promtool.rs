//! Prometheus' own tool reads the page and has nothing to complain of.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{Busy, may_do_without, profiles};

/// What `promtool check metrics` says of a page, and whether it accepts it.
fn check(page: &str) -> (bool, String) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs: install it, or set THROUGHLINE_SERVICES=off");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let text = [said.stdout, said.stderr].concat();
    (said.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn is_missing() -> bool {
    may_do_without("promtool", || Command::new("promtool").arg("--version").output().is_ok())
}

#[tokio::test]
async fn promtool_accepts_the_page_of_a_busy_service_in_every_profile_without_a_complaint() {
    if is_missing() {
        return;
    }
    for (name, profile) in profiles() {
        let page = Busy::service(profile).await.text;
        assert_eq!(check(&page), (true, String::new()), "{name}:\n{page}");
    }
}

#[test]
fn promtool_complains_of_what_is_wrong() {
    if is_missing() {
        return;
    }
    let (accepted, said) = check("# HELP wait_ms Waiting.\n# TYPE wait_ms gauge\nwait_ms 1\n");
    assert!(!accepted && said.contains("wait_ms"), "{said}");
}
