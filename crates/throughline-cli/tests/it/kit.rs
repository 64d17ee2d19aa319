//! `throughline dashboards`, `alerts` and `routing` write files.

use crate::sandbox::Sandbox;

#[test]
fn the_files_for_operators_are_written_and_named() {
    let sandbox = Sandbox::empty();
    let names = |said: &str| said.lines().map(str::to_owned).collect::<Vec<_>>();
    let dashboards = names(&sandbox.run(&["dashboards", "--out", "deep/grafana"]).stdout);
    assert_eq!(dashboards.len(), 14, "{dashboards:?}");
    for path in &dashboards {
        let dashboard: serde_json::Value = serde_json::from_str(&sandbox.read(path)).unwrap();
        assert!(dashboard["title"].is_string(), "{path}");
    }
    let viewer = ["--viewer", "https://ops.example.org/runs/", "--prometheus", "http://metrics:9090"];
    let linked = names(&sandbox.run(&[&["dashboards", "--out", "linked"], &viewer[..]].concat()).stdout);
    assert_eq!(linked.last().map(String::as_str), Some("linked/datasource.yaml"));
    let source = sandbox.read("linked/datasource.yaml");
    assert!(
        source.contains("http://metrics:9090") && source.contains("https://ops.example.org/runs/#/run/$${"),
        "{source}"
    );
    sandbox.run(&["dashboards", "--out", "funnel", "--funnel", "cart:opened,order.paid"]);
    let business = sandbox.read("funnel/business.json");
    assert!(business.contains(r#"event_type=~\"cart:opened|order\\\\.paid\""#), "{business}");
    assert!(sandbox.read("linked/workflows.json").contains("https://ops.example.org/runs/#/runs?workflow="));
    let said = sandbox.run(&["alerts", "--job", "loans", "--out", "deep"]);
    assert_eq!((said.code, names(&said.stdout)), (0, vec!["deep/alerts.yaml".to_owned()]));
    assert!(sandbox.read("deep/alerts.yaml").contains(r#"up{job="loans"}"#));
    let said = sandbox.run(&["routing", "--webhook", "http://localhost:9000/", "--out", "deep"]);
    assert_eq!(said.code, 0);
    let routing = sandbox.read("deep/alertmanager.yaml");
    assert!(routing.contains("http://localhost:9000/oncall-primary"), "{routing}");
    let said = sandbox.run(&[
        "alerts",
        "--kubernetes",
        "--namespace",
        "loans",
        "--image",
        "loans:1.2",
        "--out",
        "deep",
    ]);
    assert_eq!(names(&said.stdout), ["deep/monitoring.yaml", "deep/deployment.yaml"]);
    let deployment = sandbox.read("deep/deployment.yaml");
    assert!(
        deployment.contains("image: \"loans:1.2\"") || deployment.contains("image: loans:1.2"),
        "{deployment}"
    );
    let targets = ["--target", "https://a.example.org", "--target", "https://b.example.org"];
    let said = sandbox.run(&[&["probes", "--out", "deep"], &targets[..]].concat());
    assert_eq!(names(&said.stdout), ["deep/blackbox.yaml", "deep/probes.yaml"]);
    let probes = sandbox.read("deep/probes.yaml");
    assert!(probes.contains("https://a.example.org") && probes.contains("https://b.example.org"), "{probes}");
}

#[test]
fn the_names_of_the_metrics_are_those_of_the_profile() {
    let sandbox = Sandbox::empty();
    sandbox.run(&["alerts", "--profile", "aliases", "--prefix", "acme", "--out", "."]);
    let rules = sandbox.read("alerts.yaml");
    assert!(rules.contains("acme_http_requests_total") && rules.contains("$labels.path"), "{rules}");
    assert!(!rules.contains("http_server_request_duration"), "{rules}");
}

#[test]
fn what_cannot_be_written_is_one_line_that_says_why() {
    let sandbox = Sandbox::empty();
    insta::assert_snapshot!(sandbox.see(&["alerts", "--profile", "both", "--prefix", "2nd", "--out", "."]), @r"
    throughline: `2nd` can't begin a metric's name: use letters, digits and underscores, and no digit at the beginning
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["alerts", "--job", "", "--out", "."]), @r"
    throughline: the job has no name: use the `job_name` under which Prometheus scrapes the service
    [exit code 2]
    ");
    sandbox.write("taken", "a file");
    insta::assert_snapshot!(sandbox.see(&["dashboards", "--out", "taken"]), @r"
    throughline: taken: File exists (os error 17)
    [exit code 3]
    ");
    insta::assert_snapshot!(sandbox.see(&["probes", "--target", "loans.example.org", "--out", "."]), @r"
    throughline: `loans.example.org` can't be probed: use an address such as https://shop.example.org/livez
    [exit code 2]
    ");
    insta::assert_snapshot!(sandbox.see(&["alerts", "--kubernetes", "--job", "Loans", "--out", "."]), @r"
    throughline: no object of Kubernetes can be called `Loans`: use at most 63 lower-case letters, digits and inner hyphens
    [exit code 2]
    ");
    let said = sandbox.see(&["dashboards", "--profile", "aliases", "--out", "."]);
    assert!(said.contains("--prefix") && said.contains("[exit code 2]"), "{said}");
}
