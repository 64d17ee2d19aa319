//! The quick start of the README compiles and works as it stands there.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use cargo_metadata::MetadataCommand;
use throughline::SqliteStore;
use throughline::query::RunState;
use throughline::store::{Filter, Page, TraceReader as _};

mod quick_start {
    include!("readme/quick_start.rs");

    /// Set in the process that is the quick start.
    pub(super) const ROLE: &str = "THROUGHLINE_TEST_QUICK_START";

    #[test]
    fn this_process_is_the_quick_start_when_it_is_told_to_be() {
        if std::env::var_os(ROLE).is_some() {
            main().unwrap();
        }
    }
}

const README: &str = include_str!("../../README.md");
const CODE: &str = include_str!("readme/quick_start.rs");

/// Changes the README, one test at a time.
pub(crate) fn rewrite(change: impl FnOnce(&str) -> String) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let changed = change(&std::fs::read_to_string(path).unwrap());
    std::fs::write(path, changed).unwrap();
}

/// The first block of the README in this language.
fn block(language: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```\n").unwrap().0
}

#[test]
fn the_quick_start_of_the_readme_is_the_one_that_is_tested() {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        rewrite(|readme| readme.replacen(block("rust"), CODE, 1));
    } else {
        assert!(
            block("rust") == CODE,
            "README.md should have the quick start of tests/it/readme/quick_start.rs; put it there with\n\n    \
             UPDATE_DOCS=1 cargo test -p throughline-workspace readme\n"
        );
    }
}

/// A process that does not outlive its test, however that ends.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_quick_start_serves_answers_records_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let service = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "readme::quick_start::this_process_is_the_quick_start_when_it_is_told_to_be",
            "--nocapture",
        ])
        .env(quick_start::ROLE, "yes")
        .env("ADDRESS", "127.0.0.1:0")
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut service = Service(service);
    let mut lines = BufReader::new(service.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.find_map(|line| Some(line.split_once("listening on ")?.1.to_owned())).unwrap();

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let apply = async |income: u32, amount: u32| {
        let application = serde_json::json!({ "income": income, "amount": amount });
        let answer = client.post(format!("{url}/loans")).json(&application).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(apply(50_000, 20_000).await, (200, r#"{"rate_percent":3.2}"#.to_owned()));
    let (status, problem) = apply(0, 20_000).await;
    let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
    assert_eq!((status, &problem["title"]), (500, &"Internal Server Error".into()), "{problem}");

    let interrupt = Command::new("kill").args(["-INT", &service.0.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let report = lines.find(|line| line.starts_with("sqlite: ")).unwrap();
    assert_eq!(report, "sqlite: 8 of 8 delivered, 0 pending");
    assert!(service.0.wait().unwrap().success());

    let reader = SqliteStore::new(folder.path().join("traces.db")).open_reader().unwrap();
    let runs = reader.runs(&Filter::new(), &Page::first(10)).await.unwrap().items;
    let states: Vec<_> = runs.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Failed, RunState::Succeeded], "the newest first");
    assert_eq!(problem["trace_id"], runs[0].trace_id.to_string(), "the answer says which run to ask for");
}

#[test]
fn the_readme_names_versions_that_go_together() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let workspace = metadata.root_package().unwrap();
    let rust = workspace.rust_version.as_ref().unwrap();
    assert!(README.contains(&format!("Rust {}.{} or later", rust.major, rust.minor)), "{rust}");
    let mut checked = 0;
    for line in block("toml").lines() {
        let Some((name, wanted)) = line.split_once(" = ") else { continue };
        let version = wanted.split('"').nth(1).unwrap();
        let dependency =
            workspace.dependencies.iter().find(|dependency| dependency.name == name).expect(name);
        let used = dependency.req.to_string();
        assert!(
            used.trim_start_matches('^').starts_with(version),
            "the README has {line}, the tests use {used}"
        );
        checked += 1;
    }
    assert_eq!(checked, 5);
}
