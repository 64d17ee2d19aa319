//! How far the value of a sensitive key extends in text.

mod brackets;
mod lines;
mod tokens;

use std::ops::Range;

use memchr::{memchr, memchr3};

use crate::headers::{self, Scheme, scheme};
use crate::judge::{self, Clause};
use crate::keys::{Named, SecretKind};
use crate::tokens::run_end;

pub(crate) use self::lines::next_line;
use self::lines::{block, line_below, list};
pub(crate) use self::tokens::{Tokens, token_end};

/// How a value is assigned.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sign {
    /// By a colon or an arrow rather than by `=`.
    pub(crate) colon: bool,
    /// The key is in quotes, as in JSON.
    pub(crate) quoted: bool,
    /// White space follows the sign.
    pub(crate) spaced: bool,
    /// White space stands before the sign.
    pub(crate) apart: bool,
    /// The key follows a semicolon: so the next one ends the value.
    pub(crate) sectioned: bool,
    /// The key is a parameter of a URL or a form.
    pub(crate) parameter: bool,
    /// The key is the first word of its line, without a blank before.
    pub(crate) first: bool,
    /// The key is a field of a struct as Go prints it: `{User:ada Password:hunter2}`.
    pub(crate) field: bool,
    /// It compares rather than assigns.
    pub(crate) compares: bool,
    /// What the key names is a number, such as a PIN.
    pub(crate) digits: bool,
    /// The quote that stands right before the key: `"DB_PASSWORD=x y"`.
    pub(crate) enclosed: Option<u8>,
    /// The key is in brackets, as PHP prints it: `[password] => x y`.
    pub(crate) printed: bool,
}

impl Sign {
    /// Whether it may be a sentence: `invalid password: must be longer`.
    pub(crate) fn is_prose(self) -> bool {
        self.colon && self.spaced && !self.quoted
    }
}

/// The longest bracket of a key without quotes: such keys are nested, and each is looked at.
const LONGEST_BRACKET: usize = 200;

/// Of a value without white space so much is judged; a longer one is no word.
const LONGEST_WORD: usize = 128;

/// The longest tag or anchor of YAML: `!<tag:yaml.org,2002:str>`.
const LONGEST_MARK: usize = 64;

/// The longest list of a key: as with brackets.
const LONGEST_LIST: usize = 1024;

/// The value after the sign, without its quotes; `None` if there is none, or nothing that needs hiding.
pub(crate) fn extent(
    text: &str,
    after: usize,
    named: Named,
    sign: Sign,
    tokens: &mut Tokens,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let is_blank = |byte: u8| match byte {
        b' ' | b'\t' => true,
        b'\r' | b'\n' => sign.quoted,
        _ => false,
    };
    let mut start = after_yaml_marks(bytes, run_end(bytes, after, is_blank), sign);
    // The line is continued, or what the key stands in is set in bold: `**password:** x`.
    if matches!(bytes.get(start), Some(b'\\' | b'*')) {
        for joint in [&b"\\\n"[..], b"\\\r\n", b"** "] {
            if bytes[start..].starts_with(joint) {
                start = run_end(bytes, start + joint.len(), |byte| matches!(byte, b' ' | b'\t'));
            }
        }
    }
    start = after_prefix(bytes, start);
    let is_quote = quote(bytes, start).is_some();
    let value = match bytes.get(start)? {
        b'"' | b'\'' | b'`' | b'\\' if is_quote => quoted(bytes, start)?,
        b'[' | b'{' | b'(' if named.is_weak => return None,
        b'[' | b'{' | b'(' => in_brackets(text, start, named, sign, tokens)?,
        b'\r' | b'\n' if sign.colon => list(text, start).or_else(|| line_below(text, start))?,
        b'|' | b'>' if sign.colon => block(bytes, start)?,
        _ => bare(text, start, named, sign, tokens)?,
    };
    let is_around = |c: char| matches!(c, '[' | ']' | '(' | ')' | '{' | '}') || c.is_whitespace();
    let said = text[value.clone()].trim_matches(is_around);
    if judge::is_nothing(said, named.kind) {
        return None;
    }
    if is_quote {
        // `'credentials: ' + url`: the quote closes what the name stands in.
        let goes_on = bytes[start + 1..].starts_with(b" +")
            && bytes.get(start + 3).is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b'"');
        // "`=`" is a sign.
        if goes_on || (value.len() == 1 && !said.chars().any(char::is_alphanumeric)) {
            return None;
        }
        // In text a value ends in its line, unless it is JSON or has three quotes.
        let is_one_line = sign.quoted || value.start - start > 2 || !text[value.clone()].contains('\n');
        let plain = judge::is_placeholder(&text[value.clone()])
            || judge::is_template(&text[value.clone()])
            || !matches!(scheme(said), Scheme::None);
        let is_word = named.kind == SecretKind::Ambiguous
            && !sign.quoted
            && !judge::looks_secret(said)
            && said.len() < 16;
        return (is_one_line && !plain && !is_word && judge::looks_the_part(said, named)).then_some(value);
    }
    Some(value)
}

