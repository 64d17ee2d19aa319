//! A service for the validation suite of the W3C's trace context: <https://github.com/w3c/trace-context/tree/main/test>.
//!
//! The suite posts a JSON array of `{"url": .., "arguments": [..]}`; for each element the service posts `arguments` to
//! `url` with the context that it was given, and the suite looks at the headers that come back. Point it here:
//!
//! ```text
//! cargo run --example trace_context_harness -- 5000
//! python3 test.py http://127.0.0.1:5000/
//! ```
//!
//! With `--demo` it calls itself once, says what went in and what came out, and ends.

mod service;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::json;
use throughline::context::TraceParent;
use throughline::{MemoryStore, Throughline};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let argument = std::env::args().nth(1).context("say on which port to serve, as in 5000, or --demo")?;
    let demo = argument == "--demo";
    let port = match argument.parse::<u16>() {
        Ok(port) => port,
        Err(_) if demo => 0,
        Err(_) => bail!("`{argument}` is no port: want a number, as in 5000, or --demo"),
    };
    let throughline = Throughline::builder("trace-context-harness").store(MemoryStore::new()).build()?;
    let url = serve(port, service::router(&throughline)).await?;
    println!("the service listens at {url}");
    if demo {
        check_once(&url).await?;
        let report = throughline.shutdown(Duration::from_secs(5)).await;
        ensure!(report.is_complete(), "not everything was delivered: {report}");
    } else {
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}

async fn serve(port: u16, app: Router) -> anyhow::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// Through the service and through it once more to a callback of our own.
async fn check_once(service: &str) -> anyhow::Result<()> {
    let (tell, mut told) = mpsc::channel(1);
    let callback = post(move |headers: HeaderMap| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(headers).await;
        }
    });
    let callback = serve(0, Router::new().route("/", callback)).await?;
    let sent = (
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
    );
    let calls = json!([{ "url": service, "arguments": [{ "url": callback, "arguments": [] }] }]);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.post(service).json(&calls);
    let answer = request.header("traceparent", sent.0).header("tracestate", sent.1).send().await?;
    ensure!(answer.status().is_success(), "the service answered {}", answer.status());
    let headers = told.recv().await.context("the callback was called")?;
    let received = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (parent, state) = (received("traceparent"), received("tracestate"));
    println!("sent:      traceparent: {}\n           tracestate:  {}", sent.0, sent.1);
    println!("came back: traceparent: {parent}\n           tracestate:  {state}");
    let (parent, original): (TraceParent, TraceParent) = (parent.parse()?, sent.0.parse()?);
    ensure!(parent.trace_id == original.trace_id, "the trace was not continued");
    ensure!(parent.span_id != original.span_id, "the callback has the caller's parent");
    ensure!(state == sent.1, "the tracestate was not passed on");
    println!("the trace continues through both, each time with a new parent");
    Ok(())
}
