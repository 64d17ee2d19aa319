//! Secrets whose name stands in one place and whose value in the next: `{"name": "DB_PASSWORD", "value": "x"}`,
//! `("authorization", "Bearer x")`, `Password("x")`.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2_iter, memmem};

use crate::found::Found;
use crate::holder::Holder;
use crate::judge;
use crate::keys::{Keys, LONGEST_NAME, Named, SecretKind};
use crate::marker;
use crate::tokens::run_end;
use crate::values::{self, Sign, Tokens};

/// How far a value may stand behind its name.
const APART: usize = 240;

/// What stands beside any name, if it is a secret.
const PASSWORD: Named = Named { kind: SecretKind::Credential, is_weak: false, is_head: true };

/// A name that was read and whose value is to come, or the other way round.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    name: Option<Name>,
    value: Option<Range<usize>>,
}

/// A name that is a value elsewhere.
#[derive(Debug)]
struct Name {
    /// Where it stands.
    said: Range<usize>,
    named: Named,
    /// What belongs to it is not far behind this.
    end: usize,
}

impl Pair {
    /// Reads a key, and returns the value that is now known to be a secret, and its name.
    pub(crate) fn value(
        &mut self,
        text: &str,
        keys: &Keys,
        (holder, key): (Holder, &str),
        after: usize,
        sign: Sign,
        tokens: &mut Tokens,
    ) -> Option<(Range<usize>, Range<usize>)> {
        let bytes = text.as_bytes();
        if holder == Holder::Name {
            let start = run_end(bytes, after, |byte| matches!(byte, b' ' | b'\t'));
            let quoted = values::quote(bytes, start).is_some();
            let said = if quoted {
                values::quoted(&bytes[..bytes.len().min(start + APART)], start)?
            } else {
                start..values::token_end(&bytes[..bytes.len().min(start + APART)], start)
            };
            let name = text.get(said.clone())?;
            let named =
                Some(name).filter(|name| !name.contains(' ')).and_then(|name| keys.classify_name(name));
            let named = named.filter(|named| named.is_head && !named.is_weak);
            if named.is_some() && quoted && !sign.colon {
                let tag_end = run_end(&bytes[..bytes.len().min(said.end + APART)], said.end, |byte| {
                    !matches!(byte, b'<' | b'>' | b'/' | b'\n')
                });
                if bytes.get(tag_end) == Some(&b'>')
                    && let Some(value) = content(text, tag_end + 1)
                {
                    return Some((value, said));
                }
            }
            let is_inner = |name: &Name| {
                name.end + APART > after && text.get(name.end..after).and_then(depth_between) > Some(0)
            };
            // A name that tells nothing, of something within, leaves the one around as it is.
            if named.is_some() || !self.name.as_ref().is_some_and(is_inner) {
                self.name = named.map(|named| Name { said: said.clone(), named, end: said.end });
            }
            let before = if named.is_some() { self.value.take() } else { None };
            let before = before.filter(|value| value.end + APART > after);
            let part = multipart(bytes, said.end).filter(|_| named.is_some());
            if named.is_some() && part.is_none() {
                // `{"value": "x", "name": "token"}`
                let is_beside = |value: &Range<usize>| {
                    let between = text.get(value.end..after).filter(|between| !between.contains(['>', '\n']));
                    between.and_then(depth_between) == Some(0)
                };
                return before.filter(is_beside).map(|value| (value, said));
            }
            if part.is_some() {
                self.name = None;
            }
            return part.map(|part| (part, said));
        }
        if self.name.is_none() && key.eq_ignore_ascii_case("default") {
            self.name = variable(text, keys, after);
        }
        let depth = self.name.as_ref().filter(|name| name.end + APART > after);
        let depth = depth.and_then(|name| depth_between(text.get(name.end..after)?));
        match self.name.take() {
            Some(name) if depth.is_some() => {
                let Name { said, named, end } = &name;
                let (said, named) = (said.clone(), *named);
                // What stands deeper has no more to do with it than what follows.
                self.name = (depth > Some(0)).then(|| Name { said: said.clone(), named, end: *end });
                let named = Named {
                    kind: if named.kind == SecretKind::Header { SecretKind::Credential } else { named.kind },
                    ..named
                };
                let value = values::extent(
                    text,
                    after,
                    named,
                    Sign { colon: sign.quoted && sign.colon, first: true, ..sign },
                    tokens,
                )?;
                let is_other = judge::is_name_of_another(&text[value.clone()], keys);
                (!is_other).then_some((value, said))
            }
            _ => {
                let start = run_end(bytes, after, |byte| matches!(byte, b' ' | b'\t'));
                let is_attribute = !sign.colon && !sign.spaced && !sign.apart;
                if values::quote(bytes, start).is_some() && (sign.quoted || is_attribute) {
                    let limit = bytes.len().min(start + APART);
                    let near = text.get(..text.floor_char_boundary(limit))?;
                    let value = values::extent(near, after, PASSWORD, sign, &mut Tokens::default());
                    self.value = value.filter(|value| value.end < limit);
                }
                None
            }
        }
    }
}

