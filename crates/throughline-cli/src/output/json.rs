//! JSON that is harmless on a terminal.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use throughline_core::query::is_unsafe;

/// Writes a value and a line end, in one line or for people. What a terminal might obey is written as
/// `\u` escapes; JSON itself asks that of the first 32 characters only.
pub(crate) fn write_json(output: &mut impl Write, value: &impl Serialize, pretty: bool) -> io::Result<()> {
    if pretty {
        let formatter = Harmless(PrettyFormatter::new());
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut *output, formatter))?;
    } else {
        let formatter = Harmless(CompactFormatter);
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut *output, formatter))?;
    }
    output.write_all(b"\n")
}

/// A formatter that escapes what is harmful, and leaves all else to another.
struct Harmless<F>(F);

impl<F: Formatter> Formatter for Harmless<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, output: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            output.write_all(&rest.as_bytes()[..at])?;
            let mut after = rest[at..].chars();
            for unit in after.next().into_iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
                write!(output, "\\u{unit:04x}")?;
            }
            rest = after.as_str();
        }
        output.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, output: &mut W) -> io::Result<()> {
        self.0.begin_array(output)
    }
    fn end_array<W: ?Sized + Write>(&mut self, output: &mut W) -> io::Result<()> {
        self.0.end_array(output)
    }
    fn begin_array_value<W: ?Sized + Write>(&mut self, output: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(output, first)
    }
    fn end_array_value<W: ?Sized + Write>(&mut self, output: &mut W) -> io::Result<()> {
        self.0.end_array_value(output)
    }
    fn begin_object<W: ?Sized + Write>(&mut self, output: &mut W) -> io::Result<()> {
        self.0.begin_object(output)
    }
    fn end_object<W: ?Sized + Write>(&mut self, output: &mut W) -> io::Result<()> {
        self.0.end_object(output)
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, output: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(output, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, output: &mut W) -> io::Result<()> {
        self.0.begin_object_value(output)
    }
    fn end_object_value<W: ?Sized + Write>(&mut self, output: &mut W) -> io::Result<()> {
        self.0.end_object_value(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_read_back_the_same() {
        let value =
            serde_json::json!({ "a\u{9b}31m": ["\u{1b}[2J", "\u{7f}", "\u{202e}txt.exe", "plain é"] });
        let mut output = Vec::new();
        write_json(&mut output, &value, false).unwrap();
        let text = String::from_utf8(output).unwrap();
        assert!(!text.trim_end().contains(is_unsafe), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
