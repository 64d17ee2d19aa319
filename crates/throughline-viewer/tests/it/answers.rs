//! What the questions answer.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use throughline_core::testing::run;
use throughline_core::{MemoryStore, Throughline, Timestamp};
use throughline_viewer::{Access, Auth, OneFile, Viewer};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;

use crate::http::{PATIENCE, Server};
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
    assert_eq!(span["span"], *cause, "it is read by itself, and seen as in its run");
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
async fn a_run_is_found_by_the_request_that_it_came_from_also_where_that_became_a_pseudonym() {
    let Setting { throughline, server } = setting().await;
    let (plain, events) = story::asked_run("letter-1", "req-77");
    throughline.ingest(events).await.unwrap();
    let (personal, events) = story::asked_run("letter-2", "ada@example.org");
    throughline.ingest(events).await.unwrap();
    for (request, id) in [("req-77", plain), ("ada@example.org", personal)] {
        let found = server.ask(&format!("runs?q={request}")).await;
        assert_eq!(found["named"].as_array().unwrap().len(), 1, "{found}");
        assert_eq!(found["named"][0]["trace_id"], id.to_string());
    }
    // Who may not see attributes can't try out their values.
    let auth = Auth::hook(|_| Access::WithoutPayloads);
    let less = Server::of(&Viewer::of(&throughline).auth(auth).build().unwrap()).await;
    let found = less.ask("runs?q=req-77").await;
    assert_eq!((&found["named"], &found["runs"]), (&json!([]), &json!([])));
    assert_eq!(less.ask("runs?q=letter-1").await["named"][0]["trace_id"], plain.to_string());
}

#[tokio::test]
async fn runs_are_asked_for_by_their_ids_and_by_what_was_chosen_in_them() {
    let Setting { throughline, server } = setting().await;
    let refused = story::refused_loan(&throughline, "loan-1").await;
    let granted = story::granted_loan(&throughline, "loan-2").await;
    let waiting = story::waiting_loan(&throughline, "loan-3").await;
    let (_, events) = story::uneven_run();
    throughline.ingest(events).await.unwrap();
    let none = "0123456789abcdef0123456789abcdef";
    let both = server.ask(&format!("runs?id={granted},{none},{refused}")).await;
    assert_eq!(keys(&both), ["loan-2", "loan-1"]);
    // Of those, what runs now is told with its step.
    let open = server.ask(&format!("running?id={refused},{}", waiting.id)).await;
    assert_eq!(open["runs"].as_array().unwrap().len(), 1);
    assert_eq!(open["runs"][0]["current"]["name"], "stage:manual-review");
    for (question, expected) in [
        ("choice=secured", &["loan-1"][..]),
        ("choice=unsecured", &[]),
        ("choice=post", &["order-88"]),
        ("type=ai:collateral&choice=secured", &["loan-1"]),
        // The choice is one of that decision.
        ("type=ai:collateral&choice=post", &[]),
        ("choice=secured&state=succeeded", &[]),
        ("view=stuck&choice=secured", &[]),
        ("view=orphaned&choice=secured", &["loan-1"]),
        ("view=orphaned&choice=post", &[]),
    ] {
        assert_eq!(keys(&server.ask(&format!("runs?{question}")).await), expected, "{question}");
    }
}

#[tokio::test]
async fn a_run_is_taken_along_as_one_file_with_all_of_its_events() {
    let Setting { throughline, server } = setting().await;
    story::granted_loan(&throughline, "loan-1").await;
    let id = story::refused_loan(&throughline, "loan-2").await;
    let answer = server.get(&format!("/api/runs/{id}/export")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"run.html\""));
    let page = answer.text();
    let events: Vec<Value> = page
        .lines()
        .skip_while(|line| *line != OneFile::BEFORE_EVENTS)
        .skip(1)
        .take_while(|line| *line != OneFile::AFTER_EVENTS)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let recorded = throughline.reader().unwrap().trace(id).await.unwrap();
    let recorded: Vec<_> = recorded.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    assert_eq!(events.len(), recorded.len());
    assert!(recorded.iter().all(|event| events.contains(event)));
    assert!(
        page.contains("loan-approval loan-2")
            && page.contains("\"difference\":{\"chosen\":false")
            && page.contains("\"title\":\"loan-approval loan-1\"")
    );
    assert_eq!(server.get("/api/runs/0123456789abcdef0123456789abcdef/export").await.status, 404);
}

