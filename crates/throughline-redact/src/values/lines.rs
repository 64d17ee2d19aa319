//! Values of YAML on the lines below their key.

use std::ops::Range;

use memchr::memrchr;

use super::LONGEST_LIST;
use crate::judge;
use crate::tokens::run_end;

/// A block of YAML: after `|` or `>` the lines that are indented more than the key.
pub(super) fn block(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let header = run_end(bytes, start + 1, |byte| matches!(byte, b'-' | b'+' | b'0'..=b'9'));
    let line_end = run_end(bytes, header, |byte| matches!(byte, b' ' | b'\r'));
    if bytes.get(line_end) == Some(&b'\n') { lines_below(bytes, start, line_end + 1) } else { None }
}

/// A list of YAML, on the lines below the key.
pub(super) fn list(text: &str, line_end: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let first = next_line(bytes, line_end)?;
    let key = line_start(bytes, line_end);
    if indent(bytes, first) == indent(bytes, key) && !bytes[key..].trim_ascii_start().starts_with(b"- ") {
        return list_beside(text, first, key);
    }
    if !bytes[run_end(bytes, first, |byte| byte == b' ')..].starts_with(b"- ") {
        return None;
    }
    let near = &bytes[..text.floor_char_boundary(first + LONGEST_LIST)];
    let value = lines_below(near, line_end, first)?;
    let items = &text[value.clone()];
    (items.starts_with("- ") && !items.contains(": ")).then_some(value)
}

/// A list whose dashes stand below the key.
fn list_beside(text: &str, first: usize, key: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let near = &bytes[..text.floor_char_boundary(first + LONGEST_LIST)];
    let (start, mut line, mut end) = (indent(near, key) + first, first, first);
    while near[run_end(near, line, |byte| byte == b' ')..].starts_with(b"- ")
        && indent(near, line) == indent(near, key)
    {
        end = run_end(near, line, |byte| byte != b'\n');
        line = end + 1;
        if line >= near.len() {
            break;
        }
    }
    let items = text.get(start..end.max(start))?.trim_ascii_end();
    (!items.is_empty() && !items.contains(": ")).then_some(start..start + items.len())
}

/// A value of YAML that is alone on the line below its key.
pub(super) fn line_below(text: &str, line_end: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let first = next_line(bytes, line_end)?;
    if indent(bytes, first) <= indent(bytes, line_start(bytes, line_end)) {
        return None;
    }
    let start = run_end(bytes, first, |byte| byte == b' ');
    let end = run_end(&bytes[..bytes.len().min(start + LONGEST_LIST)], start, |byte| byte != b'\n');
    let line = text.get(start..end)?.trim_ascii_end();
    let said = line.trim_matches(['"', '\'']);
    let is_quoted = said.len() + 2 == line.len();
    let is_secret = judge::looks_secret(said) && !said.contains([':', '(', '[', '{', '<', ';', ' ', ',']);
    let is_value =
        if is_quoted { !judge::is_placeholder(said) && !judge::is_template(said) } else { is_secret };
    let inner = start + usize::from(is_quoted);
    (is_value && !said.is_empty()).then_some(inner..inner + said.len())
}

/// Where the line starts that this is in.
fn line_start(bytes: &[u8], at: usize) -> usize {
    memrchr(b'\n', &bytes[..at]).map_or(0, |before| before + 1)
}

/// The lines from here on that are indented more than the line before.
fn lines_below(bytes: &[u8], key: usize, first: usize) -> Option<Range<usize>> {
    let indent = indent(bytes, line_start(bytes, key));
    let start = run_end(bytes, first, |byte| byte == b' ');
    if start - first <= indent {
        return None;
    }
    let mut end = first;
    while end < bytes.len() && self::indent(bytes, end) > indent {
        end = next_line(bytes, end).unwrap_or(bytes.len());
    }
    let kept = bytes[start..end.max(start)].trim_ascii_end().len();
    (kept > 0).then_some(start..start + kept)
}

/// How far the line that starts here is indented; the dash of a list is a part of that.
fn indent(bytes: &[u8], line: usize) -> usize {
    run_end(bytes, line, |byte| byte == b' ') - line
}

/// Where the line after this one starts, if there is one.
pub(crate) fn next_line(bytes: &[u8], at: usize) -> Option<usize> {
    let end = run_end(bytes, at, |byte| byte != b'\n');
    (end < bytes.len()).then_some(end + 1)
}
