//! `/metrics` over HTTP.

use std::sync::mpsc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use throughline_core::metrics::catalogue;
use throughline_metrics::{ExpositionFormat, MetricsServer, Prometheus};

use crate::{client, lines, quiet, recorded_by};

/// How long something may take that either happens soon or never.
const PATIENCE: Duration = Duration::from_secs(20);

async fn served(prometheus: &Prometheus) -> (MetricsServer, String) {
    let server = prometheus.serve(([127, 0, 0, 1], 0)).await.unwrap();
    let url = format!("http://{}/metrics", server.local_addr());
    (server, url)
}

#[tokio::test]
async fn a_client_gets_the_format_that_it_wants() {
    let prometheus = Prometheus::new();
    let (server, url) = served(&prometheus).await;
    let client = client();
    for (accept, format) in [
        ("*/*", ExpositionFormat::Text),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            ExpositionFormat::OpenMetrics,
        ),
    ] {
        let answer = client.get(&url).header(ACCEPT, accept).send().await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], format.content_type());
        let page = answer.text().await.unwrap();
        assert_eq!(page.ends_with("# EOF\n"), format == ExpositionFormat::OpenMetrics);
        assert!(page.contains("tokio_runtime_workers 1\n"), "{page}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_head_has_no_body_and_other_methods_and_paths_are_refused() {
    let (server, url) = served(&quiet()).await;
    let client = client();
    let head = client.head(&url).send().await.unwrap();
    assert_eq!(
        (head.status(), head.headers()[CONTENT_TYPE].to_str().unwrap()),
        (StatusCode::OK, ExpositionFormat::Text.content_type())
    );
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    let post = client.post(&url).send().await.unwrap();
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.headers()[ALLOW], "GET,HEAD");
    assert_eq!(client.get(format!("{url}/x")).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrapes_at_the_same_time_have_a_bound() {
    let prometheus = quiet();
    let throughline = recorded_by(&prometheus);
    let (entered, scraping) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let _collector = throughline.meter().on_collect(move || {
        let _ = entered.send(());
        // Until all are let go.
        let _ = released.lock().unwrap().recv();
    });
    let (server, url) = served(&prometheus).await;
    let first: Vec<_> = (0..4).map(|_| tokio::spawn(client().get(&url).send())).collect();
    let scraping = tokio::task::spawn_blocking(move || {
        (0..4).for_each(|_| scraping.recv_timeout(PATIENCE).unwrap());
        scraping
    });
    // Kept, so that later readings have a recorder.
    let _scraping = scraping.await.unwrap();
    let one_more = client().get(&url).timeout(PATIENCE).send().await;
    drop(release);
    assert_eq!(one_more.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    for scrape in first {
        assert_eq!(scrape.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(client().get(&url).send().await.unwrap().status(), StatusCode::OK);
    server.shutdown().await;
}

#[tokio::test]
async fn a_scrape_sees_the_ledger_and_the_process_as_they_are_now() {
    let prometheus = Prometheus::new();
    let throughline = recorded_by(&prometheus);
    throughline.workflow("loan-approval").run_infallible(|_| async {}).await.unwrap();
    throughline.flush(Duration::from_secs(5)).await;
    let (server, url) = served(&prometheus).await;
    let page = client().get(&url).send().await.unwrap().text().await.unwrap();
    let delivered = lines(&page, "throughline_events_delivered_total{");
    assert!(
        delivered.contains(
            &r#"throughline_events_delivered_total{destination="memory",service="loan-service"} 2"#
        ),
        "{delivered:?}"
    );
    for name in [
        catalogue::PROCESS_CPU_SECONDS.description().name,
        catalogue::PROCESS_RESIDENT_MEMORY.description().name,
        catalogue::PROCESS_OPEN_FDS.description().name,
        catalogue::TOKIO_ALIVE_TASKS.description().name,
        catalogue::TOKIO_BUSY_SECONDS.description().name,
    ] {
        assert_eq!(lines(&page, &format!("{name} ")).len(), 1, "{name}");
    }
    assert!(
        lines(&page, "process_resident_memory_bytes")[0].split(' ').nth(1).unwrap().parse::<f64>().unwrap()
            > 1e6
    );
    server.shutdown().await;
    throughline.shutdown(Duration::from_secs(5)).await;
}

/// What the kernel itself says of this process is what a scrape says.
#[cfg(target_os = "linux")]
#[test]
fn the_figures_of_the_process_are_those_of_the_kernel() {
    let page = Prometheus::new().render(ExpositionFormat::Text);
    let scraped = |name: &str| {
        let line = &lines(&page, &format!("{name} "))[0];
        line.split(' ').nth(1).unwrap().parse::<f64>().unwrap()
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kernel = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    // Other tests of this process begin and end threads meanwhile.
    assert!((scraped("process_threads") - kernel("Threads:")).abs() <= 16.0);
    let resident = scraped("process_resident_memory_bytes") / 1024.0 / kernel("VmRSS:");
    assert!((0.5..2.0).contains(&resident), "{resident}");
    let virtual_memory = scraped("process_virtual_memory_bytes") / 1024.0 / kernel("VmSize:");
    assert!((0.5..2.0).contains(&virtual_memory), "{virtual_memory}");
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let most: f64 = files.split_whitespace().next().unwrap().parse().unwrap();
    assert_eq!(scraped("process_max_fds"), most);
    assert!(scraped("process_open_fds") >= 3.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 86_400.0..=now + 1.0).contains(&scraped("process_start_time_seconds")));
}

#[tokio::test]
async fn a_server_that_is_shut_down_or_dropped_serves_no_more_and_its_port_is_free() {
    let prometheus = quiet();
    let (server, url) = served(&prometheus).await;
    let address = server.local_addr();
    assert_eq!(client().get(&url).send().await.unwrap().status(), StatusCode::OK);
    let error = prometheus.serve(address).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("metrics can't be served at {address}: ")), "{error}");
    server.shutdown().await;
    assert!(client().get(&url).send().await.is_err());
    prometheus.serve(address).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn it_is_a_router_like_any_other() {
    let app: axum::Router = axum::Router::new().merge(quiet().router());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, app).into_future());
    assert_eq!(client().get(url).send().await.unwrap().status(), StatusCode::OK);
    serving.abort();
}