/// How many braces are open at the end of what stands between a name and a value; nothing if the one is closed that the name
/// stands in.
fn depth_between(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    // The quote that closes the name is the first.
    if let [b'"', ..] = bytes {
        at = 1;
    }
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.checked_sub(1)?,
            b'"' => at = values::quoted(bytes, at).map_or(at, |string| string.end),
            _ => {}
        }
        at += 1;
    }
    Some(depth)
}

/// The part of a form that follows an empty line, behind its headers.
fn multipart(bytes: &[u8], name_end: usize) -> Option<Range<usize>> {
    let near = &bytes[name_end..bytes.len().min(name_end + APART)];
    // Logs and tools write line ends of one byte.
    let (line_end, empty): (&[u8], &[u8]) =
        if near.starts_with(b"\"\n") { (b"\n", b"\n\n") } else { (b"\r\n", b"\r\n\r\n") };
    let headers = near.strip_prefix(b"\"")?.strip_prefix(line_end)?;
    if !headers.starts_with(line_end) && !headers.starts_with(b"Content-") {
        return None;
    }
    let start = name_end + 1 + memmem::find(&near[1..], empty)? + empty.len();
    let end = run_end(bytes, start, |byte| !matches!(byte, b'\r' | b'\n'));
    (end > start).then_some(start..end)
}

/// What a variable of Terraform is called, of whose block this is a part: `variable "db_password" { default = "x" }`.
fn variable(text: &str, keys: &Keys, at: usize) -> Option<Name> {
    let from = text.ceil_char_boundary(at.saturating_sub(APART));
    let near = text.get(from..at)?;
    let block = &near[..near.rfind('{')?];
    let name = block.rsplit_once("variable \"")?.1.strip_suffix("\" ")?;
    let named = keys.classify_name(name).filter(|named| named.is_head && !named.is_weak)?;
    let end = from + block.len() - "\" ".len();
    Some(Name { said: end - name.len()..end, named, end: at - 1 })
}

/// What an element holds whose tag ends before this: `<property name="connection.password">hunter2</property>`.
fn content(text: &str, start: usize) -> Option<Range<usize>> {
    let near = &text.as_bytes()[..text.floor_char_boundary(start + APART)];
    // `<setting name="Password"><value>hunter2</value></setting>`
    let inner = &near[start.min(near.len())..];
    let tag = if inner.starts_with(b"<value>") { "<value>".len() } else { 0 };
    let start = start + tag;
    let end = run_end(near, start, |byte| byte != b'<');
    let closes = near[end..].starts_with(b"</");
    let said = text.get(start..end).filter(|said| closes && !said.trim().is_empty())?;
    (!judge::is_placeholder(said)).then_some(start..end)
}

/// Finds the second of two that stand in brackets, of which the first is a sensitive name: `["Authorization", "x"]`,
/// `setProperty("X_TOKEN", "x")`, and what follows a flag in a list: `["--password", "x"]`.
pub(crate) fn find_tuples(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let (mut done, mut tokens) = (0, Tokens::default());
    for comma in memchr_iter(b',', bytes) {
        if comma < done || comma == 0 {
            continue;
        }
        let before = bytes[..comma].trim_ascii_end();
        let [.., quote @ (b'"' | b'\'')] = before else { continue };
        let escapes = before[..before.len() - 1].iter().rev().take_while(|byte| **byte == b'\\').count();
        let name_end = before.len() - 1 - escapes;
        let earliest = name_end.saturating_sub(LONGEST_NAME);
        let Some(open) =
            bytes[earliest..name_end].iter().rposition(|byte| byte == quote).map(|at| earliest + at)
        else {
            continue;
        };
        let Some(name) = text.get(open + 1..name_end) else { continue };
        let opening = without_escapes(bytes[..open].trim_ascii_end());
        let flag = name.strip_prefix("--").filter(|_| !name.contains(['=', ' ']));
        let is_short = name == "-p";
        let is_first = matches!(opening, [.., b'[' | b'(']);
        if !is_first && flag.is_none() && !is_short {
            continue;
        }
        let named = if is_short { Some(PASSWORD) } else { keys.classify_name(flag.unwrap_or(name)) };
        let Some(named) = named.filter(|named| named.is_head && !named.is_weak) else { continue };
        let start = run_end(bytes, comma + 1, |byte| byte.is_ascii_whitespace());
        if values::quote(bytes, start).is_none() && !bytes.get(start).is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let sign = Sign { colon: true, quoted: true, ..Sign::default() };
        let Some(value) = values::extent(text, start, named, sign, &mut tokens) else { continue };
        let said = &text[value.clone()];
        // `["password", "token"]` is a list of names.
        let after =
            bytes[value.end..].iter().find(|byte| !matches!(byte, b'"' | b'\'' | b'\\' | b' ' | b'\n'));
        let closes = matches!(after, None | Some(b']' | b')')) || flag.is_some() || is_short;
        if is_short && !judge::is_password_of_flag(said) {
            continue;
        }
        if closes && !judge::is_name_of_another(said, keys) && !said.starts_with("--") {
            done = value.end;
            found.push_value(value, marker::REDACTED, open + 1..name_end);
        }
    }
}

