//! Every metric of the catalogue comes out as it was meant, in every profile.

use std::collections::BTreeSet;

use throughline_core::metrics::catalogue::{self, Kind};
use throughline_core::metrics::{Metrics, Profile};
use throughline_core::{MemoryStore, Throughline};
use throughline_metrics::{ExpositionFormat, Prometheus};

use crate::lines;

#[test]
fn histograms_have_the_buckets_of_the_catalogue_under_each_of_their_names() {
    let prometheus = Prometheus::builder().profile(Profile::both("acme")).build().unwrap();
    let throughline = Throughline::builder("loan-service")
        .store(MemoryStore::new())
        .metrics(Metrics::from(&prometheus))
        .build()
        .unwrap();
    let requests = throughline.meter().histogram(&catalogue::HTTP_SERVER_REQUEST_DURATION);
    requests.with(["GET", "http", "/loans", "200", "", "1.1"]).record(0.2);
    let page = prometheus.render(ExpositionFormat::Text);
    let bounds = |name: &str| {
        let bound = |line: &&str| line.split_once("le=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        lines(&page, &format!("{name}_bucket{{")).iter().map(bound).collect::<Vec<_>>()
    };
    let of_the_catalogue = &catalogue::HTTP_SERVER_REQUEST_DURATION.description().buckets;
    let mut expected: Vec<_> = of_the_catalogue.iter().map(|bound| format!("{bound:?}")).collect();
    expected.push("+Inf".to_owned());
    assert_eq!(bounds("http_server_request_duration_seconds"), expected);
    assert_eq!(bounds("acme_http_request_duration_seconds"), expected);
    assert_eq!(
        lines(&page, "acme_memory_bytes").len(),
        1,
        "what the process has is there under its old name too"
    );
}

#[test]
fn types_and_help_come_from_the_catalogue() {
    let prometheus = Prometheus::new();
    let page = prometheus.render(ExpositionFormat::Text);
    let described: BTreeSet<_> = catalogue::all()
        .filter(|(_, metric)| page.contains(&format!("# HELP {} {}\n", metric.name, metric.help)))
        .map(|(_, metric)| (metric.name, metric.kind == Kind::Counter))
        .collect();
    for (name, counter) in &described {
        let kind = if *counter { "counter" } else { "gauge" };
        assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
    }
    assert!(described.contains(&("process_cpu_seconds_total", true)), "{described:?}");
}
