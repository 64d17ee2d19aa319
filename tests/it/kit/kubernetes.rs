//! What the kit writes for Kubernetes is what its schemas allow, says what the other files say, and fits the service.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Map, Value, json};
use throughline::health::{Check, Health};
use throughline::metrics::Profile;
use throughline::{MemoryStore, Throughline};
use throughline_kit::{Kit, Objectives};
use tower::ServiceExt as _;

use super::{lost, python_with};

fn kit() -> Kit {
    Kit::new(Profile::standard()).job("loan-service").namespace("loans").image("loans:1.2")
}

/// The objects of one file.
fn objects(kit: &Kit, name: &str) -> Vec<Value> {
    let files = kit.kubernetes().unwrap();
    let file = files.iter().find(|file| file.name == name).expect(name);
    serde_saphyr::from_multiple(&file.contents).unwrap()
}

/// The object of a kind.
fn object(kit: &Kit, kind: &str) -> Value {
    let all = ["monitoring.yaml", "deployment.yaml"].map(|name| objects(kit, name)).concat();
    all.into_iter().find(|object| object["kind"] == kind).expect(kind)
}

/// The container of the deployment.
fn container() -> Value {
    object(&kit(), "Deployment")["spec"]["template"]["spec"]["containers"][0].clone()
}

