//! The service itself: a deployment with its probes, the volume of its store, and its address.

use serde_json::{Value, json};

use super::{HTTP, METRICS, labels, object};
use crate::settings::Settings;
use crate::{File, KitError};

const COMMENT: &str = "\
# A service that keeps its events in a file of SQLite, which one process writes: hence one replica, and no second one
# beside it during an update. For more, keep the events in Postgres (THROUGHLINE_STORE) and drop the volume.
#
# terminationGracePeriodSeconds is the sum of what an end takes at most: 5 s until nobody calls the service any more
# (preStop), 30 s for `shutdown`, which is given as much in the service, and 10 s to spare.
#
# HighMemoryUsage fires at 80 % of the limit of memory.
";

/// The user of distroless images, who is not root.
const USER: u32 = 65532;
const HTTP_PORT: u16 = 8080;
const METRICS_PORT: u16 = 9464;

const PRE_STOP_SECONDS: u32 = 5;
const SHUTDOWN_SECONDS: u32 = 30;
const SPARE_SECONDS: u32 = 10;

pub(super) fn file(settings: &Settings) -> Result<File, KitError> {
    let objects = [volume(settings), deployment(settings), service(settings)];
    super::file("deployment.yaml", COMMENT, &objects)
}

/// The name of the volume that the store is on.
fn data(settings: &Settings) -> String {
    format!("{}-data", settings.job)
}

fn volume(settings: &Settings) -> Value {
    let spec = json!({
        "accessModes": ["ReadWriteOncePod"],
        "resources": { "requests": { "storage": "10Gi" } },
    });
    object(settings, "v1", "PersistentVolumeClaim", &data(settings), &spec)
}

fn service(settings: &Settings) -> Value {
    let spec = json!({
        "selector": labels(settings),
        "ports": [
            { "name": HTTP, "port": 80, "targetPort": HTTP },
            { "name": METRICS, "port": METRICS_PORT, "targetPort": METRICS },
        ],
    });
    object(settings, "v1", "Service", &settings.job, &spec)
}

fn deployment(settings: &Settings) -> Value {
    let spec = json!({
        "replicas": 1,
        "strategy": { "type": "Recreate" },
        "selector": { "matchLabels": labels(settings) },
        "template": { "metadata": { "labels": labels(settings) }, "spec": pod(settings) },
    });
    object(settings, "apps/v1", "Deployment", &settings.job, &spec)
}

fn pod(settings: &Settings) -> Value {
    json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": PRE_STOP_SECONDS + SHUTDOWN_SECONDS + SPARE_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container(settings)],
        "volumes": [
            { "name": "data", "persistentVolumeClaim": { "claimName": data(settings) } },
            { "name": "tmp", "emptyDir": {} },
        ],
    })
}

fn container(settings: &Settings) -> Value {
    let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": HTTP },
            "periodSeconds": period,
            "failureThreshold": failures,
            // Above the time that a health check may take.
            "timeoutSeconds": 5,
        })
    };
    json!({
        "name": settings.job,
        "image": settings.image,
        "ports": [
            { "name": HTTP, "containerPort": HTTP_PORT },
            { "name": METRICS, "containerPort": METRICS_PORT },
        ],
        "env": [
            variable("OTEL_SERVICE_NAME", &settings.job),
            variable("THROUGHLINE_STORE", "sqlite:/data/traces.db"),
            variable("OTEL_EXPORTER_PROMETHEUS_HOST", "0.0.0.0"),
            variable("OTEL_EXPORTER_PROMETHEUS_PORT", &METRICS_PORT.to_string()),
        ],
        "startupProbe": probe("/health/startup", 2, 60),
        "livenessProbe": probe("/livez", 10, 3),
        "readinessProbe": probe("/readyz", 5, 2),
        "lifecycle": { "preStop": { "sleep": { "seconds": PRE_STOP_SECONDS } } },
        "resources": {
            "requests": { "cpu": "100m", "memory": "256Mi" },
            "limits": { "memory": "2560Mi" },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "volumeMounts": [
            { "name": "data", "mountPath": "/data" },
            { "name": "tmp", "mountPath": "/tmp" },
        ],
    })
}