/// Where the value starts behind a tag or an anchor: `!!str hunter2`, `&anchor hunter2`.
fn after_yaml_marks(bytes: &[u8], start: usize, sign: Sign) -> usize {
    let mut at = start;
    // A value has one of each.
    for _ in 0..2 {
        if !(sign.is_prose() && matches!(bytes.get(at), Some(b'!' | b'&'))) {
            break;
        }
        let near = &bytes[..bytes.len().min(at + LONGEST_MARK)];
        let name = run_end(near, at + 1, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'_' | b'-' | b':' | b'/')
        });
        match near.get(name) {
            Some(b' ') if name > at + 1 && bytes.get(name + 1) != Some(&b'=') => at = name + 1,
            _ => break,
        }
    }
    at
}

/// Where the quote stands behind what says how to read it: `r"…"`, `b'…'`, `@"…"`, `N'…'`, `string(9) "…"`, `[]string{"…"}`.
fn after_prefix(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start..];
    if let Some(list) = rest.strip_prefix(b"[]string") {
        return bytes.len() - list.len();
    }
    let prefix = match rest {
        [b'b' | b'r' | b'f' | b'u' | b'L' | b'N' | b'@', ..] => 1,
        [b's', b't', b'r', b'i', b'n', b'g', b'(', ..] => {
            let digits = run_end(rest, "string(".len(), |byte| byte.is_ascii_digit());
            return if rest[digits..].starts_with(b") \"") { start + digits + 2 } else { start };
        }
        _ => return start,
    };
    let prefix = prefix + usize::from(rest[0] == b'b' && rest.get(1) == Some(&b'r'));
    let hashes = if rest[prefix - 1] == b'r' { run_end(rest, prefix, |byte| byte == b'#') } else { prefix };
    if matches!(rest.get(hashes), Some(b'"' | b'\'')) { start + hashes } else { start }
}

/// The quote that starts here and how many backslashes escape it, as in JSON within JSON.
pub(crate) fn quote(bytes: &[u8], start: usize) -> Option<(u8, usize)> {
    let quote = run_end(bytes, start, |byte| byte == b'\\');
    let kind = *bytes.get(quote).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))?;
    Some((kind, quote - start))
}

/// What is between this quote and the one that closes it, or the end of the text if it was cut. Three quotes close with three,
/// and two in a row are one within, as databases write it.
pub(crate) fn quoted(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let (kind, escapes) = quote(bytes, start)?;
    let inner = start + escapes + 1;
    let is_triple = escapes == 0 && bytes[inner..].starts_with(&[kind, kind]);
    if is_triple && bytes.get(inner + 2).is_some_and(|byte| *byte != b',') {
        let inner = inner + 2;
        let len = bytes[inner..].windows(3).position(|three| three == [kind; 3]);
        if let Some(len) = len {
            return Some(inner..inner + len);
        }
    }
    // A cell of a table may have quotes in it, all of them doubled: `""password"": ""x""`.
    let is_doubled = escapes == 0 && bytes.get(inner) == Some(&kind);
    if is_doubled && bytes.get(inner + 1).is_some_and(u8::is_ascii_alphanumeric) {
        let inner = inner + 1;
        let len = memchr(kind, &bytes[inner..]);
        return len.filter(|len| bytes.get(inner + len + 1) == Some(&kind)).map(|len| inner..inner + len);
    }
    let mut backslashes = 0;
    let mut at = inner;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => backslashes += 1,
            // As many backslashes as the opening quote has close; more of them are a quote within.
            _ if byte == kind && backslashes % (2 * (escapes + 1)) == escapes => {
                let doubled = escapes == 0 && at > inner && bytes.get(at + 1) == Some(&kind);
                if !doubled {
                    return Some(inner..at - escapes.min(backslashes));
                }
                at += 1;
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        at += 1;
    }
    Some(inner..bytes.len())
}