/// Finds what `Debug` shows of a type with a telling name: `Password("x")`, `ApiKey(Inner { value: "x" })`.
pub(crate) fn find_debug(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for open in memchr_iter(b'(', bytes) {
        // Most brackets tell by what follows them that they are none of these.
        let mut first = bytes.get(open + 1).copied().unwrap_or(b')');
        let mut inner = open + 1;
        if first == b'\n' {
            // `{:#?}` has what is in brackets in lines of its own.
            inner =
                run_end(&bytes[..bytes.len().min(open + APART)], inner, |byte| matches!(byte, b'\n' | b' '));
            first = bytes.get(inner).copied().unwrap_or(b')');
        } else if first == b'"'
            && open >= done
            && let Some((value, name)) = argument(text, open, keys)
        {
            done = value.end;
            found.push_value(value, marker::REDACTED, name);
            continue;
        }
        if !(first == b'"' || first.is_ascii_digit() || first.is_ascii_uppercase()) {
            continue;
        }
        let earliest = open.saturating_sub(48);
        let name = bytes[earliest..open].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let start = open - name;
        if open < done
            || name < 3
            || !bytes[start].is_ascii_uppercase()
            || !bytes[start..open].iter().any(u8::is_ascii_lowercase)
        {
            continue;
        }
        if start > 0 && matches!(bytes[start - 1], b'.' | b':' | b'_' | b'#' | b'@' | b'!') {
            continue;
        }
        let name = &text[start..open];
        let Some(named) = keys.classify_name(name).filter(|named| named.is_head && !named.is_weak) else {
            continue;
        };
        let near = &bytes[..bytes.len().min(open + APART)];
        let Some(value) = shown(near, open, inner).filter(|value| !value.is_empty()) else { continue };
        let Some(said) = text.get(value.clone()) else { continue };
        let is_sentence = said.contains(' ') && first == b'"' && !judge::looks_secret(said);
        let is_innocent = judge::is_placeholder(said)
            || is_sentence
            || (named.kind == SecretKind::Ambiguous && !judge::looks_secret(said))
            || (named.kind == SecretKind::Ambiguous && said.bytes().all(|byte| byte.is_ascii_digit()))
            || judge::is_name_of_another(said, keys);
        if !is_innocent {
            done = value.end;
            found.push_value(value, marker::REDACTED, start..open);
        }
    }
}

/// What is shown in the bracket of a type, of which this is the first: a text, a number, or what holds a text.
fn shown(near: &[u8], open: usize, first: usize) -> Option<Range<usize>> {
    if near.get(first) == Some(&b'"') {
        return values::quoted(near, first);
    }
    let digits = run_end(near, first, |byte| byte.is_ascii_digit());
    if digits > first && matches!(near.get(digits), None | Some(b')' | b',')) {
        return Some(first..digits);
    }
    memchr(b'"', &near[open..])?;
    let whole = values::bracketed(near, open);
    let said = open + 1..whole.end.saturating_sub(1).max(open + 1);
    near[said.clone()].contains(&b'"').then_some(said)
}

/// The argument of a method that takes a secret: `.password("hunter2")`, `.setApiKey("x7")`.
fn argument(text: &str, open: usize, keys: &Keys) -> Option<(Range<usize>, Range<usize>)> {
    let bytes = text.as_bytes();
    let earliest = open.saturating_sub(48);
    let is_in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let start = open - bytes[earliest..open].iter().rev().take_while(is_in_name).count();
    let is_method = start > 0 && bytes[start - 1] == b'.' && bytes.get(start)?.is_ascii_lowercase();
    if !is_method || open - start < 4 {
        return None;
    }
    let name = &text[start..open];
    keys.classify_name(name.strip_prefix("with_").unwrap_or(name))
        .filter(|named| named.is_head && !named.is_weak && named.kind.is_credential())?;
    let near = &bytes[..text.floor_char_boundary(open + APART)];
    let value = values::quoted(near, open + 1).filter(|value| near[value.end..].starts_with(b"\")"))?;
    let said = text.get(value.clone())?;
    let is_secret = judge::looks_secret(said)
        && !said.contains([' ', '$', '{', '<'])
        && !judge::is_path(said)
        && !judge::is_placeholder(said)
        && !judge::is_name_of_another(said, keys);
    is_secret.then_some((value, start..open))
}

