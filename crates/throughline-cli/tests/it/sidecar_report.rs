//! `throughline report`: a service that is inspected once, from beside it.

use std::process::{Command, Stdio};

use crate::sandbox::Sandbox;
use crate::services::{end, fail, service, stay, succeed};
use crate::sidecar_scrape::Server;

const LOGS: &str = r#"{"timestamp":"2026-02-21T13:42:01Z","level":"info","message":"app ready","port":8080}
{"timestamp":"2026-02-21T13:42:02Z","level":"info","message":"processing task 1"}
{"timestamp":"2026-02-21T13:42:03Z","level":"info","message":"processing task 2"}
{"timestamp":"2026-02-21T13:42:05Z","level":"warn","message":"the queue of letters to customers is longer than it was an hour ago, and the printer has not said anything since then"}
{"timestamp":"2026-02-21T13:42:07Z","level":"error","message":"task failed","reason":"oops","correlation_id":"loan-42"}
{"timestamp":"2026-02-21T13:42:09Z","level":"error","message":"task failed <b>","reason":"deliberate"}
thread 'main' panicked at src/main.rs
"#;

const PAGE: &str = "\
# TYPE requests_total counter
requests_total 8
# TYPE requests_err counter
requests_err 3
# TYPE request_seconds histogram
request_seconds_bucket{le=\"0.1\"} 4
request_seconds_bucket{le=\"+Inf\"} 8
request_seconds_count 8
# TYPE uptime_seconds gauge
uptime_seconds 47.2
";

fn ok(body: &str) -> Option<(u16, String)> {
    Some((200, body.to_owned()))
}

/// A service that is well: it has no `/health/ready` and no `/readyz`, but `/health`.
fn app() -> Server {
    let none = || Some((404, String::new()));
    Server::start(vec![none(), none(), ok("{\"status\":\"ok\",\"uptime_s\":47}"), ok(PAGE)])
}

/// What people see, without what differs from time to time.
fn steady(seen: &str) -> String {
    let lines = seen.lines().map(|line| match line {
        line if line.ends_with(" UTC") => "NOW UTC".to_owned(),
        line => line
            .split("127.0.0.1:")
            .enumerate()
            .map(|(at, part)| match at {
                0 => part.to_owned(),
                _ => format!("app:PORT{}", part.trim_start_matches(|c: char| c.is_ascii_digit())),
            })
            .collect(),
    });
    lines
        .map(|line| match line.split_once(" after ") {
            Some((before, _)) if line.contains("Answer") => format!("{before} after N ms"),
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_report_has_the_sections_that_were_asked_for() {
    let sandbox = Sandbox::empty();
    sandbox.write("app.log", LOGS);
    let scraped =
        Server::start(vec![ok("requests_total 3\n"), ok("requests_total 5\n"), ok("requests_total 8\n")]);
    let url = scraped.url("/metrics");
    let said = sandbox.run(&[
        "scrape",
        &url,
        "--every",
        "1ms",
        "--times",
        "3",
        "--store",
        "metrics.jsonl",
        "--json",
    ]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let history = sandbox.read("metrics.jsonl");
    let seen = |wrap: fn(Command) -> Command| {
        let app = app().url("/metrics");
        let report = sandbox.command(&[
            "report",
            "--metrics",
            &app,
            "--logs",
            "app.log",
            "--history",
            "metrics.jsonl",
        ]);
        let mut report = wrap(report);
        let output = report.env("NO_COLOR", "1").env_remove("THROUGHLINE_STORE").output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n");
        assert_eq!(output.status.code(), Some(0), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
        steady(&without_moments(&stdout, &history))
    };
    insta::assert_snapshot!(seen(|report| report));
    if !Command::new("script").arg("--version").output().is_ok_and(|said| said.status.success()) {
        let required = std::env::var("THROUGHLINE_SERVICES").is_ok_and(|services| services == "required");
        assert!(!required, "script is missing: `apt-get install bsdutils`");
        eprintln!("left out: without `script` there is no terminal");
        return;
    }
    for (columns, text) in
        [(80, seen(|report| on_a_terminal(report, 80))), (120, seen(|report| on_a_terminal(report, 120)))]
    {
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        insta::assert_snapshot!(format!("report_at_{columns}_columns"), text);
    }
}

/// The same command, on a terminal with so many columns.
fn on_a_terminal(command: Command, columns: usize) -> Command {
    let mut words = vec![command.get_program()];
    words.extend(command.get_args());
    let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command"]);
    terminal.arg(format!("stty cols {columns} rows 40 && exec {}", words.join(" "))).arg("/dev/null");
    terminal.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    terminal
}

/// A text without the moments of a history.
fn without_moments(text: &str, history: &str) -> String {
    let moments = history.lines().map(|line| {
        let snapshot: serde_json::Value = serde_json::from_str(line).unwrap();
        snapshot["at"].as_str().unwrap().to_owned()
    });
    moments.fold(text.to_owned(), |text, moment| text.replace(&moment, "MOMENT"))
}

#[tokio::test]
async fn runs_that_are_stuck_or_were_interrupted_are_the_matter_and_failures_are_listed() {
    let sandbox = Sandbox::empty();
    let shop = service(&sandbox, "shop");
    succeed(shop.workflow("order").key("order-1")).await;
    fail(shop.workflow("order").key("order-2"), "no stock").await;
    let running = stay(shop.workflow("order").key("order-3")).await;
    let report = |more: &[&str]| sandbox.json(&[&["report"], more].concat());
    let seen = report(&[]);
    assert_eq!((&seen["healthy"], &seen["runs"]["failed_count"]), (&true.into(), &1.into()), "{seen:#}");
    assert_eq!(seen["runs"]["failed"][0]["cause"]["error"]["message"], "no stock");
    assert_eq!(seen["runs"]["running"], 1);
    let seen = report(&["--stuck-after", "0s"]);
    assert_eq!(seen["problems"][0], "1 run is stuck, such as order-3", "{seen:#}");
    drop(running);
    end(shop).await;
    let said = sandbox.run(&["report"]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("1 run was interrupted, such as order-3"), "{}", said.stdout);
    assert!(said.stdout.contains("no stock"), "{}", said.stdout);
}

#[test]
fn a_service_that_is_not_well_or_not_there_is_the_matter() {
    let sandbox = Sandbox::empty();
    let empty = |args: &[&str]| {
        let mut command = sandbox.command(args);
        let output = command.env_remove("THROUGHLINE_STORE").output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let ill = Server::start(vec![Some((503, "{\"status\":\"down\"}".to_owned()))]).url("/health/ready");
    let (code, seen) = empty(&["report", "--health", &ill]);
    assert!(code == 1 && seen.contains("answers with status 503") && seen.contains("down"), "{seen}");
    let gone = Server::start(vec![None]).url("/metrics").replace("http://", "http://user:secret@");
    let (code, seen) = empty(&["report", "--metrics", &gone]);
    assert!(code == 1 && seen.contains("can't be scraped") && !seen.contains("secret"), "{seen}");
    // A history that ends with a target that was away.
    let away = Server::start(vec![ok("a_total 1\n"), None]).url("/metrics");
    sandbox.run(&["scrape", &away, "--every", "1ms", "--times", "2", "--store", "history.jsonl", "--json"]);
    let (code, seen) = empty(&["report", "--history", "history.jsonl"]);
    assert!(code == 1 && seen.contains("did not answer the last scrape"), "{seen}");
}

#[test]
fn a_scrape_of_long_ago_says_nothing_of_the_service_as_it_is() {
    let sandbox = Sandbox::empty();
    let gone = Server::start(vec![None]).url("/metrics");
    sandbox.run(&["scrape", &gone, "--times", "1", "--store", "history.jsonl", "--json"]);
    let long_ago = sandbox.read("history.jsonl").replacen("\"at\":\"2", "\"at\":\"1", 1);
    sandbox.write("history.jsonl", long_ago);
    let mut command = sandbox.command(&["report", "--history", "history.jsonl"]);
    let output = command.env_remove("THROUGHLINE_STORE").output().unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && seen.contains("no problems found"), "{seen}");
    assert!(seen.contains("nobody has scraped it since"), "{seen}");
}

#[test]
fn no_part_of_a_password_is_shown_whatever_is_in_it() {
    let sandbox = Sandbox::empty();
    let address = Server::start(vec![Some((503, String::new()))]).url("/metrics");
    for password in ["sec/ret", "sec?ret", "sec#ret", "sec@ret", "sec ret", "60123/34"] {
        let url = address.replace("http://", &format!("http://localhost:{password}@"));
        for args in [
            &["report", "--metrics", &url][..],
            &["report", "--health", &url],
            &["scrape", &url, "--times", "1"],
        ] {
            let said = sandbox.command(args).env_remove("THROUGHLINE_STORE").output().unwrap();
            let all = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
            let shown = ["sec", "ret", "localhost", "60123", "34@"].iter().find(|part| all.contains(**part));
            assert_eq!(shown, None, "{password}: {all}");
            assert!(
                said.status.code() == Some(1) && all.contains(address.trim_start_matches("http://")),
                "{password}: {all}"
            );
        }
    }
}

#[test]
fn a_page_of_html_needs_nothing_else_and_shows_logs_as_texts() {
    let sandbox = Sandbox::empty();
    sandbox.write("app.log", LOGS);
    let mut command = sandbox.command(&["report", "--logs", "app.log", "--html"]);
    let html = String::from_utf8(command.env_remove("THROUGHLINE_STORE").output().unwrap().stdout).unwrap();
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"), "{html}");
    assert!(html.contains("task failed &lt;b&gt;: deliberate"), "{html}");
    for forbidden in ["<b>", "<script", "src=", "href=", "url("] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn a_report_on_nothing_or_on_files_that_are_not_there_is_refused() {
    let sandbox = Sandbox::empty();
    let see = |args: &[&str]| {
        let mut command = sandbox.command(args);
        let output = command.env_remove("THROUGHLINE_STORE").output().unwrap();
        format!("{}[exit code {}]", String::from_utf8(output.stderr).unwrap(), output.status.code().unwrap())
    };
    let seen = [
        see(&["report"]),
        see(&["report", "--logs", "none.log"]),
        see(&["report", "--store", "sqlite:none.db"]),
    ];
    insta::assert_snapshot!(seen.join("\n"));
}