/// What is in brackets: all of it under a quoted key, as in JSON, and otherwise only what is no code.
fn in_brackets(
    text: &str,
    start: usize,
    named: Named,
    sign: Sign,
    tokens: &mut Tokens,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if sign.sectioned && bytes[start] == b'{' {
        return braced(bytes, start);
    }
    if sign.quoted {
        let value = bracketed(bytes, start);
        return (!is_schema(&text[value.clone()])).then_some(value);
    }
    let limit = text.floor_char_boundary(start + LONGEST_BRACKET);
    // Most that closes nowhere near has nothing that would close it, and this is seen at once.
    if limit < bytes.len() && memchr3(b']', b'}', b')', &bytes[start..limit]).is_none() {
        return None;
    }
    let value = tokens.brackets.from(bytes, start, limit);
    let whole = &text[value.clone()];
    let closes = value.end < limit || whole.ends_with([']', '}', ')']);
    if !closes && limit < bytes.len() {
        return None;
    }
    let inner = &whole[1..];
    let is_list = whole.starts_with('[')
        && inner.bytes().all(|byte| byte.is_ascii_digit() || b", ]".contains(&byte))
        && inner.contains(',');
    let has_literal = whole.contains(['"', '\'']) && !whole.contains('\n') && !is_code(whole.as_bytes());
    let is_plain_list = || {
        let is_known = is_strong(named) || named.kind == SecretKind::Ambiguous;
        let mut items = inner.trim_end_matches(']').split(", ");
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=_-.~@".contains(&byte);
        let is_secret = |item: &str| judge::looks_secret(item) && item.bytes().all(is_plain);
        whole.starts_with('[') && sign.is_prose() && is_known && items.next().is_some_and(is_secret)
    };
    (is_list || is_plain_list() || (has_literal && !names_only(whole, named))).then_some(value)
}

/// Whether what is in brackets has signs of a program: what is in quotes may have any.
fn is_code(whole: &[u8]) -> bool {
    const SIGNS: [bool; 256] = of_bytes(b"\"'(=");
    let (mut part, mut is_quoted, mut at) = (0, false, 0);
    loop {
        at = run_end(whole, at, |byte| !SIGNS[usize::from(byte)]);
        match whole.get(at) {
            None => return false,
            Some(b'"' | b'\'') => (part, is_quoted) = (at + 1, !is_quoted),
            Some(_) if is_quoted => {}
            // A bracket may open within another one.
            Some(b'(') if whole[part..at].iter().all(|byte| matches!(byte, b'[' | b'{')) => part = at + 1,
            Some(_) => return true,
        }
        at += 1;
    }
}

/// Whether the name is one of a credential, and has no other meanings.
fn is_strong(named: Named) -> bool {
    matches!(named.kind, SecretKind::Credential | SecretKind::Phrase) && !named.is_weak
}

/// A value between braces, in which the closing one is written twice: `PWD={my;}}pass};`.
fn braced(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let bytes = &bytes[..bytes.len().min(start + LONGEST_BRACKET)];
    let mut end = start + 1;
    loop {
        end = run_end(bytes, end, |byte| !matches!(byte, b'}' | b'\n'));
        match bytes[end..] {
            [b'}', b'}', ..] => end += 2,
            [b'}', ..] => return Some(start..end + 1),
            _ => return None,
        }
    }
}

/// Whether an object is a [schema](judge::is_schema).
fn is_schema(object: &str) -> bool {
    const LONGEST: usize = 200;
    object.len() <= LONGEST
        && object.contains("\"type\"")
        && serde_json::from_str(object).is_ok_and(|fields| judge::is_schema(&fields))
}

