//! A line as people read it in a terminal.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use tracing::Level;

use crate::line::{Id, Line, level_name};

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";

/// Appends the line, with a line break at its end.
pub(crate) fn write(line: &Line<'_>, colour: bool, out: &mut Vec<u8>) {
    let paint = |style: &'static str| if colour { (style, RESET) } else { ("", "") };
    let (dim, dim_end) = paint(DIM);
    let (level, level_end) = paint(match line.level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    });
    let mut text = String::with_capacity(256);
    // Writing to memory does not fail.
    let name = level_name(line.level);
    let _ = write!(text, "{dim}{}{dim_end} {level}{name:>5}{level_end} {dim}", line.at);
    escape(line.target, &mut text);
    let _ = write!(text, ":{dim_end} ");
    escape(line.message, &mut text);
    fields(line.metadata, &mut text);
    if let Some(error) = line.error {
        text.push_str(" error=");
        escape(&error.message, &mut text);
        for source in &error.chain {
            text.push_str(": ");
            escape(source, &mut text);
        }
    }
    for (name, of_span) in line.spans {
        text.push_str(" in ");
        escape(name, &mut text);
        fields(of_span, &mut text);
    }
    text.push_str(dim);
    for (name, id) in line.ids.known() {
        let _ = write!(text, " {name}=");
        let _ = match id {
            Id::Trace(id) => write!(text, "{id}"),
            Id::Span(id) => write!(text, "{id}"),
            Id::Text(id) => {
                escape(id, &mut text);
                Ok(())
            }
        };
    }
    let _ = writeln!(text, "{dim_end}");
    out.extend_from_slice(text.as_bytes());
}

fn fields(fields: &Map<String, Value>, text: &mut String) {
    for (name, value) in fields {
        text.push(' ');
        escape(name, text);
        text.push('=');
        match value {
            Value::String(value) => escape(value, text),
            value => escape(&value.to_string(), text),
        }
    }
}

/// Keeps a line one line, and what is in it from controlling the terminal.
fn escape(from: &str, text: &mut String) {
    for c in from.chars() {
        if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::Timestamp;

    use super::*;
    use crate::line::Ids;

    fn written(colour: bool) -> String {
        let metadata = Map::from_iter([("n".to_owned(), Value::from(3))]);
        let line = Line {
            at: Timestamp::from_micros(0),
            level: Level::WARN,
            message: "slow",
            target: "loans",
            ids: Ids { request: Some("r-1"), ..Ids::default() },
            error: None,
            metadata: &metadata,
            spans: &[],
        };
        let mut out = Vec::new();
        write(&line, colour, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn colour_changes_nothing_but_the_colour() {
        assert_eq!(written(false), "1970-01-01T00:00:00.000000Z  warn loans: slow n=3 request_id=r-1\n");
        let mut coloured = written(true);
        assert!(coloured.contains("\x1b[33m warn\x1b[0m"), "{coloured:?}");
        for code in [RESET, DIM, "\x1b[33m"] {
            coloured = coloured.replace(code, "");
        }
        assert_eq!(coloured, written(false));
    }
}
