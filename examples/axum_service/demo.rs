//! What a person sees who asks the service, its probes, its metrics and its traces.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use throughline::query::Style;
use throughline::{Throughline, TraceId};

use crate::stand_in::StandIn;

/// What must not be found in any trace.
const SECRETS: [&str; 2] = ["ada@example.org", "NL91ABNA0417164300"];

/// How long a probe may take to see what it should.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends requests over loopback and prints the answers, the probes, an excerpt of the metrics, and the story of what
/// failed.
pub(crate) async fn show(
    service: SocketAddr,
    metrics: SocketAddr,
    throughline: &Throughline,
    bureau: &StandIn,
) -> anyhow::Result<()> {
    // Everything is on this machine: no proxy is asked.
    let (client, url) = (Client::builder().no_proxy().build()?, format!("http://{service}"));
    let offer = |amount: u32| {
        let [email, iban] = SECRETS;
        let application = json!({ "amount": amount, "email": email, "iban": iban });
        client.post(format!("{url}/offers")).json(&application)
    };
    let get = |path: &str| client.get(format!("{url}{path}"));

    heading("An offer", "POST /offers");
    print(send(offer(20_000), StatusCode::OK).await?).await?;
    heading("The caller's own request id comes back", "POST /offers");
    let refused = offer(200_000).header("x-request-id", "checkout-4711");
    print(send(refused, StatusCode::UNPROCESSABLE_ENTITY).await?).await?;
    heading("A long answer", "GET /offers.csv");
    let begun = Instant::now();
    let answer = send(get("/offers.csv"), StatusCode::OK).await?;
    let head = begun.elapsed();
    let rows = answer.text().await?.lines().count();
    println!(
        "  the head after {} ms, {rows} rows after {} ms",
        head.as_millis(),
        begun.elapsed().as_millis()
    );
    heading("A scanner", "GET /wp-login.php");
    print(send(get("/wp-login.php"), StatusCode::NOT_FOUND).await?).await?;
    heading("A bug", "GET /offers/17/instalments/0");
    let panicked =
        print(send(get("/offers/17/instalments/0"), StatusCode::INTERNAL_SERVER_ERROR).await?).await?;

    heading("May it have traffic?", "GET /readyz");
    println!("  {}", probe(&client, &url, StatusCode::OK).await?);
    println!("The bureau goes away:");
    bureau.switch(false);
    let failed = print(send(offer(30_000), StatusCode::BAD_GATEWAY).await?).await?;
    println!("  {}", probe(&client, &url, StatusCode::SERVICE_UNAVAILABLE).await?);
    println!("And comes back:");
    bureau.switch(true);
    println!("  {}", probe(&client, &url, StatusCode::OK).await?);

    heading("What Prometheus reads", "GET /metrics, on a port of its own");
    excerpt(
        &client.get(format!("http://{metrics}/metrics")).send().await?.error_for_status()?.text().await?,
    )?;

    ensure!(throughline.flush(Duration::from_secs(10)).await.is_complete(), "something is still on its way");
    let style = if std::io::stdout().is_terminal() { Style::ansi() } else { Style::plain() };
    for (question, body) in [("Why was there no offer?", failed), ("And the bug?", panicked)] {
        let trace: TraceId = body["trace_id"].as_str().context("a problem names its trace")?.parse()?;
        heading(question, &format!("throughline why {trace}"));
        println!("{}", throughline.query(trace).await?.explain().render(&style).trim_end());
        let story =
            serde_json::to_string(&throughline.reader().context("it is stored")?.trace(trace).await?)?;
        let found = SECRETS.iter().find(|secret| story.contains(**secret));
        ensure!(found.is_none(), "{found:?} is in the story");
    }
    Ok(())
}

/// How to ask the traces that are left.
pub(crate) fn say_how_to_look_further(store: &Path) {
    println!("\nLook further:");
    for command in ["list", "list --failed", "stats"] {
        println!("  cargo run --release -p throughline-cli -- --store sqlite:{} {command}", store.display());
    }
}

/// A request to send to a service that keeps serving.
pub(crate) fn to_try_by_hand(service: SocketAddr) -> String {
    let [email, iban] = SECRETS;
    let application = json!({ "amount": 20_000, "email": email, "iban": iban });
    format!("curl -i http://{service}/offers -H 'content-type: application/json' -d '{application}'")
}

async fn send(request: RequestBuilder, expected: StatusCode) -> anyhow::Result<Response> {
    let answer = request.send().await?;
    ensure!(answer.status() == expected, "{} answered {}, not {expected}", answer.url(), answer.status());
    Ok(answer)
}

/// Prints what of an answer is of interest here, and returns the body.
async fn print(answer: Response) -> anyhow::Result<Value> {
    println!("  {}", answer.status());
    for name in ["content-type", "x-request-id", "server-timing"] {
        if let Some(value) = answer.headers().get(name) {
            println!("  {name}: {}", value.to_str()?);
        }
    }
    let text = answer.text().await?;
    if !text.is_empty() {
        println!("  {text}");
    }
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Asks for readiness until it is as expected: findings are kept for a moment.
async fn probe(client: &Client, url: &str, expected: StatusCode) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        let answer = client.get(format!("{url}/readyz")).send().await?;
        if answer.status() == expected {
            return Ok(format!("{expected}  {}", answer.text().await?));
        }
        ensure!(begun.elapsed() < PATIENCE, "not {expected} after {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Of each of these metrics what is there, without the buckets.
fn excerpt(metrics: &str) -> anyhow::Result<()> {
    const SHOWN: [&str; 6] = [
        "http_server_request_duration_seconds_count",
        "http_client_request_duration_seconds_count",
        "throughline_step_duration_seconds_count",
        "throughline_health_check_status",
        "throughline_events_delivered_total",
        "process_resident_memory_bytes",
    ];
    for name in SHOWN {
        let mut lines = metrics.lines().filter(|line| line.starts_with(name)).peekable();
        ensure!(lines.peek().is_some(), "{name} is not measured");
        lines.for_each(|line| println!("  {line}"));
    }
    Ok(())
}

fn heading(what: &str, how: &str) {
    println!("\n── {what}  ({how})");
}
