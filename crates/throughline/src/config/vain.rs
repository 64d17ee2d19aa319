//! What is set and has no effect: in this version, or in a build without the feature that it needs.

use std::collections::BTreeMap;

use throughline_core::env::{has_exporter, otlp};

use super::settings::Settings;
use super::table::needs;
use super::{logs, metrics, sentry, traces};

/// Exporters that this version does not have, and what it has.
const EXPORTERS: [(&str, &str, &str); 3] = [
    (otlp::TRACES.exporter, "console", "is not supported: traces are exported only where it names otlp"),
    (otlp::LOGS.exporter, "console", "is not supported: THROUGHLINE_LOG_OUTPUT says where lines go"),
    (otlp::METRICS.exporter, "console", "is not supported: name prometheus or otlp"),
];

/// What this version does not do.
pub(super) fn in_this_version(settings: &Settings) -> Vec<String> {
    if settings.is_disabled() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let disabled = settings.shown().find(|(name, ..)| *name == "OTEL_SDK_DISABLED");
    if let Some((name, _, shape)) = disabled.filter(|(.., shape)| !shape.eq_ignore_ascii_case("=false")) {
        warnings.push(format!("{name}{shape} turns nothing off: by the standard, only true does"));
    }
    for (name, exporter, why) in EXPORTERS {
        let value = settings.get(name).unwrap_or_default();
        if has_exporter(value, exporter) {
            warnings.push(format!("{exporter} in {name}={value} {why}"));
        }
    }
    warnings
}

/// What needs features that are off: a warning for each such set of features. What somebody turned off needs none.
pub(super) fn without_features(settings: &Settings, is_on: impl Fn(&str) -> bool) -> Vec<String> {
    if settings.is_disabled() {
        return Vec::new();
    }
    let mut vain: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for (area, variable, needs) in needs() {
        let Some(by) = settings.set_by(variable.name).filter(|_| !is_turned_off(area, settings)) else {
            continue;
        };
        let missing: Vec<_> = needs.iter().copied().filter(|feature| !is_on(feature)).collect();
        if !missing.is_empty() {
            vain.entry(missing).or_default().push(by);
        }
    }
    vain.into_iter().map(|(missing, set)| said(&missing, &set)).collect()
}

fn said(missing: &[&str], set: &[&str]) -> String {
    let names: Vec<_> = missing.iter().map(|feature| format!("`{feature}`")).collect();
    let (features, them) = match missing {
        [_] => ("feature", "it"),
        _ => ("features", "them"),
    };
    let (have, variables) = match set {
        [_] => ("has", "the variable"),
        _ => ("have", "the variables"),
    };
    format!(
        "{} {have} no effect without the {features} {} of `throughline`: switch {them} on, or unset {variables}",
        set.join(", "),
        names.join(" and "),
    )
}

fn is_turned_off(area: &str, settings: &Settings) -> bool {
    match area {
        "Metrics" => metrics::is_turned_off(settings),
        "Logs" => logs::is_turned_off(settings),
        "Traces" => traces::is_turned_off(settings),
        "Sentry" => sentry::is_turned_off(settings),
        _ => false,
    }
}

/// The features that variables need, and whether they are on.
const COMPILED: [(&str, bool); 10] = [
    ("axum", cfg!(feature = "axum")),
    ("config-file", cfg!(feature = "config-file")),
    ("cosmos", cfg!(feature = "cosmos")),
    ("log", cfg!(feature = "log")),
    ("metrics", cfg!(feature = "metrics")),
    ("otel", cfg!(feature = "otel")),
    ("otel-tls", cfg!(feature = "otel-tls")),
    ("redis", cfg!(feature = "redis")),
    ("sentry", cfg!(feature = "sentry")),
    ("sqlite", cfg!(feature = "sqlite")),
];

/// Whether a feature of this crate is on.
pub(super) fn is_compiled(feature: &str) -> bool {
    COMPILED.contains(&(feature, true))
}