/// Finds a secret in quotes behind its name: `invalid password 'hunter2'`, `#define API_KEY "x7"`.
pub(crate) fn find_beside(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for quote in memchr2_iter(b'"', b'\'', bytes) {
        let [.., last, b' '] = bytes[..quote] else { continue };
        if quote < done || !(last.is_ascii_alphanumeric()) {
            continue;
        }
        let next = bytes.get(quote + 1).copied().unwrap_or(b' ');
        if !next.is_ascii_alphanumeric() && next.is_ascii() {
            continue;
        }
        let earliest = quote.saturating_sub(LONGEST_NAME).max(done);
        let is_in_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'-' | b'.');
        let name = bytes[earliest..quote - 1].iter().rev().take_while(is_in_name).count();
        let Some(name) = text.get(quote - 1 - name..quote - 1) else { continue };
        let end = quote - 1;
        let named = keys.classify_name(name).map(|named| (named, end - name.len()..end)).or_else(|| {
            // `invalid api key "x7"`
            let before = text.get(text.ceil_char_boundary(earliest)..quote - 1)?;
            let (others, last) = before.rsplit_once(' ')?;
            let phrase = &before[others.rfind(' ').map_or(0, |space| space + 1)..];
            let named =
                (last == name && keys.may_end_phrase(name)).then(|| keys.classify_phrase(phrase))??;
            Some((named, end - phrase.len()..end))
        });
        let is_credential =
            |(named, _): &(Named, _)| named.is_head && !named.is_weak && named.kind.is_credential();
        let Some((_, name)) = named.filter(is_credential) else { continue };
        let near = &bytes[..text.floor_char_boundary(quote + APART)];
        let Some(value) = values::quoted(near, quote).filter(|value| value.end < near.len()) else {
            continue;
        };
        let Some(said) = text.get(value.clone()) else { continue };
        if said.contains([' ', '\n', '(', '<'])
            || judge::is_path(said)
            || !judge::looks_secret(said)
            || judge::is_placeholder(said)
            || judge::is_template(said)
            || judge::is_type_name(said)
            || judge::is_name_of_another(said, keys)
        {
            continue;
        }
        done = value.end;
        found.push_value(value, marker::REDACTED, name);
    }
}

/// Finds `<name>DB_PASSWORD</name><value>x</value>`.
pub(crate) fn find_elements(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    for close in memchr_iter(b'/', bytes).filter(|&at| at > 0 && bytes[at - 1] == b'<').map(|at| at - 1) {
        let element_end = run_end(bytes, close + 2, |byte| byte.is_ascii_alphanumeric());
        let element = &text[close + 2..element_end];
        let is_cell = matches!(element, "td" | "th" | "dt");
        let is_name = is_cell || Holder::of(element) == Some(Holder::Name);
        if !is_name || bytes.get(element_end) != Some(&b'>') {
            continue;
        }
        let earliest = close.saturating_sub(LONGEST_NAME);
        let Some(open) =
            bytes[earliest..close].iter().rposition(|byte| *byte == b'>').map(|at| earliest + at)
        else {
            continue;
        };
        let Some(name) = text.get(open + 1..close) else { continue };
        if keys.classify_name(name).is_none_or(|named| !named.is_head || named.is_weak) {
            continue;
        }
        let next = run_end(bytes, element_end + 1, |byte| byte.is_ascii_whitespace());
        let tag_end = run_end(bytes, next + 1, |byte| byte.is_ascii_alphanumeric());
        let is_value = || match text.get(next + 1..tag_end) {
            Some("td" | "dd") => is_cell,
            element => !is_cell && element.and_then(Holder::of) == Some(Holder::Value),
        };
        if bytes.get(next) != Some(&b'<') || !is_value() {
            continue;
        }
        let start = run_end(bytes, tag_end, |byte| byte != b'>') + 1;
        let end = run_end(bytes, start, |byte| byte != b'<');
        let is_secret = || !is_cell || text.get(start..end).is_some_and(judge::looks_secret);
        if start < end && bytes.get(end + 1) == Some(&b'/') && is_secret() {
            found.push_value(start..end, marker::REDACTED, open + 1..close);
        }
    }
}

/// Without the escapes before a quote.
fn without_escapes(bytes: &[u8]) -> &[u8] {
    let kept = bytes.iter().rposition(|byte| *byte != b'\\').map_or(0, |last| last + 1);
    &bytes[..kept]
}