#[tokio::test]
async fn what_is_large_is_compressed_for_those_who_take_it_and_news_are_not() {
    let Setting { throughline, server } = setting().await;
    throughline.ingest(story::failed_runs(20)).await.unwrap();
    let plain = server.get("/api/runs").await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
    let gzip = [("accept-encoding", "gzip")];
    let compressed = server.send("GET", "/api/runs", &gzip).await;
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert!(
        compressed.body.len() * 5 < plain.body.len(),
        "{} of {}",
        compressed.body.len(),
        plain.body.len()
    );
    let mut text = String::new();
    GzDecoder::new(&compressed.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text());
    assert_eq!(server.send("GET", "/api/about", &gzip).await.header("content-encoding"), None);
    let mut live = server.open("GET", "/api/live", &gzip, "close").await;
    let mut head = [0; 2_000];
    let read = tokio::time::timeout(PATIENCE, live.read(&mut head)).await.unwrap().unwrap();
    let head = String::from_utf8_lossy(&head[..read]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && !head.contains("content-encoding"), "{head}");
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
    // Any other by its key or the beginning of its id.
    for (name, id) in [("loan-1", alone), ("loan-2", good), (&alone.to_string()[..20], alone)] {
        let other = server.ask(&format!("runs/{refused}/diff?with={name}")).await;
        assert_eq!(other["with"]["trace_id"], id.to_string(), "{name}");
    }
    // Its own key is that of no other run.
    for name in ["loan-3", "loan-9"] {
        let none = server.get(&format!("/api/runs/{refused}/diff?with={name}")).await;
        assert!(none.status == 404 && none.error().contains("no other run"), "{}", none.text());
    }
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

/// Runs of the living service in which nothing has happened for months, all of the workflow `mail`.
async fn stuck_runs(throughline: &Throughline, store: &MemoryStore, count: usize) {
    story::granted_loan(throughline, "a run by which the service is known").await;
    let alive = store.events()[0].instance;
    for number in 0..count {
        let mut run = run("mail").key(&format!("stuck-{number}")).instance(alive);
        run.begin("stage:wait");
        let mut events = run.events();
        for event in &mut events {
            event.timestamp = event.timestamp.plus(Duration::from_secs(number as u64));
            if number == 7 {
                event.tags = vec!["urgent".into()];
            }
        }
        throughline.ingest(events).await.unwrap();
    }
}

#[tokio::test]
async fn all_stuck_runs_are_listed_page_by_page_and_filtered_as_any_others() {
    let store = MemoryStore::new();
    let throughline = story::service_with(store.clone());
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    stuck_runs(&throughline, &store, 60).await;
    let _running = story::waiting_loan(&throughline, "loan-1").await;
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = server.ask(&format!("runs?view=stuck&after={after}")).await;
        found.extend(keys(&page).into_iter().map(str::to_owned));
        match page["next"].as_str() {
            Some(next) => after = next.replace('+', "%2B"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..60).rev().map(|number| format!("stuck-{number}")).collect();
    assert_eq!(found, expected);
    for (question, expected) in [
        ("key=stuck-3", &["stuck-3"][..]),
        ("q=STUCK-59", &["stuck-59"]),
        ("tag=urgent", &["stuck-7"]),
        ("tag=urgent&key=stuck-3", &[]),
        ("type=stage:other", &[]),
        ("type=stage:*&key=stuck-4", &["stuck-4"]),
        ("service=other", &[]),
        ("workflow=loan-approval", &[]),
        ("state=failed", &[]),
        ("state=running&key=stuck-5", &["stuck-5"]),
        ("attr=tenant=acme", &[]),
        ("since=2026-11-01T00:00:00Z", &[]),
    ] {
        let page = server.ask(&format!("runs?view=stuck&{question}")).await;
        assert_eq!(keys(&page), expected, "{question}");
    }
}

#[tokio::test]
async fn what_is_counted_is_of_the_runs_that_the_same_filters_find() {
    let store = MemoryStore::new();
    let throughline = story::service_with(store.clone());
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    stuck_runs(&throughline, &store, 3).await;
    story::refused_loan(&throughline, "loan-1").await;
    let _running = story::waiting_loan(&throughline, "loan-2").await;
    let at_work = Notify::new();
    let endless = throughline.workflow("mail").key("dropped").run(|_| async {
        at_work.notify_one();
        std::future::pending::<Result<(), std::fmt::Error>>().await
    });
    tokio::select! {
        _ = endless => unreachable!("it has no end"),
        () = at_work.notified() => {}
    }
    throughline.flush(Duration::from_secs(5)).await;
    let ended = |failed: u64, succeeded: u64, cancelled: u64| {
        let total = failed + succeeded + cancelled;
        json!([{ "hits": failed, "total": total }, succeeded, cancelled])
    };
    let not_counted = || json!([null, null, null]);
    for (filter, how_ended, running, stuck) in [
        ("", ended(1, 1, 1), json!(1), json!(3)),
        ("workflow=mail", ended(0, 0, 1), json!(0), json!(3)),
        // These are counted one by one.
        ("key=dropped", ended(0, 0, 1), json!(0), json!(0)),
        ("key=loan-2", ended(0, 0, 0), json!(1), json!(0)),
        ("q=STUCK-1", ended(0, 0, 0), json!(0), json!(1)),
        ("q=register-collateral", ended(1, 0, 0), json!(0), json!(0)),
        ("service=other", ended(0, 0, 0), json!(0), json!(0)),
        ("tag=urgent", not_counted(), Value::Null, Value::Null),
        ("type=stage:*", not_counted(), Value::Null, Value::Null),
    ] {
        let counts = server.ask(&format!("counts?{filter}")).await;
        assert_eq!(
            json!([counts["failed"], counts["succeeded"], counts["cancelled"]]),
            how_ended,
            "{filter}"
        );
        assert_eq!([&counts["running"], &counts["stuck"]], [&running, &stuck], "{filter}");
    }
}

#[tokio::test]
async fn what_a_question_does_not_know_is_refused_by_name() {
    let Setting { throughline, server } = setting().await;
    let id = story::refused_loan(&throughline, "loan-1").await;
    let run = format!("runs/{id}");
    let span = format!("{run}/spans/{}", throughline.query(id).await.unwrap().root().unwrap().id());
    for (question, unknown) in [
        ("counts", "state"),
        ("counts", "limit"),
        ("running", "workflow"),
        ("running", "q"),
        ("patterns", "service"),
        ("patterns", "key"),
        ("library", "since"),
        ("about", "a"),
        ("live", "key"),
        (&run, "span"),
        (&span, "q"),
        (&format!("{run}/search"), "text"),
        (&format!("{run}/diff"), "against"),
        (&format!("{run}/logs"), "level"),
        (&format!("{run}/export"), "format"),
    ] {
        for value in ["x", ""] {
            let answer = server.get(&format!("/api/{question}?{unknown}={value}")).await;
            assert_eq!(answer.status, 400, "{question} {unknown}: {}", answer.text());
            assert!(answer.error().contains(&format!("`{unknown}` is not known here")), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_verdict_says_what_lies_beside_the_run_good_runs_and_runs_that_it_caused() {
    let Setting { throughline, server } = setting().await;
    story::granted_loan(&throughline, "loan-1").await;
    let id = story::refused_loan(&throughline, "loan-2").await;
    let mut child = run("registry").key("entry-7");
    child.fail_run("RegistryDown", "no answer of the registry");
    let mut events = child.events();
    for event in &mut events {
        event.attrs = event.attrs.clone().with("caused_by", id.to_string());
        event.timestamp = Timestamp::now();
    }
    throughline.ingest(events).await.unwrap();
    let told = server.ask(&format!("runs/{id}")).await;
    let statements = told["explanation"]["statements"].as_array().unwrap();
    let says = |kind: &str| statements.iter().filter(|statement| statement["says"] == kind).count();
    assert!(says("differs") > 0 && says("child") == 1, "{statements:#?}");
    assert_eq!(told["related"]["caused"][0]["correlation_id"], "entry-7");
}

#[tokio::test]
async fn a_region_of_slow_spans_is_compared_with_the_others_attribute_by_attribute() {
    let Setting { throughline, server } = setting().await;
    throughline.ingest(story::shipped_runs(40)).await.unwrap();
    let found = server.ask("latency?type=stage:ship&workflow=order").await;
    let spans = found["spans"].as_array().unwrap();
    assert_eq!((spans.len(), &found["more"]), (40, &json!(false)));
    let region = "from=2000-01-01T00:00:00Z&to=2999-01-01T00:00:00Z&least_us=1000000&most_us=9000000";
    let compared = server.ask(&format!("latency/region?type=stage:ship&{region}")).await;
    assert_eq!((&compared["inside"], &compared["outside"]), (&json!(10), &json!(30)));
    let first = &compared["differences"][0];
    assert_eq!((&first["name"], &first["inside"]["hits"]), (&json!("carrier"), &json!(10)), "{compared:#}");
    let names: Vec<_> = compared["differences"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert!(!names.contains(&&json!("order")), "what is different everywhere is no difference: {names:?}");
    assert_eq!(compared["spans"][0]["duration_us"], 5_000_000);
    for (question, part) in [
        ("latency", "`type` is the stage"),
        ("latency?type=a&q=b", "`q` is not known here"),
        ("latency/region?type=a", "a region has"),
        ("latency/region?type=a&from=x&to=2999-01-01T00:00:00Z&least_us=1&most_us=2", "`from` can't be read"),
    ] {
        let answer = server.get(&format!("/api/{question}")).await;
        assert!(answer.status == 400 && answer.error().contains(part), "{question}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_search_in_a_run_looks_at_what_was_said_and_not_at_how_it_is_written_down() {
    let Setting { throughline, server } = setting().await;
    let id = story::refused_loan(&throughline, "loan-1").await;
    for (text, is_found) in [
        ("needle%20in", true),
        ("71500", true),
        ("boat", true),
        ("trace_id", false),
        ("%22", false),
        ("event_type", false),
    ] {
        let found = server.ask(&format!("runs/{id}/search?q={text}")).await;
        assert_eq!(!found["spans"].as_array().unwrap().is_empty(), is_found, "{text}");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_answered_with_what_can_be_asked() {
    let Setting { server, .. } = setting().await;
    let id = "0123456789abcdef0123456789abcdef";
    for (question, status, part) in [
        ("runs?stat=failed", 400, "`stat` is not known here; this takes since, until"),
        ("runs?state=broken", 400, "interrupted"),
        ("runs?view=all", 400, "orphaned"),
        ("runs?since=yesterday", 400, "2026-"),
        ("runs?id=loan-1", 400, "32 hex digits"),
        ("runs?limit=0", 400, "from 1 to"),
        ("runs?limit=100000", 400, "from 1 to"),
        ("runs?attr=tenant", 400, "tenant=acme"),
        ("runs?after=nonsense", 400, "`next`"),
        ("runs/loan-1", 400, "32 hex digits"),
        (&format!("runs/{id}"), 404, "no such run"),
        (&format!("runs/{id}/spans/0123456789abcdef"), 404, "no such run"),
        ("runs?view=stuck&after=nonsense", 400, "`next`"),
        (&format!("runs/{id}/search"), 400, "`q` is the text"),
        // What an address says is no text.
        ("runs/%FF", 400, "UTF-8"),
        (&format!("runs/{id}/spans/%FF"), 400, "UTF-8"),
        ("runs?limit=%FF", 400, "from 1 to"),
        ("nothing", 404, "runs/RUN/search"),
    ] {
        let answer = server.get(&format!("/api/{question}")).await;
        assert_eq!(answer.status, status, "{question}: {}", answer.text());
        assert!(answer.error().contains(part), "{question}: {}", answer.text());
    }
    assert_eq!(server.get("/nothing").await.status, 404);
}
