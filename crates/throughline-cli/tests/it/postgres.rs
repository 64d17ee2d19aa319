//! The command on a store in Postgres.

#[path = "../../../throughline-postgres/tests/it/server.rs"]
#[expect(dead_code, reason = "the tests of the store use more of it")]
mod server;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use throughline_core::Throughline;
use throughline_core::testing::sample_log;

use crate::sandbox::Sandbox;
use server::Database;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_records_in_postgres_is_listed_explained_and_watched() {
    let Some(database) = Database::new() else { return };
    let folder = database.server.folder().display().to_string().replace('/', "%2F");
    let url = format!("postgres://postgres:hunter2@{folder}/{}", database.name);
    let throughline =
        Throughline::builder("loan-service").store(database.store()).build_async().await.unwrap();
    let fail = async |key: &'static str| {
        let run = throughline.workflow("loan-approval").key(key).run(|ctx| async move {
            let answer =
                ctx.trace("stage:score", async { Err::<(), _>(std::io::Error::other("no answer")) }).await;
            answer.map_err(std::io::Error::other)?
        });
        run.await.unwrap().unwrap_err();
    };
    fail("loan-1").await;

    let sandbox = Sandbox::empty();
    let run = |args: &[&str]| sandbox.command(args).env("THROUGHLINE_STORE", &url).output().unwrap();
    let said = |args: &[&str]| String::from_utf8(run(args).stdout).unwrap();
    let listed = said(&["list", "--failed"]);
    assert!(listed.contains("loan-1") && listed.contains("stage:score"), "{listed}");
    let why = said(&["why", "loan-1"]);
    assert!(why.contains("stage:score") && why.contains("no answer"), "{why}");
    assert!(said(&["stats"]).contains("stage:score"));

    let mut watch = sandbox.command(&["watch", "--for", "60s"]);
    let mut watch =
        watch.env("THROUGHLINE_STORE", &url).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(watch.stderr.take().unwrap());
    let mut seen = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    // What begins before it watches is not seen, so some more begins until something is.
    let (found, is_found) = std::sync::mpsc::channel();
    std::thread::spawn(move || found.send(seen.any(|line| line.contains("stage:score"))));
    while is_found.try_recv() != Ok(true) {
        fail("loan-2").await;
    }
    watch.kill().unwrap();
    let mut error = String::new();
    errors.read_to_string(&mut error).unwrap();
    watch.wait().unwrap();
    assert_eq!(error, "");
    throughline.shutdown(Duration::from_secs(10)).await;

    for args in [&["prune", "--older-than", "1d"][..], &["list", "--store", &url.replace("test", "nowhere")]]
    {
        let output = run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains("postgres://"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_moves_into_postgres_and_back_without_a_difference() {
    let Some(database) = Database::new() else { return };
    let folder = database.server.folder().display().to_string().replace('/', "%2F");
    let url = format!("postgres://postgres:hunter2@{folder}/{}", database.name);
    let sandbox = Sandbox::empty();
    let log: String =
        sample_log(9, 40, &[]).iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
    sandbox.write("log.jsonl", log);
    assert_eq!(sandbox.run(&["import", "log.jsonl", "--redaction", "off"]).code, 0);

    for (from, to) in [("sqlite:traces.db", &*url), (&url, "sqlite:back.db")] {
        let said = sandbox.run(&["copy", "--from", from, "--to", to]);
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains("Every run is the same on both sides."), "{}", said.stdout);
        assert!(!said.stdout.contains("hunter2"), "{}", said.stdout);
    }
    let exported = |store| {
        let mut lines: Vec<_> =
            sandbox.run(&["export", "--store", store]).stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(exported("sqlite:back.db"), exported("sqlite:traces.db"));
}
