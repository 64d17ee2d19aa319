//! Secrets in tables: values in a column whose head is a sensitive name, in CSV, TSV, and Markdown, and next to a name.

use std::ops::Range;

use memchr::{memchr_iter, memchr2};

use crate::found::Found;
use crate::judge;
use crate::keys::{Keys, Named};
use crate::marker;
use crate::tokens::run_end;
use crate::values;

/// A table has no more columns that are looked at.
const COLUMNS: usize = 64;

/// What stands before the rows of a table in a dump: `COPY users (id, password) FROM stdin;`.
const COPY: &[u8] = b"COPY ";
/// What ends them.
const END_OF_COPY: &str = "\\.";

/// A row of heads, of which some are sensitive.
struct Head {
    separator: u8,
    /// What each column names, and where.
    columns: Vec<Option<(Named, Range<usize>)>>,
}

/// Finds the values under sensitive heads, and those beside a sensitive name.
pub(crate) fn find(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut head: Option<Head> = None;
    let mut start = 0;
    // The next of what parts cells whose names have blanks: most texts have none.
    let mut cells_at = 0;
    for end in memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len())) {
        let line = start..end;
        start = end + 1;
        // What is indented has no names of columns in it, but between tabs and bars.
        if head.is_none() && bytes.get(line.start) == Some(&b' ') && cells_at >= line.end {
            continue;
        }
        // A row of lines parts the head from what is below.
        let is_rule = |byte: &u8| matches!(byte, b'-' | b'+' | b'=' | b'|' | b':' | b' ' | b'\r');
        if head.is_some() && bytes[line.clone()].contains(&b'-') && bytes[line.clone()].iter().all(is_rule) {
            continue;
        }
        let known = head.take_if(|head| cells(text, line.clone(), head.separator).nth(COLUMNS).is_none());
        if let Some(known) = known {
            let cells: Vec<_> = cells(text, line.clone(), known.separator).collect();
            let ends = text[line.clone()].trim_ascii_end() == END_OF_COPY;
            if cells.len() == known.columns.len() && !ends {
                for (cell, column) in cells.into_iter().zip(&known.columns) {
                    if let Some((named, name)) = column {
                        push(text, cell, *named, name.clone(), found);
                    }
                }
                head = Some(known);
                continue;
            }
        }
        head = None;
        if cells_at < line.start {
            cells_at = memchr2(b'\t', b'|', &bytes[line.start..]).map_or(bytes.len(), |len| line.start + len);
        }
        let has_cells = cells_at < line.end;
        if bytes[line.clone()].starts_with(COPY) {
            head = Head::of_copy(text, line, keys);
        } else if opens_with_name(&bytes[line.clone()], has_cells)
            && !(has_cells && beside(text, line.clone(), keys, found))
        {
            head = Head::of(text, line, keys);
        }
    }
}

fn push(text: &str, cell: Range<usize>, named: Named, name: Range<usize>, found: &mut Found<'_>) {
    let said = &text[cell.clone()];
    let is_line = said.bytes().all(|byte| matches!(byte, b'-' | b':' | b' ' | b'='));
    let is_innocent = is_line || judge::is_nothing(said, named.kind) || judge::is_placeholder(said);
    if !is_innocent && judge::looks_the_part(said, named) {
        found.push_value(cell, marker::REDACTED, name);
    }
}

impl Head {
    /// The line as a row of heads: names, and nothing else.
    fn of(text: &str, line: Range<usize>, keys: &Keys) -> Option<Self> {
        let bytes = &text.as_bytes()[line.clone()];
        let separator = [b'\t', b'|', b',', b';'].into_iter().find(|separator| bytes.contains(separator))?;
        // Words with commas and spaces between them are a sentence.
        if matches!(separator, b',' | b';') && bytes.contains(&b' ') {
            return None;
        }
        let is_name = |cell: Range<usize>| {
            let name = &text[cell];
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
            (name.is_empty() && separator == b'|')
                || (name.len() <= 40
                    && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
                    && name.chars().all(is_word)
                    && name.split(' ').count() <= 3)
        };
        if !cells(text, line.clone(), separator).take(COLUMNS + 1).all(is_name) {
            return None;
        }
        let columns = columns(text, cells(text, line, separator).take(COLUMNS + 1), keys);
        let is_table = (2..=COLUMNS).contains(&columns.len()) && columns.iter().any(Option::is_some);
        is_table.then_some(Self { separator, columns })
    }

