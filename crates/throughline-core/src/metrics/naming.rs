//! Under which names a metric's series are kept.

use std::borrow::Cow;

use ::metrics::Key;

use super::catalogue::{Alias, Description, Kind};
use super::{Measured, Profile};

/// Announces the names that depend on no label's value, so that they are explained before anything is measured.
pub(super) fn describe(measured: &Measured, description: &Description) {
    for (kind, name) in measured.metrics.profile.names_of(description) {
        measured.describe(&name, kind, description);
    }
}

impl Profile {
    /// The names under which a metric is kept, and what kind each is, but for those names that depend on the values of
    /// labels.
    pub fn names_of(&self, description: &Description) -> Vec<(Kind, String)> {
        let mut names = Vec::new();
        if self.keeps_name_of(description) {
            names.push((description.kind, description.name.to_owned()));
        }
        if let Some(prefix) = self.alias_prefix() {
            let aliases = description.aliases.iter();
            let aliases = aliases.map(|alias| (alias.kind, name_of(alias, prefix, |_| None)));
            names.extend(aliases.filter(|(_, name)| !name.contains('{')));
        }
        names
    }
}

/// The keys of one series, and what kind each is. `values` are those of the metric's labels.
pub(super) fn keys(measured: &Measured, description: &Description, values: &[&str]) -> Vec<(Kind, Key)> {
    let profile = &measured.metrics.profile;
    let labels = || description.labels.iter().copied().zip(values.iter().copied());
    let value_of = |label: &str| labels().find(|(name, _)| *name == label).map_or("", |(_, value)| value);
    let mut keys = Vec::new();
    if profile.keeps_name_of(description) {
        let labels = labels().map(|(name, value)| (name, value.to_owned()));
        keys.push((description.kind, Measured::key(description.name.to_owned(), labels)));
    }
    let Some(prefix) = profile.alias_prefix() else { return keys };
    for alias in description.aliases {
        if alias.only.is_some_and(|only| !(only.belongs)(value_of(only.label))) {
            continue;
        }
        let name = name_of(alias, prefix, |label| Some(value_of(label)));
        if alias.name.matches('{').count() > 1 {
            measured.describe(&name, alias.kind, description);
        }
        let labels =
            alias.labels.iter().map(|label| (label.name, (label.map)(value_of(label.of)).to_owned()));
        let key = (alias.kind, Measured::key(name, labels));
        // With the prefix `throughline` some aliases are the names of today.
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// An alias with what stands in braces filled in, as far as it is known.
fn name_of<'a>(alias: &Alias, prefix: &str, value_of: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut name = String::new();
    let mut rest = alias.name;
    while let Some((before, inside)) = rest.split_once('{') {
        let Some((placeholder, after)) = inside.split_once('}') else { break };
        name.push_str(before);
        rest = after;
        match placeholder {
            "prefix" if prefix.is_empty() => rest = after.trim_start_matches('_'),
            "prefix" => name.push_str(prefix),
            label => match value_of(label) {
                Some(value) => name.push_str(&sound(value)),
                None => name.extend(["{", label, "}"]),
            },
        }
    }
    name.push_str(rest);
    name
}

/// A label's value as a part of a name.
fn sound(value: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if value.chars().all(fits) {
        return value.into();
    }
    value.chars().map(|c| if fits(c) { c } else { '_' }).collect::<String>().into()
}