/// Whether all that is quoted are words, as in lists of names: `["password", "token"]`. A single one is a value of a strong name,
/// unless it looks like a name of its own.
fn names_only(text: &str, named: Named) -> bool {
    let mut literals = text.split(['"', '\'']).skip(1).step_by(2);
    let is_value =
        |word: &str| word.len() > 4 && !word.contains(['_', '.', ':']) && !judge::names_secret(word);
    literals.clone().all(|word| is_name(word, named))
        && !(is_strong(named) && literals.next().is_some_and(is_value) && literals.next().is_none())
}

/// What may open or close a bracket or a string.
const NESTS: [bool; 256] = of_bytes(b"[]{}()\"\\");

/// From this bracket to the one that closes it, or the end of the text if it was cut.
pub(crate) fn bracketed(bytes: &[u8], start: usize) -> Range<usize> {
    let (mut depth, mut in_string, mut at) = (0_usize, false, start);
    loop {
        at = run_end(bytes, at, |byte| !NESTS[usize::from(byte)]);
        let Some(byte) = bytes.get(at) else { return start..bytes.len() };
        match byte {
            b'\\' => at += usize::from(in_string),
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' | b'(' => depth += 1,
            _ => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return start..at + 1;
                }
            }
        }
        at += 1;
    }
}

/// A table of the bytes that are listed.
pub(crate) const fn of_bytes(listed: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < listed.len() {
        table[listed[at] as usize] = true;
        at += 1;
    }
    table
}

/// A value without quotes or brackets.
fn bare(text: &str, start: usize, named: Named, sign: Sign, tokens: &mut Tokens) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if sign.printed {
        return printed(text, start);
    }
    if let Some(quote) = sign.enclosed.filter(|_| is_strong(named))
        && let Some(value) = enclosed(text, start, quote)
    {
        return Some(value);
    }
    // A wrapper, as `Debug` writes it: `Some("hunter 2")`, or a constructor: `String::from("hunter 2")`.
    if bytes[start].is_ascii_uppercase() {
        let name_end = run_end(bytes, start, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if bytes.get(name_end) == Some(&b':') {
            let is_in_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
            let path_end = run_end(bytes, name_end, is_in_path);
            let path = &bytes[start..path_end];
            if (path.ends_with(b"::from") || path.ends_with(b"::new"))
                && bytes[path_end..].starts_with(b"(\"")
            {
                return wrapped(text, start, path_end, named, tokens);
            }
        }
        let open = run_end(bytes, name_end, |byte| byte == b' ');
        let is_bracket = |byte: &u8| *byte == b'(' || (*byte == b'{' && open > name_end);
        if bytes.get(open).is_some_and(is_bracket) {
            return wrapped(text, start, open, named, tokens);
        }
    }
    let token = tokens.end(bytes, start);
    if token - start > LONGEST_WORD {
        // What is long is judged by its beginning: a value that stays is judged again for the next key.
        let is_code =
            || bytes[start..start + LONGEST_WORD].iter().any(|byte| b"(){}[]<>;&|\"'`,".contains(byte));
        return (sign.parameter || !is_code()).then_some(start..token);
    }
    let word = &text[start..token];
    if word.is_empty() || judge::is_placeholder(word) || (sign.digits && judge::is_fraction(word)) {
        return None;
    }
    if sign.is_prose() {
        return in_prose(text, start, token, named);
    }
    let mut follows = &text[token..text.floor_char_boundary(token + 8)];
    // On a command line, which has no blanks around the sign, the next command follows: `DB_PASSWORD=x && ./run`.
    let is_tight = !sign.colon && !sign.spaced && !sign.apart;
    if is_tight && follows.trim_start_matches(' ').starts_with(['&', '|']) {
        follows = "";
    }
    if sign.compares || (!sign.parameter && judge::is_expression(word, follows)) {
        return None;
    }
    let value = if sign.colon {
        after_colon(text, start, token, named, sign)?
    } else {
        after_equals(text, start, token, named, sign)?
    };
    let said = text[value.clone()].trim_ascii_end();
    (!said.is_empty() && judge::looks_the_part(said, named)).then_some(value.start..value.start + said.len())
}

