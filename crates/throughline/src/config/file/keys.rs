//! The keys of the file, and the variables that they stand for.

use throughline_core::env::otlp::{self, Batches, LOG_RECORDS, LOGS, METRICS, SPANS, Signal, TRACES};

use super::{Reader, Section};

/// The keys of a batch processor, and the variables that they stand for.
fn batch(variables: &Batches) -> [(&'static str, &'static str); 4] {
    [
        ("schedule_delay", variables.schedule_delay),
        ("export_timeout", variables.export_timeout),
        ("max_queue_size", variables.max_queue_size),
        ("max_export_batch_size", variables.max_export_batch_size),
    ]
}

pub(super) fn read(reader: &mut Reader<'_>, mut file: Section) {
    let format = reader.value(&mut file, "file_format").unwrap_or_default();
    if !format.starts_with("1.") {
        reader.wrong("file_format", format!("={format}"), "\"1.0\", the version of the format that is read");
    }
    reader.set("OTEL_SDK_DISABLED", &mut file, "disabled");
    if let Some(limits) = reader.section(&mut file, "attribute_limits") {
        value_limit(reader, limits);
    }
    if let Some(resource) = reader.section(&mut file, "resource") {
        self::resource(reader, resource);
    }
    if let Some(propagator) = reader.section(&mut file, "propagator") {
        self::propagator(reader, propagator);
    }
    match reader.section(&mut file, "tracer_provider") {
        Some(provider) => tracer_provider(reader, provider),
        None => reader.put(TRACES.exporter, "tracer_provider", "none".to_owned()),
    }
    match reader.section(&mut file, "meter_provider") {
        Some(provider) => meter_provider(reader, provider),
        None => reader.put(METRICS.exporter, "meter_provider", "none".to_owned()),
    }
    match reader.section(&mut file, "logger_provider") {
        Some(mut provider) => {
            processors(reader, &mut provider, &LOGS, &LOG_RECORDS);
            reader.end(provider);
        }
        None => reader.put(LOGS.exporter, "logger_provider", "none".to_owned()),
    }
    reader.end(file);
}

fn value_limit(reader: &mut Reader<'_>, mut limits: Section) {
    reader.set("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", &mut limits, "attribute_value_length_limit");
    reader.end(limits);
}

/// What stands one by one wins over what stands in the list.
fn resource(reader: &mut Reader<'_>, mut resource: Section) {
    let at = resource.place("attributes");
    let mut pairs: Vec<String> = reader.value(&mut resource, "attributes_list").into_iter().collect();
    for mut attribute in reader.sections(&mut resource, "attributes") {
        let (name, value) = (reader.value(&mut attribute, "name"), reader.value(&mut attribute, "value"));
        attribute.map.remove("type");
        match name {
            Some(name) if name == "service.name" => {
                if let Some(value) = value {
                    reader.put("OTEL_SERVICE_NAME", &at, value);
                }
            }
            Some(name) => pairs.extend(value.map(|value| format!("{name}={}", encoded(&value)))),
            None => reader.wrong(&attribute.at, String::new(), "a name and a value"),
        }
        reader.end(attribute);
    }
    if !pairs.is_empty() {
        reader.put("OTEL_RESOURCE_ATTRIBUTES", &at, pairs.join(","));
    }
    reader.end(resource);
}

/// A value as a list of pairs has it.
fn encoded(value: &str) -> String {
    let special = |c: char| matches!(c, '%' | ',' | ';' | '=') || c.is_whitespace();
    let letter = |c: char| {
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).bytes();
        if special(c) { bytes.map(|byte| format!("%{byte:02X}")).collect() } else { c.to_string() }
    };
    value.chars().map(letter).collect()
}

