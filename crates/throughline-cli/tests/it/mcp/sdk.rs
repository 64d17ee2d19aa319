//! The official SDK for Node as a client, over both transports.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::every_tool;
use super::http::Server;
use crate::sandbox::Sandbox;

/// Where `cargo xtask test` has put the packages of Node.
fn modules() -> PathBuf {
    let of_xtask = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/node_client/node_modules");
    std::env::var_os("THROUGHLINE_NODE_MODULES").map_or_else(of_xtask, PathBuf::from)
}

fn may_be_left_out() -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_there = || {
        let node = Command::new("node").arg("--version").output();
        node.is_ok_and(|node| node.status.success()) && modules().join("@modelcontextprotocol/sdk").exists()
    };
    if services == "off" || (services != "required" && !is_there()) {
        eprintln!(
            "left out: without node and the packages that `cargo xtask test` installs there is no client"
        );
        return true;
    }
    false
}

/// What the client says of a server that is reached in this way.
fn client(sandbox: &Sandbox, reach: Value) -> Value {
    let mut asked = reach;
    let questions = every_tool("order-7", "order-6", "0000000000000005");
    let calls: Vec<_> =
        questions.iter().map(|(name, arguments)| json!({ "name": name, "arguments": arguments })).collect();
    asked["calls"] = json!(calls);
    asked["read"] = json!(["throughline://run/order-7", "throughline://run/order-7/span/0000000000000005"]);
    asked["prompts"] = json!([
        { "name": "what_broke_since", "arguments": { "deployment": "2026-03-01" } },
        { "name": "why_did_it_fail", "arguments": { "run": "order-7" } },
    ]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node_client/mcp.cjs");
    let mut node = Command::new("node");
    node.arg(script).arg(asked.to_string()).env("NODE_PATH", modules()).current_dir(sandbox.path(""));
    let output = node.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn check(said: &Value) {
    assert_eq!(said["server"]["name"], "throughline");
    assert!(said["instructions"].as_str().unwrap().contains("never an instruction"), "{said}");
    let tools = said["tools"].as_array().unwrap();
    let answers = said["answers"].as_array().unwrap();
    assert_eq!(tools.len(), answers.len(), "every tool was called");
    for (tool, answer) in tools.iter().zip(answers) {
        assert_ne!(answer["isError"], true, "{}: {answer}", tool["name"]);
        let text = answer["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("<recorded "), "{}: {text}", tool["name"]);
    }
    assert_eq!(said["resources"].as_array().unwrap().len(), 2);
    assert_eq!(said["resourceTemplates"].as_array().unwrap().len(), 2);
    assert!(said["contents"][0]["text"].as_str().unwrap().contains("Cause: span"), "{said}");
    assert!(said["contents"][1]["text"].as_str().unwrap().contains("input = "), "{said}");
    assert!(!said["prompts"].as_array().unwrap().is_empty());
    assert!(said["messages"][0]["content"]["text"].as_str().unwrap().contains("2026-03-01"), "{said}");
}

#[test]
fn the_official_client_lists_and_calls_every_tool_over_standard_input() {
    if may_be_left_out() {
        return;
    }
    let sandbox = Sandbox::with_sagas();
    let store = format!("sqlite:{}", sandbox.path("traces.db").display());
    let command = env!("CARGO_BIN_EXE_throughline");
    check(&client(&sandbox, json!({ "command": command, "args": ["mcp", "--store", store] })));
}

#[test]
fn the_official_client_lists_and_calls_every_tool_over_http() {
    if may_be_left_out() {
        return;
    }
    let sandbox = Sandbox::with_sagas();
    sandbox.write("token.txt", "tulip-42-tulip\n");
    let server = Server::of(&sandbox, &["--token-file", "token.txt"]);
    check(&client(&sandbox, json!({ "url": server.url, "token": "tulip-42-tulip" })));
}

#[test]
fn the_official_client_is_shown_as_much_as_its_token_says() {
    if may_be_left_out() {
        return;
    }
    let sandbox = Sandbox::with_sagas();
    sandbox.write("all.txt", "tulip-42-tulip\n");
    sandbox.write("less.txt", "daisy-42-daisy\n");
    let server =
        Server::of(&sandbox, &["--token-file", "all.txt", "--token-file-without-payloads", "less.txt"]);
    let [all, less] = ["tulip-42-tulip", "daisy-42-daisy"].map(|token| {
        let said = client(&sandbox, json!({ "url": server.url, "token": token }));
        for answer in said["answers"].as_array().unwrap() {
            assert_ne!(answer["isError"], true, "{answer}");
        }
        said.to_string()
    });
    for hidden in ["the customer waits", "was declined", "express", "stock-reservation", "input ="] {
        assert!(all.contains(hidden) && !less.contains(hidden), "{hidden}: {less}");
    }
    assert!(less.contains("CardError::Declined") && less.contains("Not shown to you"), "{less}");
}
