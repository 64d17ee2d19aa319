//! A line as one JSON object: `docs/log.schema.json` describes it.

use std::io::Write as _;

use serde_json::{Map, Value};

use crate::line::{Id, Line, level_name};

/// Appends the line, with a line break at its end. `service` is that of the process.
pub(crate) fn write(line: &Line<'_>, service: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ =
        write!(out, "{{\"timestamp\":\"{}\",\"level\":\"{}\",\"message\":", line.at, level_name(line.level));
    text(line.message, out);
    out.extend_from_slice(b",\"service\":");
    text(service, out);
    out.extend_from_slice(b",\"target\":");
    text(line.target, out);
    for (name, id) in line.ids.known() {
        field(name, out);
        let _ = match id {
            Id::Trace(id) => write!(out, "\"{id}\""),
            Id::Span(id) => write!(out, "\"{id}\""),
            Id::Text(id) => {
                text(id, out);
                Ok(())
            }
        };
    }
    if let Some(error) = line.error {
        out.extend_from_slice(b",\"error\":");
        json(error, out);
    }
    if !line.metadata.is_empty() {
        out.extend_from_slice(b",\"metadata\":");
        json(line.metadata, out);
    }
    if !line.spans.is_empty() {
        out.extend_from_slice(b",\"spans\":");
        spans(line.spans, out);
    }
    out.extend_from_slice(b"}\n");
}

fn spans(spans: &[(&str, &Map<String, Value>)], out: &mut Vec<u8>) {
    for (at, (name, fields)) in spans.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"[{\"name\":" } else { b",{\"name\":" });
        text(name, out);
        if !fields.is_empty() {
            out.extend_from_slice(b",\"fields\":");
            json(fields, out);
        }
        out.push(b'}');
    }
    out.push(b']');
}

fn field(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(text: &str, out: &mut Vec<u8>) {
    json(text, out);
}

fn json(value: &(impl serde::Serialize + ?Sized), out: &mut Vec<u8>) {
    // Neither text nor values of JSON fail to be written to memory.
    let _ = serde_json::to_writer(out, value);
}
