//! Scanners ask for paths that nobody has, and tenants come in any number.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use throughline::metrics::{ExpositionFormat, Prometheus};
use throughline::{LayerExt as _, MemoryStore, Throughline};
use tower::ServiceExt as _;

/// The series of the histogram of requests, each with how often it was recorded.
fn requests(prometheus: &Prometheus) -> Vec<String> {
    let page = prometheus.render(ExpositionFormat::Text);
    let counts = page.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
    counts.map(str::to_owned).collect()
}

#[tokio::test]
async fn forty_thousand_paths_that_nobody_has_are_one_series() {
    let (prometheus, store) = (Prometheus::new(), MemoryStore::new());
    let throughline =
        Throughline::builder("loan-service").store(store.clone()).metrics(&prometheus).build().unwrap();
    let app: Router =
        Router::new().route("/loans/{id}", get(|| async { "a loan" })).layer(throughline.layer());
    for path in 0..40_000 {
        let request = Request::get(format!("/{path}/wp-login.php")).body(Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    for loan in 0..100 {
        let request = Request::get(format!("/loans/{loan}")).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap();
    }
    let series = requests(&prometheus);
    assert_eq!(series.len(), 2, "{series:#?}");
    assert!(
        series.iter().any(|line| line.contains(r#"status_code="404""#) && line.ends_with(" 40000")),
        "{series:#?}"
    );
    assert!(
        series.iter().any(|line| line.contains(r#"route="/loans/{id}""#) && line.ends_with(" 100")),
        "{series:#?}"
    );
    assert_eq!(store.events().len(), 0, "and nothing of it is a story");
}
