//! A machine as a [Mermaid state diagram](https://mermaid.js.org/syntax/stateDiagram.html).

use std::borrow::Cow;
use std::fmt;

use super::declaration::Declaration;

/// Words that Mermaid does not take for the name of a state, and those that it gives to the beginning and the end.
const RESERVED: [&str; 12] = [
    "class",
    "classdef",
    "click",
    "default",
    "end",
    "href",
    "note",
    "root_end",
    "root_start",
    "scale",
    "state",
    "style",
];

pub(super) fn write<S>(declared: &Declaration<S>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let id = |place: usize| {
        let name = declared.states[place].name.as_str();
        if is_id(name) { Cow::Borrowed(name) } else { Cow::Owned(format!("s{place}_")) }
    };
    writeln!(f, "stateDiagram-v2")?;
    for (place, state) in declared.states.iter().enumerate() {
        if !is_id(&state.name) {
            writeln!(f, "    state \"{}\" as {}", label(&state.name), id(place))?;
        }
    }
    writeln!(f, "    [*] --> {}", id(0))?;
    for edge in &declared.edges {
        write!(f, "    {} --> {}", id(edge.from), id(edge.to))?;
        match &edge.trigger {
            Some(trigger) => writeln!(f, " : {}", label(trigger))?,
            None => writeln!(f)?,
        }
    }
    for place in 0..declared.states.len() {
        if declared.from(place).next().is_none() {
            writeln!(f, "    {} --> [*]", id(place))?;
        }
    }
    Ok(())
}

fn is_id(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.ends_with('_')
        && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}

/// A text on one line, in which nothing has a meaning to Mermaid: what might is written as an
/// [entity code](https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters).
fn label(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | ',' | '/' | '(' | ')') => {
                label.push(c);
            }
            c if c.is_control() => label.push(' '),
            c => label.push_str(&format!("#{};", u32::from(c))),
        }
    }
    label
}
