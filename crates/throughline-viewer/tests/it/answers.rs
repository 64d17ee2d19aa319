//! What the questions answer.

use std::time::Duration;

use serde_json::Value;
use throughline_core::Throughline;
use throughline_viewer::Viewer;

use crate::http::Server;
use crate::story;

struct Setting {
    throughline: Throughline,
    server: Server,
}

async fn setting() -> Setting {
    let throughline = story::service();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    Setting { throughline, server }
}

fn keys(listed: &Value) -> Vec<&str> {
    listed["runs"].as_array().unwrap().iter().map(|run| run["correlation_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_filtered_by_what_is_asked() {
    let Setting { throughline, server } = setting().await;
    let refused = story::refused_loan(&throughline, "loan-1").await;
    story::granted_loan(&throughline, "loan-2").await;
    let waiting = story::waiting_loan(&throughline, "Loan-3").await;

    let all = server.ask("runs").await;
    assert_eq!(keys(&all), ["Loan-3", "loan-2", "loan-1"]);
    assert_eq!(all["next"], Value::Null);
    for (question, expected) in [
        ("runs?state=failed", &["loan-1"][..]),
        ("runs?state=failed,succeeded", &["loan-2", "loan-1"]),
        ("runs?state=running", &["Loan-3"]),
        ("runs?state=interrupted", &[]),
        ("runs?view=orphaned", &["loan-1"]),
        ("runs?view=stuck", &[]),
        ("runs?workflow=loan-approval&key=loan-2", &["loan-2"]),
        ("runs?workflow=other", &[]),
        ("runs?type=stage:register-*", &["loan-1"]),
        ("runs?until=2000-01-01T00:00:00Z", &[]),
        ("runs?since=2000-01-01T00:00:00Z&limit=1&state=failed", &["loan-1"]),
        // Search looks at keys, workflows, steps and errors, whatever the case.
        ("runs?q=REFUSES", &["loan-1"]),
        ("runs?q=register-collateral", &["loan-1"]),
        ("runs?q=loan-approval", &["Loan-3", "loan-2", "loan-1"]),
        ("runs?q=nowhere", &[]),
    ] {
        assert_eq!(keys(&server.ask(question).await), expected, "{question}");
    }
    // A key, an id and the beginning of an id name a run outright.
    for text in ["Loan-3".to_owned(), waiting.id.to_string(), waiting.id.to_string()[..20].to_uppercase()] {
        let named = server.ask(&format!("runs?q={text}")).await;
        assert_eq!(named["named"][0]["trace_id"], waiting.id.to_string(), "{text}");
    }
    let counts = server.ask("counts").await;
    assert_eq!((&counts["failed"]["hits"], &counts["failed"]["total"]), (&Value::from(1), &Value::from(2)));
    assert_eq!((&counts["running"], &counts["interrupted"]), (&Value::from(1), &Value::from(0)));
    assert_eq!(all["runs"][2]["trace_id"], refused.to_string());
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat_also_where_few_runs_match() {
    let Setting { throughline, server } = setting().await;
    for number in 0..7 {
        story::granted_loan(&throughline, &format!("loan-{number}")).await;
    }
    story::refused_loan(&throughline, "bad-7").await;
    for question in ["runs?limit=3", "runs?limit=3&q=loan-", "runs?limit=3&state=succeeded"] {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = server.ask(&format!("{question}&after={after}")).await;
            assert!(page["runs"].as_array().unwrap().len() <= 3);
            found.extend(keys(&page).into_iter().map(str::to_owned));
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        found.retain(|key| key.starts_with("loan-"));
        assert_eq!(
            found,
            ["loan-6", "loan-5", "loan-4", "loan-3", "loan-2", "loan-1", "loan-0"],
            "{question}"
        );
    }
}

#[tokio::test]
async fn a_run_is_told_as_the_command_tells_it_with_the_spans_as_evidence() {
    let Setting { throughline, server } = setting().await;
    let id = story::refused_loan(&throughline, "loan-1036").await;
    let run = server.ask(&format!("runs/{id}")).await;
    let query = throughline.query(id).await.unwrap();
    // The same values that `throughline why`, `show`, `compensations` and `decisions` print.
    for (part, expected) in [
        ("explanation", serde_json::to_value(query.explain()).unwrap()),
        ("nodes", serde_json::to_value(query.tree().nodes).unwrap()),
        ("compensations", serde_json::to_value(query.compensation_ledger()).unwrap()),
        ("decisions", serde_json::to_value(query.decisions()).unwrap()),
    ] {
        assert_eq!(run[part], expected, "{part}");
    }
    let cause = &run["explanation"]["cause"]["span"];
    assert_eq!(cause["name"], "stage:register-collateral");
    let span = server.ask(&format!("runs/{id}/spans/{}", cause["span_id"].as_str().unwrap())).await;
    assert_eq!(span["events"][0]["data"]["input"]["collateral"], "boat");
    assert_eq!(span["events"][1]["error"]["chain"][0], "no register is kept for a boat");
    assert_eq!(span["path"].as_array().unwrap().len(), 3);
    // The search looks into payloads, too.
    let hits = server.ask(&format!("runs/{id}/search?q=NEEDLE")).await;
    let node = |span: &Value| {
        let nodes = run["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["span"]["span_id"] == *span).unwrap()["span"]["name"].clone()
    };
    let names: Vec<_> = hits["spans"].as_array().unwrap().iter().map(node).collect();
    assert_eq!(names, ["stage:open-file"]);
}

#[tokio::test]
async fn runs_are_compared_with_the_last_good_one_or_with_any_other() {
    let Setting { throughline, server } = setting().await;
    let alone = story::refused_loan(&throughline, "loan-1").await;
    let none = server.get(&format!("/api/runs/{alone}/diff")).await;
    assert!(none.status == 404 && none.error().contains("name another run"), "{}", none.text());
    let good = story::granted_loan(&throughline, "loan-2").await;
    let refused = story::refused_loan(&throughline, "loan-3").await;
    let compared = server.ask(&format!("runs/{refused}/diff")).await;
    assert_eq!(compared["with"]["trace_id"], good.to_string());
    let queries = (throughline.query(refused).await.unwrap(), throughline.query(good).await.unwrap());
    assert_eq!(compared["diff"], serde_json::to_value(queries.0.diff(&queries.1)).unwrap());
    let other = server.ask(&format!("runs/{refused}/diff?with={alone}")).await;
    assert_eq!(other["with"]["trace_id"], alone.to_string());
}

#[tokio::test]
async fn what_runs_what_runs_have_in_common_and_how_the_library_does_are_answered() {
    let Setting { throughline, server } = setting().await;
    story::refused_loan(&throughline, "loan-1").await;
    story::granted_loan(&throughline, "loan-2").await;
    let idle = server.ask("running").await;
    assert_eq!((&idle["safe_to_deploy"], &idle["runs"]), (&Value::from(true), &Value::Array(Vec::new())));
    let _waiting = story::waiting_loan(&throughline, "loan-3").await;
    let running = server.ask("running").await;
    assert_eq!((&running["safe_to_deploy"], &running["running"]), (&Value::from(false), &Value::from(1)));
    assert_eq!(running["runs"][0]["current"]["name"], "stage:manual-review");

    let patterns = server.ask("patterns").await;
    assert_eq!(
        (&patterns["failures"]["hits"], &patterns["failures"]["total"]),
        (&Value::from(1), &Value::from(2))
    );
    assert_eq!(patterns["hot_spots"][0]["event_type"], "stage:register-collateral");
    assert_eq!(patterns["compensations"]["hits"], 1);
    assert_eq!(patterns["decisions"][0]["choice"], "secured");
    let buckets = patterns["over_time"].as_array().unwrap();
    assert!(buckets.iter().any(|bucket| bucket["failed"]["hits"] == 1), "{buckets:?}");
    let stages = patterns["slowest_stages"].as_array().unwrap();
    assert!(stages.iter().all(|stage| stage["event_type"] != "workflow:failed"), "{stages:?}");

    // The feed is behind the store by its nature.
    assert!(throughline.flush(Duration::from_secs(30)).await.is_complete());
    let library = server.ask("library").await;
    let destinations = library["delivery"]["destinations"].as_array().unwrap();
    assert_eq!(destinations.len(), 2, "the store and the feed: {destinations:?}");
    for one in destinations {
        assert_eq!(one["accepted"], one["delivered"], "{one}");
    }
    let about = server.ask("about").await;
    assert_eq!((&about["live"], &about["payloads"]), (&Value::from(true), &Value::from(true)));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_answered_with_what_can_be_asked() {
    let Setting { server, .. } = setting().await;
    let id = "0123456789abcdef0123456789abcdef";
    for (question, status, part) in [
        ("runs?stat=failed", 400, "`stat` is not known; there are state"),
        ("runs?state=broken", 400, "interrupted"),
        ("runs?view=all", 400, "orphaned"),
        ("runs?since=yesterday", 400, "2026-"),
        ("runs?limit=0", 400, "from 1 to"),
        ("runs?limit=100000", 400, "from 1 to"),
        ("runs?attr=tenant", 400, "tenant=acme"),
        ("runs?after=nonsense", 400, "`next`"),
        ("runs/loan-1", 400, "32 hex digits"),
        (&format!("runs/{id}"), 404, "no such run"),
        (&format!("runs/{id}/spans/0123456789abcdef"), 404, "no such run"),
        ("nothing", 404, "runs/RUN/search"),
    ] {
        let answer = server.get(&format!("/api/{question}")).await;
        assert_eq!(answer.status, status, "{question}: {}", answer.text());
        assert!(answer.error().contains(part), "{question}: {}", answer.text());
    }
    assert_eq!(server.get("/nothing").await.status, 404);
}