/// `Some("hunter 2")`, `Secret { inner: "hunter 2" }`: only what has something quoted in it, or is a number.
fn wrapped(text: &str, start: usize, open: usize, named: Named, tokens: &mut Tokens) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let digits = run_end(bytes, open + 1, |byte| byte.is_ascii_digit());
    if digits - open > 4 && bytes.get(digits) == Some(&b')') {
        let is_secret = named.kind != SecretKind::Ambiguous && !named.is_weak;
        return is_secret.then_some(start..digits + 1);
    }
    // To look for a quote takes less than to look for the bracket that closes, and most have none.
    let limit = text.floor_char_boundary(open + LONGEST_BRACKET);
    memchr(b'"', &bytes[open..limit])?;
    let inner = tokens.brackets.from(bytes, open, limit);
    let whole = &text[inner.clone()];
    (whole.contains('"') && !names_only(whole, named)).then_some(start..inner.end)
}

/// The rest of the line, or of the cell if the whole array is in one line.
fn printed(text: &str, start: usize) -> Option<Range<usize>> {
    let near = &text[start..text.floor_char_boundary(start + LONGEST_LIST)];
    let line = &near[..near.find(['\r', '\n']).unwrap_or(near.len())];
    let end = [" [", " )"].iter().filter_map(|next| line.find(next)).min().unwrap_or(line.len());
    let said = line[..end].trim_ascii_end();
    (!judge::is_placeholder(said)).then_some(start..start + said.len())
}

/// What is between the sign and the quote that encloses both. Where the first word is a secret, what follows a blank is not.
fn enclosed(text: &str, start: usize, quote: u8) -> Option<Range<usize>> {
    let near = &text[start..text.floor_char_boundary(start + LONGEST_WORD)];
    let bytes = near.as_bytes();
    let mut end = memchr(quote, bytes)?;
    while end > 0 && bytes[end - 1] == b'\\' && bytes[end..].len() > 1 {
        end += 1 + memchr(quote, &bytes[end + 1..])?;
    }
    let said = &near[..end];
    let first = said.split([' ', '\t']).next().unwrap_or_default();
    let has_more = first.len() < said.len();
    let is_value = !said.contains(['=', '\n', '$', '{'])
        && !(has_more && (first.is_empty() || judge::looks_secret(first) || said.contains(", ")))
        && !judge::is_placeholder(said)
        && !judge::is_template(said);
    (is_value && !said.is_empty()).then_some(start..start + end)
}

/// After a colon and a space in a line of text: is it the secret, or does it say something about it?
fn in_prose(text: &str, start: usize, token: usize, named: Named) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let rest = &text[start..];
    let word = &text[start..token];
    let follows = &rest[word.len()..rest.floor_char_boundary(word.len() + 8)];
    if named.kind == SecretKind::Header {
        return headers::value(text, start, token, named).filter(|_| !judge::is_declaration(word, follows));
    }
    if judge::is_expression(word, follows) {
        return None;
    }
    match judge::clause(rest, word, &rest[word.len()..], named) {
        Clause::Prose => None,
        Clause::Word => {
            let end = match scheme(word) {
                Scheme::OneToken if bytes.get(token) == Some(&b' ') => {
                    token_end(bytes, run_end(bytes, token, |byte| byte == b' '))
                }
                _ => token,
            };
            Some(start..end)
        }
        Clause::Whole => {
            let end = words_end(bytes, start);
            let value = text[start..end].trim_ascii_end();
            Some(start..start + value.len())
        }
    }
}

/// After a colon without a space, or under a quoted key.
fn after_colon(text: &str, start: usize, token: usize, named: Named, sign: Sign) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let word = &text[start..token];
    if sign.quoted {
        let is_name = is_name(word, named) && !judge::looks_secret(word);
        return (!is_name || named.kind == SecretKind::Fact).then_some(start..token);
    }
    if sign.field {
        // The next field ends it, or the brace.
        let end = run_end(bytes, start, |byte| !matches!(byte, b':' | b'}' | b'\n'));
        let end = match bytes.get(end) {
            Some(b':') => {
                bytes[start..end].iter().rposition(|byte| *byte == b' ').map_or(end, |space| start + space)
            }
            _ => end,
        };
        return Some(start..end.max(token.min(end)));
    }
    if named.kind == SecretKind::Header {
        return headers::value(text, start, token, named);
    }
    // `auth:8080` is a host and its port, `token:refresh` the name of an event.
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_secret = if is_number {
        word.len() >= 4 && (sign.digits || word.len() > 5)
    } else {
        judge::looks_secret(word) && word.len() >= 5
    };
    let is_secret = is_secret && (named.kind != SecretKind::Words || judge::looks_personal(word));
    (is_secret && !(named.kind == SecretKind::Ambiguous && word.len() < 8)).then_some(start..token)
}

