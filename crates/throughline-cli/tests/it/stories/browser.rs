//! Pages in a real browser, from a disk and without a network.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{RUN, hostile};
use crate::sandbox::Sandbox;

/// Where `cargo xtask test` has put the packages of Node.
pub(crate) fn modules() -> PathBuf {
    let of_xtask = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/node_client/node_modules");
    std::env::var_os("THROUGHLINE_NODE_MODULES").map_or_else(of_xtask, PathBuf::from)
}

pub(crate) fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join("chromium")).find(|path| path.exists())
}

pub(crate) fn may_be_left_out() -> bool {
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
    look(sandbox, json!({ "search": search, "screenshots": std::env::var("THROUGHLINE_SCREENSHOTS").ok() }))
}

/// What a browser shows of the page in a sandbox.
fn look(sandbox: &Sandbox, mut asked: Value) -> Value {
    asked["page"] = json!(sandbox.path("page.html"));
    asked["browser"] = json!(browser());
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
    let printed = &seen["printed"];
    assert_eq!((&printed["rows"], &printed["controls"], &printed["cut"]), (&json!(7), &json!(0), &json!(0)));
    assert!((1..=4).contains(&printed["pages"].as_u64().unwrap()), "{printed}");
}

#[test]
fn a_page_says_what_went_another_way_than_in_the_last_good_run() {
    if may_be_left_out() {
        return;
    }
    let text = |export: &[&str]| {
        let seen = seen(&Sandbox::with_sagas(), export, "order");
        seen["text"]
            .as_str()
            .unwrap()
            .split_once("Difference from the last good run")
            .map(|(_, after)| after.to_owned())
    };
    let difference = text(&["order-7"]).unwrap();
    for said in ["order-6", "stage:reserve-stock", "saga:order", "CardError::Declined", "first"] {
        assert!(difference.contains(said), "{said}: {difference}");
    }
    assert_eq!(text(&["order-6"]), None, "it ended well");
    let hidden = text(&["order-7", "--anonymise"]).unwrap();
    assert!(!hidden.contains("order-6") && hidden.contains("pseudonym:"), "{hidden}");
}

#[test]
fn a_page_compares_runs_with_the_one_that_is_chosen() {
    if may_be_left_out() {
        return;
    }
    let text = |export: &[&str]| seen(&Sandbox::with_sagas(), export, "order")["text"].clone();
    let chosen = text(&["order-6", "--against", "order-7"]);
    let chosen = chosen.as_str().unwrap();
    for said in ["Difference from ", "order-7", "CardError::Declined"] {
        assert!(chosen.contains(said), "{said}: {chosen}");
    }
    assert!(!chosen.contains("the last good run"), "{chosen}");
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

/// The page of one run, made larger: so many copies of its last span, of which the run says that the last one was the cause.
fn enlarged(sandbox: &Sandbox, copies: u64) -> String {
    let page = sandbox.run(&["export", "order-7", "--format", "html"]).stdout;
    let (_, line) = page.split_once("id=\"stories\">").unwrap();
    let line = line.lines().next().unwrap();
    let mut stories: Value = serde_json::from_str(line).unwrap();
    let story = &mut stories[0];
    story["run"]["duration_us"] = json!(119_999_999);
    let nodes = story["nodes"].as_array_mut().unwrap();
    let like = nodes.last().unwrap().clone();
    nodes.extend((0..copies).map(|copy| {
        let mut node = like.clone();
        node["span"]["span_id"] = json!(format!("{:016x}", 0xffff_0000_0000 + copy));
        node["span"]["name"] = json!(format!("stage:copy-{copy}"));
        node
    }));
    page.replace(line, &stories.to_string().replace('<', "\\u003c"))
}

#[test]
fn a_run_of_more_spans_than_a_call_takes_arguments_is_shown_and_a_link_leads_to_each() {
    if may_be_left_out() {
        return;
    }
    let sandbox = Sandbox::with_sagas();
    sandbox.write("page.html", enlarged(&sandbox, 200_000));
    let run = sandbox.json(&["why", "order-7"])["run"]["trace_id"].as_str().unwrap().to_owned();
    for copy in [0_u64, 4_321, 199_999] {
        let hash = format!("{run}:{:016x}", 0xffff_0000_0000_u64 + copy);
        let seen = look(&sandbox, json!({ "hash": hash }));
        assert_eq!(seen["linked"], format!("stage:copy-{copy}"), "{}", seen["linked"]);
        assert!(seen["rows"].as_u64().unwrap() <= 2_000, "{}", seen["rows"]);
        assert!(seen["text"].as_str().unwrap().contains("2 min 0 s"), "what rounds to 60 s is a minute");
    }
}

#[test]
fn an_address_that_names_no_span_shows_the_page() {
    if may_be_left_out() {
        return;
    }
    let sandbox = Sandbox::with_sagas();
    let said = sandbox.run(&["export", "order-7", "--format", "html", "-o", "page.html"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for hash in ["%", "%zz:%", "a:b:c", "main"] {
        let seen = look(&sandbox, json!({ "hash": hash }));
        assert_eq!((&seen["rows"], &seen["linked"]), (&json!(7), &Value::Null), "{hash}");
    }
}

#[test]
fn a_search_in_a_page_looks_at_what_was_said() {
    if may_be_left_out() {
        return;
    }
    let sandbox = Sandbox::with_sagas();
    let found = |text: &str| {
        let said = sandbox.run(&["export", "order-7", "--format", "html", "-o", "page.html"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        look(&sandbox, json!({ "find": text }))["hits"].as_u64().unwrap()
    };
    assert!(found("declined") > 0 && found("1200") > 0);
    for absent in ["trace_id", "\"type\"", "event_type", "{"] {
        assert_eq!(found(absent), 0, "{absent}");
    }
}
