//! The container: how it is made, what is checked of one that is there, and what is written to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_data_cosmos::models::{ContainerProperties, IndexingMode, IndexingPolicy};
use serde_json::{Value, json};
use throughline_model::testing::run;
use throughline_model::{Instance, InstanceId, OpenError, StoreConfig};

use crate::server::{Fate, Server};
use crate::{client, open, shared};

/// The bodies of the requests that write something, from now on.
fn written(server: &Server) -> Arc<Mutex<Vec<Value>>> {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    server.judge(move |request| {
        seen.lock().unwrap().extend(serde_json::from_slice::<Value>(request.body));
        Fate::Answered
    });
    bodies
}

#[tokio::test]
async fn a_new_container_is_partitioned_by_trace_and_indexes_what_is_asked_for_and_no_payload() {
    let server = Server::start();
    let bodies = written(&server);
    open(&server.store()).await;
    let bodies = bodies.lock().unwrap();
    let made = bodies.iter().find(|body| body.get("partitionKey").is_some()).expect("it makes a container");
    assert_eq!(made["partitionKey"]["paths"], json!(["/trace_id"]));
    assert_eq!(made["defaultTtl"], 90 * 86_400);
    let policy = &made["indexingPolicy"];
    assert_eq!((&policy["indexingMode"], &policy["automatic"]), (&json!("consistent"), &json!(true)));
    assert_eq!(policy["excludedPaths"], json!([{ "path": "/*" }]));
    let paths: Vec<_> =
        policy["includedPaths"].as_array().unwrap().iter().map(|path| &path["path"]).collect();
    assert!(!paths.iter().any(|path| *path == "/event/?" || *path == "/row/?" || *path == "/*"), "{paths:?}");
    for composite in policy["compositeIndexes"].as_array().unwrap() {
        let [equal, sorted] = &composite.as_array().unwrap()[..] else { panic!("{composite}") };
        assert_eq!((&equal["order"], &sorted["order"]), (&json!("ascending"), &json!("descending")));
        assert!(!["/at", "/place"].contains(&equal["path"].as_str().unwrap()), "what is equal comes first");
        assert!(["/at", "/place"].contains(&sorted["path"].as_str().unwrap()), "what is a range comes last");
    }
}

/// What is said of a container that is there already.
async fn refusal(properties: ContainerProperties, retention: bool) -> Option<OpenError> {
    let server = Server::start();
    let client = client(&server).await;
    client.create_database("audit", None).await.unwrap();
    client.database_client("audit").create_container(properties, None).await.unwrap();
    let mut store = server.store();
    if retention {
        store = store.retention_age(Duration::from_secs(3600));
    }
    store.open(Instance::new(InstanceId::random(), "test")).await.err()
}

fn keyed(path: &str) -> ContainerProperties {
    ContainerProperties::new("throughline", path.to_owned().into())
}

#[tokio::test]
async fn a_container_that_can_not_be_used_is_refused_with_what_is_wrong_and_how_to_fix_it() {
    let with = |policy| keyed("/trace_id").with_indexing_policy(policy);
    let nothing =
        || IndexingPolicy::default().with_indexing_mode(IndexingMode::Consistent).with_excluded_path("/*");
    for (properties, retention, hints) in [
        (
            keyed("/tenant"),
            false,
            ["the partition key /tenant, and not /trace_id", "that does not exist yet"],
        ),
        (keyed("/trace_id"), true, ["removes nothing, as its time to live is off", "turn it on"]),
        (with(nothing()), false, ["does not index /trace_id/?", "add it to the included paths"]),
        (
            with(nothing().with_included_path("/trace_id/?").with_included_path("/place/*")),
            false,
            ["does not index /at/?", "add it to the included paths"],
        ),
        (
            with(IndexingPolicy::default().with_included_path("/*").with_excluded_path("/\"place\"/?")),
            false,
            ["does not index /place/?", "add it to the included paths"],
        ),
        (
            with(IndexingPolicy::default().with_indexing_mode(IndexingMode::None)),
            false,
            ["does not index /trace_id/?", "add it to the included paths"],
        ),
    ] {
        let error = refusal(properties, retention).await.expect("it is refused");
        let said = error.to_string();
        assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
        assert!(said.contains("`throughline`") && hints.iter().all(|hint| said.contains(hint)), "{said}");
    }
}

#[tokio::test]
async fn a_container_that_somebody_made_with_the_indexes_of_the_service_is_used() {
    let all_but_payload = IndexingPolicy::default()
        .with_included_path("/*")
        .with_excluded_path("/event/?")
        .with_excluded_path("/row/?");
    for properties in [keyed("/trace_id"), keyed("/trace_id").with_indexing_policy(all_but_payload)] {
        let refused = refusal(properties.clone(), false).await;
        assert!(refused.is_none(), "{refused:?}");
        let refused = refusal(properties.with_default_ttl(1_000_000), true).await;
        assert!(refused.is_none(), "{refused:?}");
    }
}

#[tokio::test]
async fn each_document_says_how_long_it_stays_and_the_secret_stays_for_ever() {
    let server = Server::start();
    let bodies = written(&server);
    let store = open(&server.store().retention_age(Duration::from_secs(3600))).await;
    let mut loan = run("loan");
    loan.root();
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap();
    store.claim(loan.trace_id()).await.unwrap();
    store.heartbeat().await.unwrap();
    let bodies = bodies.lock().unwrap();
    let batches =
        bodies.iter().filter_map(Value::as_array).flatten().filter_map(|one| one.get("resourceBody"));
    let documents = bodies.iter().chain(batches).filter(|body| body.get("kind").is_some());
    let mut seen: Vec<(&str, i64)> = documents
        .map(|document| (document["kind"].as_str().unwrap(), document["ttl"].as_i64().unwrap_or_default()))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [("claim", 3600), ("event", 3600), ("instance", 3600), ("run", 3600), ("store", -1)]);
}

#[tokio::test]
async fn a_call_as_large_as_the_store_allows_fits_into_a_batch_of_the_service() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let limits = store.limits();
    let mut loan = run("loan");
    loan.root();
    // What takes most room: each of these is escaped again in the document.
    let quotes = "\"".repeat(limits.bytes / limits.events / 2 - 220);
    for _ in 1..limits.events {
        loan.point("note");
        let quotes = quotes.clone();
        loan.edit(move |event| {
            event.data = Some(serde_json::Map::from_iter([("text".to_owned(), quotes.into())]));
        });
    }
    let events = loan.events();
    let bytes: usize = events.iter().map(|event| serde_json::to_vec(event).unwrap().len()).sum();
    assert!((limits.bytes * 3 / 4..limits.bytes).contains(&bytes), "{bytes} of {}", limits.bytes);
    let largest = Arc::new(Mutex::new((0, 0)));
    let seen = Arc::clone(&largest);
    server.judge(move |request| {
        if request.is_batch {
            let operations = serde_json::from_slice::<Vec<Value>>(request.body).unwrap().len();
            *seen.lock().unwrap() = (operations, request.body.len());
        }
        Fate::Answered
    });
    store.append(&shared(&events)).await.unwrap();
    let (operations, bytes) = *largest.lock().unwrap();
    assert!(operations == 100 && bytes <= 2 << 20, "{operations} operations of {bytes} bytes");
    assert_eq!(store.readers().reader.trace(loan.trace_id()).await.unwrap(), events);
}
