//! A script that esbuild has made small fails, and its stack says where that is in the sources.

use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::http::StatusCode;
use serde_json::json;
use throughline_tower::browser::{Browser, BrowserError};

use super::sources::{may_be_left_out, modules};
use super::{Site, report, said};

/// The second line is not code, so that lines differ from those of what is built.
const PAY: &str = "interface Order { total: number }
// What a customer sees is none of its business.
export function pay(order: Order): string {
    if (order.total < 0) {
        throw new TypeError(`a total of ${order.total} can't be paid`);
    }
    return `paid ${order.total}`;
}
";
const MAIN: &str = "import { pay } from './pay';

console.log(pay({ total: Number(process.argv[2]) }));
";

/// The stack of an error in the script of a folder, as V8 writes it, for an address of a page.
fn stack(folder: &Path) -> String {
    for (name, source) in [("pay.ts", PAY), ("main.ts", MAIN)] {
        std::fs::write(folder.join(name), source).unwrap();
    }
    let arguments =
        ["main.ts", "--bundle", "--minify", "--sourcemap", "--platform=node", "--outfile=dist/app.js"];
    let mut esbuild = Command::new(modules().canonicalize().unwrap().join("esbuild/bin/esbuild"));
    let built = esbuild.args(arguments).current_dir(folder).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let failed = Command::new("node").args(["dist/app.js", "-3"]).current_dir(folder).output().unwrap();
    let said = String::from_utf8(failed.stderr).unwrap();
    let (_, error) = said.split_once("TypeError: ").unwrap();
    let script = folder.canonicalize().unwrap().join("dist/app.js").display().to_string();
    let lines = error.lines().filter(|line| !line.contains("node:") && !line.contains("Node.js"));
    format!("TypeError: {}", lines.collect::<Vec<_>>().join("\n"))
        .replace(&script, "https://shop.example.org/assets/app.js?v=3")
        .trim()
        .to_owned()
}

#[tokio::test]
async fn a_stack_says_where_it_is_in_the_sources_that_esbuild_made_small() {
    if may_be_left_out(&["node"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let stack = stack(folder.path());
    assert!(stack.contains("(https://shop.example.org/assets/app.js?v=3:1:"), "{stack}");
    let site = Site::new();
    let maps = Browser::builder(&site.throughline).source_maps(folder.path().join("dist"));
    let app = maps.build().unwrap().add_to(Router::new());
    let body =
        json!({ "name": "error", "type": "TypeError", "message": "a total can't be paid", "stack": stack });
    assert_eq!(said(&app, report(body.to_string())).await, StatusCode::NO_CONTENT.as_str());
    let event = site.event("web:error");
    let recorded = event.data.as_ref().unwrap()["stack"].as_str().unwrap();
    assert!(!recorded.contains("app.js"), "{recorded}");
    // `throw new TypeError` and the call of `pay`.
    for place in ["../pay.ts:5:15", "../main.ts:3:13"] {
        assert!(recorded.contains(place), "{recorded}");
    }
    // What the map does not know stays as it is.
    let body = json!({ "name": "error", "stack": "at x (https://cdn.example.org/other.js:1:7)" });
    let other = Site::new();
    let maps = Browser::builder(&other.throughline).source_maps(folder.path().join("dist"));
    said(&maps.build().unwrap().add_to(Router::new()), report(body.to_string())).await;
    let event = other.event("web:error");
    assert_eq!(event.data.as_ref().unwrap()["stack"], "at x (https://cdn.example.org/other.js:1:7)");
}

#[test]
fn a_folder_of_source_maps_that_is_not_there_is_refused() {
    let site = Site::new();
    let refused = Browser::builder(&site.throughline).source_maps("/nowhere/dist").build().unwrap_err();
    assert!(matches!(refused, BrowserError::SourceMaps { .. }));
    assert!(
        refused.to_string().starts_with("cannot read the folder of source maps `/nowhere/dist`: "),
        "{refused}"
    );
}