    /// The columns of a dump.
    fn of_copy(text: &str, line: Range<usize>, keys: &Keys) -> Option<Self> {
        let said = &text[line.clone()];
        let (open, close) =
            (said.find('(')?, said.rfind(") FROM stdin").or_else(|| said.rfind(") from stdin"))?);
        let names = line.start + open + 1..line.start + close.max(open + 1);
        let separator = if said[close..].to_ascii_lowercase().contains("csv") { b',' } else { b'\t' };
        let columns = columns(text, cells(text, names, b',').take(COLUMNS + 1), keys);
        let is_table = columns.len() <= COLUMNS && columns.iter().any(Option::is_some);
        is_table.then_some(Self { separator, columns })
    }
}

/// What these cells name, and where.
fn columns(
    text: &str,
    cells: impl Iterator<Item = Range<usize>>,
    keys: &Keys,
) -> Vec<Option<(Named, Range<usize>)>> {
    let column = |cell: Range<usize>| {
        let named = keys.classify_name(&text[cell.clone()]);
        named.filter(|named| named.is_head && !named.is_weak).map(|named| (named, cell))
    };
    cells.map(column).collect()
}

/// What a byte is in a row of names: part of one, a blank, what parts cells, or anything else.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | 0x80.. => NAME,
            b' ' => BLANK,
            b'\t' | b'|' | b',' | b';' => SEPARATOR,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

const NAME: u8 = 1;
const BLANK: u8 = 2;
const SEPARATOR: u8 = 4;

/// Whether a line may open with a cell that is a name: most lines of a text do not, and their first word says so. Only cells
/// between tabs and bars have blanks.
fn opens_with_name(line: &[u8], may_have_blanks: bool) -> bool {
    let is = |byte: u8, kinds: u8| KINDS[usize::from(byte)] & kinds != 0;
    let (blank, kinds) = if may_have_blanks { (BLANK, NAME | BLANK) } else { (0, NAME) };
    let start =
        run_end(line, 0, |byte| is(byte, blank) || (may_have_blanks && matches!(byte, b'\t' | b'|' | b'*')));
    let end = run_end(line, start, |byte| is(byte, kinds));
    line.get(end).is_some_and(|byte| is(*byte, SEPARATOR) || (*byte == b'"' && end == start))
}

/// Finds the second of two cells, the first of which names it: `password<tab>hunter2`, `| password | hunter2 |`.
fn beside(text: &str, line: Range<usize>, keys: &Keys, found: &mut Found<'_>) -> bool {
    let bytes = &text.as_bytes()[line.clone()];
    let separator = if bytes.contains(&b'\t') { b'\t' } else { b'|' };
    let mut cells = cells(text, line, separator).filter(|cell| !cell.is_empty());
    let (Some(name), Some(value), None) = (cells.next(), cells.next(), cells.next()) else { return false };
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
    let name = trimmed(text, name, '*');
    let value = trimmed(text, value, '`');
    let said = &text[value.clone()];
    if !text[name.clone()].chars().all(is_word) || said.contains(' ') || !judge::looks_secret(said) {
        return false;
    }
    let named = keys.classify_name(&text[name.clone()]).filter(|named| named.is_head && !named.is_weak);
    let hits = named.is_some() && !judge::is_name_of_another(said, keys);
    if let Some(named) = named.filter(|_| hits) {
        push(text, value, named, name, found);
    }
    hits
}

/// A cell without what sets it in bold or as code.
fn trimmed(text: &str, cell: Range<usize>, sign: char) -> Range<usize> {
    let said = &text[cell.clone()];
    let start = cell.start + (said.len() - said.trim_start_matches(sign).len());
    start..(cell.start + said.trim_end_matches(sign).len()).max(start)
}

/// The cells of a line without white space, quotes, and the separators at the edges.
fn cells(text: &str, line: Range<usize>, separator: u8) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let end = line.end - usize::from(bytes[line.clone()].ends_with(b"\r"));
    let mut next = Some(line.start);
    std::iter::from_fn(move || {
        let start = next?;
        let blank = bytes[start..end].iter().take_while(|byte| **byte == b' ').count();
        let is_quoted = bytes[..end].get(start + blank) == Some(&b'"');
        let quoted = if is_quoted {
            values::quoted(&bytes[..end], start + blank).filter(|value| value.end < end)
        } else {
            None
        };
        let from = quoted.as_ref().map_or(start, |value| value.end + 1).min(end);
        let cell_end =
            bytes[from..end].iter().position(|byte| *byte == separator).map_or(end, |len| from + len);
        next = (cell_end < end).then_some(cell_end + 1);
        Some(quoted.unwrap_or_else(|| {
            let cell = &bytes[start..cell_end];
            let start = start + (cell.len() - cell.trim_ascii_start().len());
            start..start + bytes[start..cell_end].trim_ascii_end().len()
        }))
    })
}