fn propagator(reader: &mut Reader<'_>, mut propagator: Section) {
    let at = propagator.place("composite");
    let mut names: Vec<_> = reader
        .sections(&mut propagator, "composite")
        .into_iter()
        .flat_map(|one| one.map.into_iter().map(|(name, _)| name))
        .collect();
    if let Some(list) = reader.value(&mut propagator, "composite_list") {
        for name in list.split(',').map(|name| name.trim().to_owned()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    if !names.is_empty() {
        reader.put("OTEL_PROPAGATORS", &at, names.join(","));
    }
    reader.end(propagator);
}

fn tracer_provider(reader: &mut Reader<'_>, mut provider: Section) {
    processors(reader, &mut provider, &TRACES, &SPANS);
    if let Some(limits) = reader.section(&mut provider, "limits") {
        value_limit(reader, limits);
    }
    if let Some(mut sampler) = reader.section(&mut provider, "sampler") {
        let at = sampler.at.clone();
        let name = match reader.section(&mut sampler, "parent_based") {
            Some(mut parent_based) => {
                let root = reader.section(&mut parent_based, "root");
                reader.end(parent_based);
                // What begins here is sampled, if nothing is said.
                let of_root = root.map_or(Some("always_on"), |root| self::sampler(reader, root));
                of_root.map(|name| format!("parentbased_{name}"))
            }
            None => self::sampler(reader, sampler).map(str::to_owned),
        };
        if let Some(name) = name {
            reader.put("OTEL_TRACES_SAMPLER", &at, name);
        }
    }
    reader.end(provider);
}

fn sampler(reader: &mut Reader<'_>, mut sampler: Section) -> Option<&'static str> {
    let mut name = None;
    for (key, known) in [("always_on", "always_on"), ("always_off", "always_off")] {
        if let Some(rest) = reader.section(&mut sampler, key) {
            name = Some(known);
            reader.end(rest);
        }
    }
    if let Some(mut by_ratio) = reader.section(&mut sampler, "trace_id_ratio_based") {
        name = Some("traceidratio");
        reader.set("OTEL_TRACES_SAMPLER_ARG", &mut by_ratio, "ratio");
        reader.end(by_ratio);
    }
    reader.end(sampler);
    name
}

fn processors(reader: &mut Reader<'_>, provider: &mut Section, signal: &Signal, batches: &Batches) {
    let at = provider.place("processors");
    let mut exporters = Vec::new();
    for mut processor in reader.sections(provider, "processors") {
        for kind in ["batch", "simple"] {
            let Some(mut settings) = reader.section(&mut processor, kind) else { continue };
            for (key, variable) in batch(batches) {
                reader.set(variable, &mut settings, key);
            }
            if let Some(exporter) = reader.section(&mut settings, "exporter") {
                self::exporter(reader, exporter, signal, &mut exporters);
            }
            reader.end(settings);
        }
        reader.end(processor);
    }
    put_exporters(reader, signal, &at, &exporters);
}

fn meter_provider(reader: &mut Reader<'_>, mut provider: Section) {
    let at = provider.place("readers");
    let mut exporters = Vec::new();
    for mut one in reader.sections(&mut provider, "readers") {
        if let Some(mut periodic) = reader.section(&mut one, "periodic") {
            reader.set("OTEL_METRIC_EXPORT_INTERVAL", &mut periodic, "interval");
            if let Some(exporter) = reader.section(&mut periodic, "exporter") {
                self::exporter(reader, exporter, &METRICS, &mut exporters);
            }
            reader.end(periodic);
        }
        if let Some(mut pull) = reader.section(&mut one, "pull") {
            if let Some(mut exporter) = reader.section(&mut pull, "exporter") {
                for key in ["prometheus", "prometheus/development"] {
                    let Some(mut page) = reader.section(&mut exporter, key) else { continue };
                    exporters.push("prometheus");
                    reader.set("OTEL_EXPORTER_PROMETHEUS_HOST", &mut page, "host");
                    reader.set("OTEL_EXPORTER_PROMETHEUS_PORT", &mut page, "port");
                    reader.end(page);
                }
                reader.end(exporter);
            }
            reader.end(pull);
        }
        reader.end(one);
    }
    put_exporters(reader, &METRICS, &at, &exporters);
    reader.end(provider);
}

fn put_exporters(reader: &mut Reader<'_>, signal: &Signal, at: &str, exporters: &[&'static str]) {
    let list = if exporters.is_empty() { "none".to_owned() } else { exporters.join(",") };
    reader.put(signal.exporter, at, list);
}

/// One destination of a signal; there is room for one collector.
fn exporter(
    reader: &mut Reader<'_>,
    mut exporter: Section,
    signal: &Signal,
    exporters: &mut Vec<&'static str>,
) {
    if let Some(rest) = reader.section(&mut exporter, "console") {
        exporters.push("console");
        reader.end(rest);
    }
    for (key, protocol) in [("otlp_http", "http/protobuf"), ("otlp_grpc", "grpc")] {
        let Some(mut collector) = reader.section(&mut exporter, key) else { continue };
        if exporters.contains(&"otlp") {
            reader.warn(
                &collector.at,
                "has no effect: a signal has one collector, and another one stands before it",
            );
            continue;
        }
        exporters.push("otlp");
        let at = collector.at.clone();
        reader.put(signal.collector.protocol, &at, protocol.to_owned());
        let base = otlp::default_endpoint(protocol);
        let default = || match protocol {
            "grpc" => base.to_owned(),
            _ => format!("{base}/{}", signal.path),
        };
        let endpoint = reader.value(&mut collector, "endpoint").unwrap_or_else(default);
        reader.put(signal.collector.endpoint, &collector.place("endpoint"), endpoint);
        let mut headers: Vec<String> = reader.value(&mut collector, "headers_list").into_iter().collect();
        for mut header in reader.sections(&mut collector, "headers") {
            let (name, value) = (reader.value(&mut header, "name"), reader.value(&mut header, "value"));
            headers.extend(name.zip(value).map(|(name, value)| format!("{name}={}", encoded(&value))));
            reader.end(header);
        }
        if !headers.is_empty() {
            reader.put(signal.collector.headers, &collector.place("headers"), headers.join(","));
        }
        reader.set(signal.collector.compression, &mut collector, "compression");
        reader.set(signal.collector.timeout, &mut collector, "timeout");
        if let Some(mut tls) = reader.section(&mut collector, "tls") {
            reader.set(signal.collector.certificate, &mut tls, "ca_file");
            reader.end(tls);
        }
        if let Some(encoding) = reader.value(&mut collector, "encoding").filter(|it| it != "protobuf") {
            reader.wrong(&collector.place("encoding"), format!("={encoding}"), "protobuf");
        }
        reader.end(collector);
    }
    reader.end(exporter);
}
