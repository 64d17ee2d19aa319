//! A real Alertmanager tells the right people.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Path as Segment, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use throughline::metrics::{Profile, Prometheus};
use throughline::{LayerExt as _, MemoryStore, Throughline, Traced};
use throughline_kit::Kit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{may_do_without, run};
use crate::metrics::server::{PATIENCE, Server};

/// Debian has a name of its own for it.
pub(super) fn alertmanager() -> &'static str {
    if Command::new("prometheus-alertmanager").arg("--version").output().is_ok() {
        "prometheus-alertmanager"
    } else {
        "alertmanager"
    }
}

/// Who was told what: the receiver, the alert, and whether it fires or is resolved.
pub(super) type Told = (String, String, String);

/// What Alertmanager calls instead of people; each call with the receiver that is called.
async fn calls() -> (String, UnboundedReceiver<(String, Value)>) {
    let (tell, told) = unbounded_channel();
    let take = |Segment(receiver): Segment<String>,
                State(tell): State<UnboundedSender<(String, Value)>>,
                Json(said): Json<Value>| async move {
        // Nobody listens any more when the test ends.
        let _ = tell.send((receiver, said));
    };
    let app = Router::new().route("/{receiver}", post(take)).with_state(tell);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    (url, told)
}

/// The same, alert by alert.
pub(super) async fn phones() -> (String, UnboundedReceiver<Told>) {
    let (url, mut calls) = calls().await;
    let (tell, told) = unbounded_channel();
    tokio::spawn(async move {
        while let Some((receiver, said)) = calls.recv().await {
            for alert in said["alerts"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let _ = tell.send((
                    receiver.clone(),
                    text(&alert["labels"]["alertname"]),
                    text(&alert["status"]),
                ));
            }
        }
    });
    (url, told)
}

/// Starts an Alertmanager with this configuration.
pub(super) fn start(folder: &Path, config: &str) -> Server {
    let file = folder.join("alertmanager.yaml");
    std::fs::write(&file, config).unwrap();
    let mut server = Command::new(alertmanager());
    server
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", folder.join("told").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]);
    Server::started(server)
}

/// Waits until somebody is told this; whatever is said before is returned.
async fn wait_for(told: &mut UnboundedReceiver<Told>, wanted: (&str, &str, &str)) -> Vec<Told> {
    let mut before = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, told.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("{wanted:?} is not said, but {before:?}")).unwrap();
        let found = (next.0.as_str(), next.1.as_str(), next.2.as_str()) == wanted;
        before.push(next);
        if found {
            return before;
        }
    }
}