/// Whether a word may be the name of something in a program. With a dash it is none, and a word that people choose.
fn is_name(word: &str, named: Named) -> bool {
    judge::is_word(word) && !(is_strong(named) && word.contains('-') && !word.contains(['.', ':', '_']))
}

fn after_equals(text: &str, start: usize, token: usize, named: Named, sign: Sign) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let word = &text[start..token];
    // A program assigns names and small numbers; a file of settings has nothing else in its line.
    let is_short_code = sign.digits && word.len() == 3;
    let is_small = word.len() < 4 && word.bytes().all(|byte| byte.is_ascii_digit()) && !is_short_code;
    // `pin=17` is one of a board.
    let is_tiny = sign.digits && is_small && word.len() < 3 && !sign.parameter;
    if is_tiny || (is_small && (sign.spaced || sign.apart)) {
        return None;
    }
    if sign.sectioned {
        return Some(
            start..run_end(bytes, start, |byte| !matches!(byte, b';' | b'"' | b'\'' | b'\r' | b'\n')),
        );
    }
    let end = match named.kind {
        SecretKind::Header => match scheme(word) {
            Scheme::None => token,
            Scheme::OneToken => token_end(bytes, run_end(bytes, token, |byte| byte == b' ')),
            Scheme::Line => run_end(bytes, start, |byte| !matches!(byte, b'\r' | b'\n')),
        },
        _ => token,
    };
    if sign.parameter {
        return Some(start..end);
    }
    let is_name = is_name(word, named);
    if sign.spaced || sign.apart {
        let blanks = run_end(bytes, token, |byte| matches!(byte, b' ' | b'\t'));
        let comments = blanks > token && matches!(bytes.get(blanks), Some(b';' | b'#'));
        let is_setting = sign.first && (comments || matches!(bytes.get(token), None | Some(b'\n' | b'\r')));
        let is_code = word.contains(['(', '[', '{', '<', '|', '&'])
            || matches!(bytes.get(token), Some(b';' | b')'))
            || word.starts_with(['*', '-', '!', '/', '.']);
        let keeps = match named.kind {
            SecretKind::Credential | SecretKind::Phrase | SecretKind::Header => {
                (is_name && !is_setting)
                    || (is_code && !judge::looks_secret(word))
                    || (is_code && word.contains(['(', '[']))
            }
            SecretKind::Ambiguous => is_name || is_code || !judge::looks_secret(word),
            SecretKind::Words => !judge::looks_personal(word) || is_code,
            SecretKind::Fact => is_name && !is_setting && !matches!(word, "true" | "false"),
        };
        return (!keeps).then_some(start..end);
    }
    let keeps = match named.kind {
        SecretKind::Ambiguous => {
            (is_name && word.len() < 8) || word.bytes().all(|byte| byte.is_ascii_digit()) && word.len() < 4
        }
        SecretKind::Words => is_name && word.contains('.'),
        _ => false,
    };
    (!keeps).then_some(start..end)
}

/// Where a value of several words ends.
fn words_end(bytes: &[u8], start: usize) -> usize {
    let ends = |&at: &usize| match bytes[at] {
        b',' | b';' | b'|' | b'"' | b'<' | b'>' | b'(' | b')' | b'{' | b'}' | b'\t' | b'\r' | b'\n' => true,
        b'.' | b'\'' => bytes.get(at + 1).is_none_or(u8::is_ascii_whitespace),
        b'#' => at > start && bytes[at - 1] == b' ',
        _ => false,
    };
    (start..bytes.len()).find(ends).unwrap_or(bytes.len())
}