#[test]
fn the_objects_have_the_same_rules_and_find_the_service() {
    let kit = kit();
    let mut rules: Value = serde_saphyr::from_str(&kit.alerts().unwrap().contents).unwrap();
    for group in rules["groups"].as_array_mut().unwrap() {
        for rule in group["rules"].as_array_mut().unwrap() {
            // The operator hands an alert only to the receivers of its namespace.
            rule["labels"]["namespace"] = json!("loans");
        }
    }
    assert_eq!(object(&kit, "PrometheusRule")["spec"], rules);
    let objectives = Objectives::parse(
        "[[slo]]\nname = \"answered\"\nroute = \"/loans\"\nindicator = \"availability\"\ntarget = 0.999\n",
    )
    .unwrap();
    let mut rules: Value = serde_saphyr::from_str(&kit.slo_rules(&objectives).unwrap().contents).unwrap();
    for rule in rules["groups"][0]["rules"].as_array_mut().unwrap() {
        if rule.get("alert").is_some() {
            rule["labels"]["namespace"] = json!("loans");
        }
    }
    let file = kit.kubernetes_slo_rules(&objectives).unwrap();
    let of_objectives: Value = serde_saphyr::from_str(&file.contents).unwrap();
    assert_eq!((&of_objectives["kind"], &of_objectives["spec"]), (&json!("PrometheusRule"), &rules));
    assert_eq!(of_objectives["metadata"]["name"], "loan-service-slo", "it replaces no other rules");
    let found_by = json!({ "app.kubernetes.io/name": "loan-service" });
    for name in ["monitoring.yaml", "deployment.yaml"] {
        for object in objects(&kit, name) {
            let metadata = &object["metadata"];
            assert_eq!((&metadata["labels"], &metadata["namespace"]), (&found_by, &json!("loans")));
        }
    }
    let spec = object(&kit, "ServiceMonitor")["spec"].clone();
    assert_eq!(spec["selector"]["matchLabels"], found_by);
    assert_eq!(object(&kit, "Service")["spec"]["selector"], found_by);
    assert_eq!(object(&kit, "Deployment")["spec"]["selector"]["matchLabels"], found_by);
    assert_eq!(object(&kit, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"], found_by);
}

#[test]
fn a_name_that_kubernetes_does_not_allow_is_refused_before_anything_is_written() {
    let long = "l".repeat(64);
    for name in ["Loans", "-loans", "loans-", "loans/eu", "", &long] {
        let refused = [kit().job(name), kit().namespace(name), kit().monitoring(name)];
        for kit in refused {
            let said = kit.kubernetes().unwrap_err().to_string();
            assert!(said.contains("`{name}`".replace("{name}", name).as_str()) || name.is_empty(), "{said}");
        }
    }
    let said = kit().image("loans 1.2").kubernetes().unwrap_err().to_string();
    insta::assert_snapshot!(said, @"`loans 1.2` is not the name of an image: use one such as registry.example.org/loan-service:1.2");
}

/// What the schemas of Kubernetes do not allow in an object; they know no kind of an operator.
fn validated(python: &Path, object: &Value) -> Result<(), String> {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(object.to_string().as_bytes()).unwrap();
    let command = python.with_file_name("kubernetes-validate");
    let said = Command::new(command)
        .args(["--strict", "-k", "1.33"])
        .arg(file.path())
        .output()
        .expect("kubernetes-validate runs: `cargo xtask test` installs it");
    let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    if said.status.success() { Ok(()) } else { Err(text) }
}

#[test]
fn the_schemas_of_kubernetes_allow_every_object_of_its_own_kinds() {
    let Some(python) = python_with("kubernetes_validate") else { return };
    let mut checked = BTreeSet::new();
    for object in ["monitoring.yaml", "deployment.yaml"].map(|name| objects(&kit(), name)).concat() {
        let version = object["apiVersion"].as_str().unwrap();
        if !version.starts_with("monitoring.coreos.com/") {
            assert_eq!(validated(&python, &object), Ok(()), "{object:#}");
            checked.insert(object["kind"].as_str().unwrap().to_owned());
        }
    }
    let expected = ["Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Service"];
    assert_eq!(checked, expected.map(str::to_owned).into());
    let mut wrong = object(&kit(), "Deployment");
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = json!(45);
    let said = validated(&python, &wrong).unwrap_err();
    assert!(said.contains("terminationGracePeriod"), "{said}");
}

#[test]
fn the_operator_knows_every_field_of_every_object_of_its_kinds() {
    let Some(python) = python_with("cloudcoil") else { return };
    let objectives = Objectives::parse(
        "[[slo]]\nname = \"answered\"\nroute = \"/loans\"\nindicator = \"availability\"\ntarget = 0.999\n",
    )
    .unwrap();
    let mut all: Vec<_> = [kit(), kit().webhook("http://localhost:9000")]
        .iter()
        .flat_map(|kit| objects(kit, "monitoring.yaml"))
        .filter(|object| object["apiVersion"].as_str().unwrap().starts_with("monitoring.coreos.com/"))
        .collect();
    all.push(serde_saphyr::from_str(&kit().kubernetes_slo_rules(&objectives).unwrap().contents).unwrap());
    let kinds: Vec<_> = all.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    let of_a_file = ["PrometheusRule", "ServiceMonitor", "AlertmanagerConfig"];
    assert_eq!(kinds, [&of_a_file[..], &of_a_file, &of_a_file[..1]].concat());

    // Mistakes are seen: in each kind, in a route within a route, which the definition of the kind leaves open, and in the kind itself.
    let wrong = |kind: &str, name: &str| {
        let mut wrong = object(&kit(), kind);
        wrong["metadata"]["name"] = json!(name);
        wrong
    };
    let [mut rules, mut monitor, mut receivers] = of_a_file.map(|kind| wrong(kind, "misspelt"));
    rules["spec"]["groups"][0]["rules"][0]["annotation"] = json!({});
    monitor["spec"]["endpoints"][0]["intervall"] = json!("15s");
    receivers["spec"]["receivers"][0]["pagerdutyConfigs"][0]["routing_key"] = json!("secret");
    receivers["spec"]["route"]["routes"][0]["groupby"] = json!(["job"]);
    receivers["spec"]["route"]["routes"][0]["continue"] = json!("true");
    let mut incomplete = wrong("ServiceMonitor", "incomplete");
    incomplete["spec"].as_object_mut().unwrap().remove("selector");
    let mut other = wrong("ServiceMonitor", "other");
    other["kind"] = json!("ServiceMonitors");
    all.extend([rules, monitor, receivers, incomplete, other]);
    let found = lost(&python, include_str!("operator_kinds.py"), &json!(all).to_string());
    insta::assert_snapshot!(found, @"
    PrometheusRule misspelt.spec.groups[0].rules[0].annotation
    ServiceMonitor misspelt.spec.endpoints[0].intervall
    AlertmanagerConfig misspelt.spec.receivers[0].pagerdutyConfigs[0].routing_key
    AlertmanagerConfig misspelt: oncall-primary.continue: 'true' became True
    AlertmanagerConfig misspelt: oncall-primary.groupby
    ServiceMonitor incomplete.spec.selector: Field required
    ServiceMonitors other: no such kind
    ");
}

/// What the operator makes of its object: a configuration of Alertmanager, with secrets in files.
fn as_configuration(value: &Value) -> Value {
    match value {
        Value::Array(all) => all.iter().map(as_configuration).collect(),
        Value::Object(object) => match object.get("matchType") {
            Some(kind) => {
                let text = |field: &str| object[field].as_str().unwrap();
                json!(format!("{}{}\"{}\"", text("name"), kind.as_str().unwrap(), text("value")))
            }
            None => {
                Value::Object(object.iter().map(|(name, value)| field(name, value)).collect::<Map<_, _>>())
            }
        },
        other => other.clone(),
    }
}

fn field(name: &str, value: &Value) -> (String, Value) {
    let in_file = || {
        assert_eq!(value["name"], "loan-service-alerting", "one secret has all keys");
        json!(format!("secrets/{}", value["key"].as_str().unwrap()))
    };
    match name {
        "apiURL" => ("api_url_file".to_owned(), in_file()),
        "routingKey" => ("routing_key_file".to_owned(), in_file()),
        "muteTimeIntervals" => ("time_intervals".to_owned(), as_configuration(value)),
        "details" => {
            let all = value.as_array().unwrap().iter();
            let pairs = all.map(|one| (one["key"].as_str().unwrap().to_owned(), one["value"].clone()));
            ("details".to_owned(), Value::Object(pairs.collect()))
        }
        "sourceMatch" | "targetMatch" => (name.replace("Match", "_matchers"), as_configuration(value)),
        _ => {
            let snake = name.chars().fold(String::new(), |mut snake, letter| {
                if letter.is_ascii_uppercase() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
                snake
            });
            (snake, as_configuration(value))
        }
    }
}

#[test]
fn who_is_told_on_kubernetes_is_who_is_told_elsewhere() {
    for kit in [kit(), kit().webhook("http://localhost:9000").faster(60)] {
        let elsewhere: Value = serde_saphyr::from_str(&kit.routing().unwrap().contents).unwrap();
        assert_eq!(as_configuration(&object(&kit, "AlertmanagerConfig")["spec"]), elsewhere);
    }
}

#[test]
fn only_prometheus_may_read_the_metrics() {
    let kit = kit().monitoring("watch");
    let spec = &object(&kit, "NetworkPolicy")["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress"]), "what is not listed is closed");
    for rule in spec["ingress"].as_array().unwrap() {
        for port in rule["ports"].as_array().unwrap() {
            if port["port"] == "http" {
                assert!(rule.get("from").is_none(), "everybody may call the service");
            } else {
                assert_eq!(port["port"], "metrics");
                let prometheus = json!([{
                    "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "watch" } },
                    "podSelector": { "matchLabels": { "app.kubernetes.io/name": "prometheus" } },
                }]);
                assert_eq!(rule["from"], prometheus);
            }
        }
    }
    // The names of ports lead from the address and what is scraped to the container.
    let ports = container()["ports"].as_array().unwrap().clone();
    let names: BTreeSet<_> = ports.iter().map(|port| port["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["http", "metrics"].map(str::to_owned).into());
    for port in object(&kit, "Service")["spec"]["ports"].as_array().unwrap() {
        assert!(names.contains(port["targetPort"].as_str().unwrap()), "{port}");
    }
    assert_eq!(object(&kit, "ServiceMonitor")["spec"]["endpoints"][0]["port"], "metrics");
}

#[tokio::test]
async fn the_probes_of_the_deployment_are_answered_by_a_service() {
    let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build().unwrap();
    let health = Health::builder(&throughline).check(Check::store()).build().unwrap();
    let app: Router = health.add_to(Router::new());
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let probe = container()[probe].clone();
        let path = probe["httpGet"]["path"].as_str().unwrap();
        let answer = app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(probe["httpGet"]["port"], "http");
    }
}

#[test]
fn the_deployment_says_only_what_a_service_reads_and_needs_no_rights() {
    let container = container();
    let table = include_str!("../../../docs/configuration.md");
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(table.contains(&format!("`{name}`")), "no service reads {name}");
    }
    let may = &container["securityContext"];
    let nothing = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    });
    assert_eq!(*may, nothing);
    let pod = &object(&kit(), "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    // The store is on the volume, for nothing else outlives the pod.
    let store = container["env"].as_array().unwrap().iter().find(|one| one["name"] == "THROUGHLINE_STORE");
    let mount = container["volumeMounts"].as_array().unwrap().iter().find(|one| one["name"] == "data");
    let (path, folder) = (&store.unwrap()["value"], mount.unwrap()["mountPath"].as_str().unwrap());
    assert!(path.as_str().unwrap().starts_with(&format!("sqlite:{folder}/")), "{path}");
    assert_eq!(
        pod["volumes"][0]["persistentVolumeClaim"]["claimName"],
        object(&kit(), "PersistentVolumeClaim")["metadata"]["name"]
    );
    // Longer than what comes before the service is told to end, and what it may take then.
    let before = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= before + 30, "{pod}");
}