#[test]
fn amtool_accepts_the_routing_and_each_severity_goes_where_it_should() {
    if may_do_without("amtool") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = Kit::new(Profile::standard()).routing().unwrap();
    let path = folder.path().join(&file.name);
    std::fs::write(&path, &file.contents).unwrap();
    let path = path.to_str().unwrap();
    let said = run("amtool", &["check-config", path]);
    assert!(
        said.is_ok(),
        "{said:?}
{}",
        file.contents
    );
    for secret in ["routing_key:", "service_key:", "api_url:", "url:"] {
        assert!(
            !file.contents.lines().any(|line| line.trim_start_matches([' ', '-']).starts_with(secret)),
            "{}",
            file.contents
        );
    }
    // What the time of day mutes, amtool does not say: that is for a real Alertmanager, below.
    for (severity, receivers) in [
        ("critical", "oncall-primary,slack-alerts"),
        ("warning", "oncall-secondary,slack-alerts"),
        ("info", "slack-alerts"),
        ("unheard-of", "slack-alerts"),
    ] {
        let config = format!("--config.file={path}");
        let labels = [format!("severity={severity}"), "alertname=APIDown".to_owned()];
        let said = run("amtool", &["config", "routes", "test", &config, &labels[0], &labels[1]]);
        assert_eq!(said.as_deref().map(str::trim), Ok(receivers), "{severity}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warnings_reach_the_secondary_in_business_hours_and_only_the_chat_at_other_times() {
    if may_do_without(alertmanager()) {
        return;
    }
    let (url, mut told) = phones().await;
    let config = Kit::new(Profile::standard()).webhook(url).faster(60).routing().unwrap().contents;
    let hours = |days: &str| {
        let config =
            config.replace("monday:friday", days).replace("09:00", "00:00").replace("17:00", "24:00");
        assert!(config.contains(days) && config.contains("24:00"), "{config}");
        config
    };
    // Of any two days that are apart, one is far from now, whatever the time zone.
    let days_since = throughline::event::Timestamp::now().as_micros() / 86_400_000_000;
    let is_midweek = matches!(days_since.rem_euclid(7), 5 | 6 | 0);
    let far = if is_midweek { "saturday" } else { "wednesday" };
    for (days, hears_of_it) in [("sunday:saturday", true), (far, false)] {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path(), &hours(days));
        let alerts = ["warning", "critical"].map(|severity| {
            json!({ "labels": { "alertname": format!("{severity} on {days}"), "job": "throughline", "severity": severity } })
        });
        send(&server, &json!(alerts)).await;
        let (warning, critical) = (format!("warning on {days}"), format!("critical on {days}"));
        let mut said = wait_for(&mut told, ("slack-alerts", &warning, "firing")).await;
        if !said.iter().any(|(who, what, _)| who == "oncall-primary" && *what == critical) {
            said.extend(wait_for(&mut told, ("oncall-primary", &critical, "firing")).await);
        }
        let to_secondary =
            |said: &[Told]| said.iter().any(|(who, what, _)| who == "oncall-secondary" && *what == warning);
        if hears_of_it && !to_secondary(&said) {
            said.extend(wait_for(&mut told, ("oncall-secondary", &warning, "firing")).await);
        }
        assert_eq!(to_secondary(&said), hears_of_it, "{days}: {said:?}");
    }
}

async fn send(manager: &Server, alerts: &Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let posted = client.post(format!("{}/api/v2/alerts", manager.url)).json(alerts).send().await.unwrap();
    assert!(posted.status().is_success());
}

/// The names and the jobs of the alerts of a call.
fn alerts_of(call: &Value) -> Vec<(String, String)> {
    let text = |alert: &Value, label: &str| alert["labels"][label].as_str().unwrap().to_owned();
    let all = call["alerts"].as_array().unwrap().iter();
    all.map(|alert| (text(alert, "alertname"), text(alert, "job"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_service_is_down_nobody_hears_that_it_is_slow_and_alerts_of_one_name_are_one_call() {
    if may_do_without(alertmanager()) {
        return;
    }
    let (url, mut told) = calls().await;
    let folder = tempfile::tempdir().unwrap();
    let config = Kit::new(Profile::standard()).webhook(url).faster(60).routing().unwrap().contents;
    let manager = start(folder.path(), &config);
    let alert = |name: &str, job: &str, severity: &str, route: &str| json!({ "labels": { "alertname": name, "job": job, "severity": severity, "http_route": route } });
    let is = |name: &str, job: &str| (name.to_owned(), job.to_owned());
    let mut next = async || tokio::time::timeout(PATIENCE, told.recv()).await.expect("a call").unwrap();

    let down = alert("APIDown", "loans", "critical", "");
    send(&manager, &json!([down])).await;
    while alerts_of(&next().await.1) != [is("APIDown", "loans")] {}
    send(
        &manager,
        &json!([
            alert("HighLatency", "loans", "warning", ""),
            alert("HighHTTPLatency", "offers", "warning", "/offers"),
            alert("HighHTTPLatency", "offers", "warning", "/offers/{id}"),
        ]),
    )
    .await;
    // That of another job is told, and both at once.
    let mut calls = Vec::new();
    loop {
        let (_, call) = next().await;
        let of = alerts_of(&call);
        calls.push(call);
        if of[0] == is("HighHTTPLatency", "offers") {
            assert_eq!(of.len(), 2, "{calls:?}");
            break;
        }
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = format!("{}/api/v2/alerts?filter=alertname%3D%22HighLatency%22", manager.url);
    let known: Value = client.get(asked).send().await.unwrap().json().await.unwrap();
    assert_eq!(known[0]["status"]["state"], "suppressed", "{known:#}");
    assert!(known[0]["status"]["inhibitedBy"][0].is_string(), "{known:#}");
    let of_loans = |call: &Value| alerts_of(call).contains(&is("HighLatency", "loans"));
    assert!(!calls.iter().any(of_loans), "{calls:?}");
    // It was kept, not lost: once the service is up again, it is told.
    let mut up = down;
    up["endsAt"] = json!(throughline::event::Timestamp::now());
    send(&manager, &json!([up])).await;
    while !of_loans(&next().await.1) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_fails_wakes_the_person_on_call_and_says_when_it_is_well_again() {
    if may_do_without("prometheus") || may_do_without(alertmanager()) {
        return;
    }
    let (url, mut told) = phones().await;
    // What is defined in minutes takes seconds.
    let kit = Kit::new(Profile::standard()).faster(60).webhook(url);
    let (rules, people) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let manager = start(people.path(), &kit.routing().unwrap().contents);

    let prometheus = Prometheus::new();
    let throughline =
        Throughline::builder("loan-service").store(MemoryStore::new()).metrics(&prometheus).build().unwrap();
    let is_well = Arc::new(AtomicBool::new(false));
    let answer = |State(is_well): State<Arc<AtomicBool>>, Traced(_): Traced| async move {
        if is_well.load(Ordering::Relaxed) { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }
    };
    let app: Router = Router::new()
        .route("/loans", get(answer))
        .layer(throughline.layer())
        .with_state(Arc::clone(&is_well));
    let app = prometheus.add_to(app);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    let users = tokio::spawn(async move {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            client.get(format!("http://{address}/loans")).send().await.unwrap();
        }
    });

    let file = kit.alerts().unwrap();
    std::fs::write(rules.path().join(&file.name), file.contents).unwrap();
    let manager_address = manager.url.strip_prefix("http://").unwrap();
    let configured = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{manager_address}']}}]}}]}}\n",
        file.name
    );
    let _server = Server::scraping(address, rules.path(), &configured);

    let mut said = wait_for(&mut told, ("oncall-primary", "APIDown", "firing")).await;
    is_well.store(true, Ordering::Relaxed);
    said.extend(wait_for(&mut told, ("oncall-primary", "APIDown", "resolved")).await);
    let primary: Vec<_> = said.iter().filter(|(who, ..)| who == "oncall-primary").collect();
    // Rules may be judged before the first scrape: then the service is not there yet.
    let critical = ["APIDown", "ErrorBudgetBurnsFast", "ErrorBudgetBurns", "SidecarTransportFailure"];
    assert!(primary.iter().all(|(_, what, _)| critical.contains(&what.as_str())), "{primary:?}");
    assert!(
        said.iter().any(|(who, what, _)| who == "slack-alerts" && what == "APIDown"),
        "the chat is told, too: {said:?}"
    );
    users.abort();
    throughline.shutdown(Duration::from_secs(5)).await;
}
