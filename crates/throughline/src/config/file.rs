//! The file of [declarative configuration](https://opentelemetry.io/docs/specs/otel/configuration/data-model/) that `OTEL_CONFIG_FILE`
//! names. Its keys stand for variables: what a value may be and what it does is that of the variable.

mod keys;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::settings::{CONFIG_FILE, ConfigProblem, Findings, shape};
use super::table::variables;

/// What the file says, by the names of variables.
type FileSettings = BTreeMap<&'static str, String>;

/// Reads the file. `variable` answers what a variable is set to that is named in it.
pub(super) fn read(
    path: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    findings: &mut Findings,
) -> FileSettings {
    let wrong = |expected: String| ConfigProblem {
        variable: CONFIG_FILE.to_owned(),
        shape: format!("={path}"),
        expected,
    };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            findings.problems.push(wrong(format!("the path of a file that can be read ({error})")));
            return FileSettings::new();
        }
    };
    let map = match serde_saphyr::from_str(&text) {
        Ok(Value::Object(map)) => map,
        Ok(_) => {
            findings.problems.push(wrong("a file with keys such as `file_format: \"1.0\"`".to_owned()));
            return FileSettings::new();
        }
        Err(error) => {
            // The first line says what and where; what follows shows the file, which may have secrets in it.
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            findings.problems.push(wrong(format!("a file in YAML ({first})")));
            return FileSettings::new();
        }
    };
    let mut reader = Reader { path, variable, findings, found: FileSettings::new() };
    keys::read(&mut reader, Section { at: String::new(), map });
    reader.found
}

/// A part of the file that has keys, and where it stands.
struct Section {
    at: String,
    map: Map<String, Value>,
}

impl Section {
    /// Where a key of it stands.
    fn place(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }
}

struct Reader<'r> {
    path: &'r str,
    variable: &'r dyn Fn(&str) -> Option<String>,
    findings: &'r mut Findings,
    found: FileSettings,
}

impl Reader<'_> {
    /// Takes a section out of another one. A key without a value is an empty section.
    fn section(&mut self, of: &mut Section, key: &str) -> Option<Section> {
        let at = of.place(key);
        match of.map.remove(key)? {
            Value::Object(map) => Some(Section { at, map }),
            Value::Null => Some(Section { at, map: Map::new() }),
            _ => {
                self.wrong(&at, String::new(), "keys below it");
                None
            }
        }
    }

    /// Takes the sections of a list out of another one.
    fn sections(&mut self, of: &mut Section, key: &str) -> Vec<Section> {
        let at = of.place(key);
        match of.map.remove(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => {
                let sections = items.into_iter().enumerate().filter_map(|(n, item)| {
                    let at = format!("{at}[{n}]");
                    match item {
                        Value::Object(map) => Some(Section { at, map }),
                        _ => {
                            self.wrong(&at, String::new(), "keys below it");
                            None
                        }
                    }
                });
                sections.collect()
            }
            Some(_) => {
                self.wrong(&at, String::new(), "a list");
                Vec::new()
            }
        }
    }

    /// Takes a value out of a section, with what its variables are set to. One that is empty counts as not set.
    fn value(&mut self, of: &mut Section, key: &str) -> Option<String> {
        let at = of.place(key);
        let text = match of.map.remove(key)? {
            Value::Null => return None,
            Value::String(text) => match substituted(&text, self.variable) {
                Some(text) => text,
                None => {
                    self.wrong(&at, String::new(), "${NAME} or ${NAME:-default}, with $$ for a dollar sign");
                    return None;
                }
            },
            Value::Bool(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                self.wrong(&at, String::new(), "a single value");
                return None;
            }
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Takes a value out of a section that is that of a variable.
    fn set(&mut self, name: &'static str, of: &mut Section, key: &str) {
        let at = of.place(key);
        if let Some(value) = self.value(of, key) {
            self.put(name, &at, value);
        }
    }

    /// What a variable is, by what stands at a place.
    fn put(&mut self, name: &'static str, at: &str, value: String) {
        let Some((_, variable)) = variables().find(|(_, variable)| variable.name == name) else { return };
        if variable.kind.accepts(&value) {
            self.found.insert(name, value);
        } else {
            self.wrong(at, shape(variable, &value), &variable.kind.expected());
        }
    }

    fn wrong(&mut self, at: &str, shape: String, expected: &str) {
        let variable = format!("{at} in {CONFIG_FILE}={}", self.path);
        // The place stands between the file and the value.
        let variable = if shape.is_empty() { variable } else { format!("{CONFIG_FILE}={}: {at}", self.path) };
        self.findings.problems.push(ConfigProblem { variable, shape, expected: expected.to_owned() });
    }

    fn warn(&mut self, at: &str, why: &str) {
        self.findings.warnings.push(format!("{at} in {CONFIG_FILE}={} {why}", self.path));
    }

    /// Warns of what is left of a section.
    fn end(&mut self, of: Section) {
        let left: Vec<_> = of.map.keys().map(|key| of.place(key)).collect();
        left.iter().for_each(|at| self.warn(at, "is not supported, and has no effect"));
    }
}

/// A text with what its variables are set to, by the
/// [rules](https://opentelemetry.io/docs/specs/otel/configuration/data-model/#environment-variable-substitution): `${NAME}`,
/// `${env:NAME}`, `${NAME:-default}`, and `$$` for a dollar sign. `None` if a reference is malformed.
fn substituted(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(reference) = after.strip_prefix('{') {
            let (reference, after) = reference.split_once('}')?;
            let (name, default) = reference.split_once(":-").unwrap_or((reference, ""));
            let name = name.strip_prefix("env:").unwrap_or(name);
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let set = is_name.then(|| variable(name))?;
            out.push_str(set.as_deref().filter(|set| !set.is_empty()).unwrap_or(default));
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests;
