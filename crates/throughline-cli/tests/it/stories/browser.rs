//! Pages in a real browser, from a disk and without a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{RUN, hostile};
use crate::sandbox::Sandbox;

/// Where `cargo xtask test` has put the packages of Node.
fn modules() -> PathBuf {
    let of_xtask = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/node_client/node_modules");
    std::env::var_os("THROUGHLINE_NODE_MODULES").map_or_else(of_xtask, PathBuf::from)
}

fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join("chromium")).find(|path| path.exists())
}

fn may_be_left_out() -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_there = browser().is_some() && modules().join("playwright-core").exists();
    if services == "off" || (services != "required" && !is_there) {
        eprintln!(
            "left out: without chromium and the packages that `cargo xtask test` installs nobody can look at a page"
        );
        return true;
    }
    false
}

/// What a browser shows of the page of an export.
fn seen(sandbox: &Sandbox, export: &[&str], search: &str) -> Value {
    let said = sandbox.run(&[&["export", "--format", "html", "-o", "page.html"], export].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let asked = json!({
        "page": sandbox.path("page.html"),
        "browser": browser(),
        "search": search,
        "screenshots": std::env::var("THROUGHLINE_SCREENSHOTS").ok(),
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node_client/page.cjs");
    let output = Command::new("node").arg(script).arg(asked.to_string()).env("NODE_PATH", modules()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["complaints"], json!([]), "{seen}");
    assert_eq!(seen["requests"], json!([]), "{seen}");
    assert_eq!(seen["dialogs"], 0, "{seen}");
    assert!(seen["overflow"].as_i64().unwrap() <= 0, "it fits a narrow screen: {}", seen["overflow"]);
    seen
}

#[test]
fn a_page_tells_the_story_without_a_network() {
    if may_be_left_out() {
        return;
    }
    let seen = seen(&Sandbox::with_sagas(), &["order-7"], "declined");
    let text = seen["text"].as_str().unwrap();
    for said in [
        "stage:charge-card",
        "CardError::Declined",
        "Compensation",
        "in doubt",
        "stock-reservation s-1",
        "express",
        "post",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(seen["rows"], 7);
    let found: Vec<&str> = seen["found"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(found.len() < 7 && found.contains(&"stage:charge-card"), "{found:?}");
    assert!(seen["detail"].as_str().unwrap().contains("the card was declined"), "{seen}");
    assert_eq!(seen["opened"], 1, "a link leads to its span");
}

#[test]
fn a_hostile_run_is_nothing_but_text_in_a_browser() {
    if may_be_left_out() {
        return;
    }
    let seen = seen(&hostile(), &[RUN], "injected");
    assert!(seen["text"].as_str().unwrap().contains("<img src=x onerror=alert(2)>"), "{seen}");
    let elements = seen["elements"].as_array().unwrap();
    assert!(!elements.contains(&json!("img")), "{elements:?}");
    assert!(!seen["text"].as_str().unwrap().contains(['\u{202e}', '\u{1b}']), "{seen}");
}
