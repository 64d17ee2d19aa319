//! What browsers measure.

use reqwest::header::CONTENT_TYPE;
use throughline_metrics::{ExpositionFormat, web_vitals};

use crate::{client, lines, quiet, recorded_by};

#[tokio::test]
async fn beacons_are_kept_and_what_no_page_measures_is_refused() {
    let prometheus = quiet();
    let throughline = recorded_by(&prometheus);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/web-vitals", listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, web_vitals(throughline.meter())).into_future());
    let client = client();
    let send = |body: String| {
        // As browsers send what `sendBeacon` is given as text.
        let request = client.post(&url).header(CONTENT_TYPE, "text/plain;charset=UTF-8").body(body);
        async move {
            let answer = request.send().await.unwrap();
            format!("{} {}", answer.status().as_u16(), answer.text().await.unwrap().trim_end())
        }
    };
    // What the library gives, `entries` and all.
    let lcp = r#"{"name":"LCP","value":1250.5,"rating":"good","delta":1250.5,"id":"v5-1790000000000-1",
        "navigationType":"navigate","entries":[{"name":"","entryType":"largest-contentful-paint","size":91200}]}"#;
    assert_eq!(send(lcp.to_owned()).await, "204 ");
    let many = r#" [{"name":"INP","value":48},{"name":"CLS","value":0.12},{"name":"error"}]"#;
    assert_eq!(send(many.to_owned()).await, "204 ");

    let refused = [
        r#"{"name":"FID","value":3}"#.to_owned(),
        r#"{"name":"TTFB","value":3}"#.to_owned(),
        r#"{"name":"LCP","value":-1}"#.to_owned(),
        r#"{"name":"LCP","value":1e300}"#.to_owned(),
        r#"{"name":"CLS"}"#.to_owned(),
        // The first is right, and is not kept either.
        r#"[{"name":"CLS","value":0.1},{"name":"CLS","value":500}]"#.to_owned(),
        format!("[{}]", [r#"{"name":"error"}"#; 51].join(",")),
        "LCP=3".to_owned(),
        "x".repeat(70_000),
    ];
    let mut answers = String::new();
    for body in refused {
        answers.push_str(&send(body).await);
        answers.push('\n');
    }
    insta::assert_snapshot!(answers, @r#"
    422 FID has been replaced by INP: use onINP of the library web-vitals
    422 `TTFB` is not supported: send LCP, INP, CLS or error
    422 LCP of -1.0 is not plausible: expected 0 to 600000
    422 LCP of 1e300 is not plausible: expected 0 to 600000
    422 CLS has no value: send a number
    422 CLS of 500.0 is not plausible: expected 0 to 100
    422 too many measurements in one body: got 51, send at most 50
    400 expected {"name": "LCP", "value": 1250.5} or a list of such objects: expected value at line 1 column 1
    413 Failed to buffer the request body: length limit exceeded
    "#);
    let page = prometheus.render(ExpositionFormat::Text);
    let mut kept = lines(&page, "throughline_web");
    kept.retain(|line| !line.contains("_bucket"));
    insta::assert_snapshot!(kept.join("\n"), @r#"
    throughline_web_cls_sum 0.12
    throughline_web_cls_count 1
    throughline_web_errors_total 1
    throughline_web_inp_seconds_sum 0.048
    throughline_web_inp_seconds_count 1
    throughline_web_lcp_seconds_sum 1.2505
    throughline_web_lcp_seconds_count 1
    "#);
    serving.abort();
}
