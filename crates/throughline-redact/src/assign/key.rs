//! What stands before a sign: the sign itself, and the key.

use std::ops::Range;

use memchr::{memrchr2, memrchr3};

use crate::judge;
use crate::keys::{Keys, LONGEST_NAME, Named, Said, SecretKind};
use crate::marker;
use crate::names::{self, List};
use crate::tokens::run_end;
use crate::values::{self, Sign};

/// The most words that a key has in prose: `social security card number`.
const PHRASE_WORDS: usize = 4;
/// How far a sign may stand behind its key, where signs are aligned.
const ALIGNED: usize = 40;

/// What assigns: `=`, `:`, `:=`, `=>`, `==`, `::=`, `?=`, `->`, but no `::`, `://`, `!=`.
pub(super) struct Operator {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_colon: bool,
}

impl Operator {
    pub(super) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let before = bytes[..at].iter().rev().take(3);
        match bytes[at] {
            b'>' => {
                let is_arrow = at > 0 && bytes[at - 1] == b'-' && (at < 2 || bytes[at - 2] != b'-');
                is_arrow.then(|| Self { start: at - 1, end: at + 1, is_colon: true })
            }
            b':' => {
                let is_first = at == 0 || bytes[at - 1] != b':';
                // A sign that ends with `=` is found there.
                let follows = &bytes[at + 1..];
                let is_alone = !matches!(follows, [b':' | b'=', ..] | [b'/', b'/', ..]);
                (is_first && is_alone).then_some(Self { start: at, end: at + 1, is_colon: true })
            }
            _ => {
                let signs =
                    before.take_while(|byte| matches!(byte, b':' | b'?' | b'.' | b'+' | b'|')).count();
                let start = at - signs;
                if start > 0 && matches!(bytes[start - 1], b'=' | b'!' | b'<' | b'>' | b'~') {
                    return None;
                }
                let end = match &bytes[at..] {
                    [b'=', b'=', b'=', ..] => at + 3,
                    [b'=', b'=' | b'>', ..] => at + 2,
                    _ => at + 1,
                };
                Some(Self { start, end, is_colon: false })
            }
        }
    }
}

/// What a glance at what stands before a sign says.
pub(super) enum Glance<'t> {
    /// A plain name that says nothing, as most do.
    Nothing,
    /// A plain name, with nothing around it.
    Plain(Key<'t>),
    /// Something else, or nobody knows: it is left to [`Key::before`], which takes apart all that may be around a key.
    Unsure,
}

/// Looks at what stands before a sign.
pub(super) fn glance<'t>(text: &'t str, from: usize, operator: &Operator, keys: &Keys) -> Glance<'t> {
    let bytes = text.as_bytes();
    let apart = bytes[from..operator.start].last() == Some(&b' ');
    let end = operator.start - usize::from(apart);
    let near = &bytes[from.max(end.saturating_sub(LONGEST_NAME))..end];
    let len = near.iter().rev().take_while(|byte| IS_PLAIN[usize::from(**byte)]).count();
    let start = end - len;
    let before = (start > from).then(|| bytes[start - 1]);
    if len == LONGEST_NAME || before.is_some_and(is_in_name) {
        return Glance::Unsure;
    }
    if len < 2 {
        // No sensitive key has a single letter, and what may be behind a key is one of these.
        let last = near.last().copied().unwrap_or(b' ');
        let may_be_behind = matches!(last, b'"' | b'\'' | b'`' | b']' | b'*' | b'?' | b'}' | b')' | b'>')
            || last.is_ascii_whitespace();
        return if may_be_behind { Glance::Unsure } else { Glance::Nothing };
    }
    let name = &text[start..end];
    // Hours and minutes have no letters.
    if bytes[end - 1].is_ascii_digit() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Glance::Nothing;
    }
    let key = Key::new(name, start, from, None, apart, keys);
    let is_parameter = matches!(before, Some(b'?' | b'&' | b'#'));
    // `password: Option<String> = "x"`
    let may_declare = || {
        let value = || run_end(bytes, operator.end, |byte| byte == b' ');
        !operator.is_colon && matches!(bytes.get(value()), Some(b'"' | b'\'' | b'`' | b'\\' | b'S'))
    };
    let may_end_phrase = || operator.is_colon && before == Some(b' ') && keys.may_end_phrase(name);
    let says_something = key.said.holder.is_some() || key.said.named.is_some();
    let may_tell = is_parameter || says_something || may_declare() || may_end_phrase();
    if may_tell && has_letters(name) { Glance::Plain(key) } else { Glance::Nothing }
}

/// Whether there is more than one letter in a name: no sensitive key has fewer.
fn has_letters(name: &str) -> bool {
    name.bytes().filter(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii()).nth(1).is_some()
}

/// What stands before the sign.
pub(super) struct Key<'t> {
    /// The name next to the sign.
    pub(super) name: &'t str,
    pub(super) start: usize,
    /// No word that belongs to it stands before this.
    pub(super) from: usize,
    /// The quote behind the name, with what escapes it.
    pub(super) quote: Option<&'t str>,
    /// Whether white space stands between it and the sign.
    pub(super) apart: bool,
    pub(super) said: Said,
}

impl<'t> Key<'t> {
    fn new(
        name: &'t str,
        start: usize,
        from: usize,
        quote: Option<&'t str>,
        apart: bool,
        keys: &Keys,
    ) -> Self {
        Self { name, start, from, quote, apart, said: keys.said_by(name) }
    }

    pub(super) fn before(text: &'t str, from: usize, sign: usize, keys: &Keys) -> Option<Self> {
        let bytes = text.as_bytes();
        let is_space = |byte: &&u8| byte.is_ascii_whitespace();
        let space = bytes[from..sign].iter().rev().take(ALIGNED).take_while(is_space).count();
        let apart = space > 0;
        let mut end = before_what_follows(bytes, from, sign - space, apart)?;
        if let [.., b'"' | b'\'' | b'`'] = &bytes[from..end] {
            let quote_end = end;
            end -= 1;
            end -= bytes[from..end].iter().rev().take_while(|byte| **byte == b'\\').count();
            // In a cell of a table all quotes are doubled.
            end -= usize::from(bytes[from..end].last() == Some(&b'"'));
            let quote = Some(&text[end..quote_end]);
            let start = back_while(text, from, end, |byte| !matches!(byte, b'"' | b'\'' | b'`' | b'\n'));
            // A quote that opens nothing closes something else: `user + ':'`.
            let opens = start > from && bytes[start - 1] == bytes[quote_end - 1];
            if !opens || bytes[start..end].iter().any(|byte| matches!(byte, b'(' | b'=' | b'+' | b'{')) {
                return None;
            }
            return Some(Self::new(&text[start..end], start, from, quote, apart, keys));
        }
        // Before a sign without quotes there is no new line.
        if bytes[end..sign].contains(&b'\n') {
            return None;
        }
        let start = back_while(text, from, end, is_in_name);
        // `map[password:x7 user:ada]`
        let start = match bytes[start..end].iter().rposition(|byte| matches!(byte, b'[' | b']')) {
            Some(at) if bytes[start + at] == b'[' => start + at + 1,
            _ => start,
        };
        let name = &text[start..end];
        has_letters(name).then(|| Self::new(name, start, from, None, apart, keys))
    }

    /// Whether a letter or digit stands before the name, with a space between.
    pub(super) fn follows_letter(&self, bytes: &[u8]) -> bool {
        matches!(bytes[self.from..self.start], [.., before, b' '] if before.is_ascii_alphanumeric())
    }

    /// Whether a word stands before the name, with a space between.
    fn follows_word(&self, text: &str) -> bool {
        matches!(text.as_bytes()[self.from..self.start], [.., before, b' '] if is_in_name(before))
    }

    /// Where the words start of which the name, which has no quotes, is the last.
    fn phrase_start(&self, text: &str) -> usize {
        let mut phrase = self.start;
        for _ in 1..PHRASE_WORDS {
            match &text.as_bytes()[self.from..phrase] {
                [.., before, b' '] if is_in_name(*before) => {
                    let longer = back_while(text, self.from, phrase - 1, is_in_name);
                    // What is said of longer phrases would not be remembered.
                    if self.start + self.name.len() - longer > LONGEST_NAME {
                        break;
                    }
                    phrase = longer;
                }
                _ => break,
            }
        }
        phrase
    }

    /// Whether a semicolon stands before, as in connection strings: `Server=db;Password=a b;`.
    pub(super) fn is_sectioned(&self, text: &str) -> bool {
        let before = &text.as_bytes()[self.from..self.phrase_start(text)];
        before.iter().rev().find(|byte| !matches!(byte, b' ' | b'\t')) == Some(&b';')
    }

    /// Whether the name, or words that it is the last of, stand in brackets.
    fn is_in_brackets(&self, text: &str) -> bool {
        let words = &text.as_bytes()[self.from..self.start];
        let near = &words[words.len().saturating_sub(LONGEST_NAME)..];
        let is_open = || memrchr3(b'[', b']', b'\n', near).is_some_and(|at| near[at] == b'[');
        self.name.ends_with(']') && (self.name.starts_with('[') || is_open())
    }

    pub(super) fn sign(&self, text: &str, operator: &Operator) -> Sign {
        let bytes = text.as_bytes();
        let before = self.start.checked_sub(1).map(|at| bytes[at]);
        let is_bare = self.quote.is_none();
        let spaced = bytes.get(operator.end).is_some_and(u8::is_ascii_whitespace);
        Sign {
            colon: operator.is_colon,
            quoted: self.quote.is_some(),
            spaced,
            apart: self.apart,
            sectioned: false,
            parameter: is_bare && (matches!(before, Some(b'?' | b'&')) || self.is_in_fragment(bytes)),
            first: matches!(before, None | Some(b'\n')),
            field: false,
            compares: operator.end - operator.start > 1
                && !operator.is_colon
                && bytes[operator.start..operator.end].starts_with(b"=="),
            digits: false,
            enclosed: before.filter(|byte| {
                let is_tight = !spaced && !self.apart && !operator.is_colon;
                is_bare && is_tight && matches!(byte, b'"' | b'\'')
            }),
            printed: is_bare
                && bytes[operator.start..operator.end] == *b"=>"
                && self.name.starts_with('[')
                && self.name.ends_with(']'),
        }
    }

    /// Whether it is the first in the fragment of a URL: `/callback#token=x`.
    fn is_in_fragment(&self, bytes: &[u8]) -> bool {
        matches!(bytes[..self.start], [.., before, b'#'] if before == b'/' || before.is_ascii_alphanumeric())
    }

    /// Whether it is a field of a struct as Go prints it, in braces and without quotes.
    pub(super) fn is_field(&self, bytes: &[u8]) -> bool {
        let is_named = self.name.starts_with(|c: char| c.is_ascii_uppercase());
        let back = &bytes[self.start.saturating_sub(2 * LONGEST_NAME)..self.start];
        let in_braces = || {
            memrchr2(b'{', b'}', back).is_some_and(|at| {
                back[at] == b'{' && !back[at..].iter().any(|byte| matches!(byte, b'"' | b'\n' | b','))
            })
        };
        is_named && matches!(back.last(), Some(b'{' | b' ')) && in_braces()
    }

    /// What a shell takes if the variable is not set: `${DB_PASSWORD:-hunter2}`.
    pub(super) fn expansion(&self, text: &str, operator: &Operator) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        if !bytes[..self.start].ends_with(b"${") || bytes[operator.start] != b':' {
            return None;
        }
        let start = operator.end + usize::from(bytes.get(operator.end) == Some(&b'-'));
        let near = text.get(start..text.floor_char_boundary(start + LONGEST_NAME))?;
        let said = &near[..near.find('}')?];
        let is_value =
            start - operator.start == 2 && !said.starts_with(['$', '?']) && !judge::is_placeholder(said);
        (is_value && !judge::is_nothing(said, SecretKind::Credential)).then_some(start..start + said.len())
    }

    /// The mark for a value: JSON stays JSON.
    pub(super) fn mark(&self, bytes: &[u8], value: &Range<usize>) -> &'static str {
        let is_quoted = value.start > 0 && matches!(bytes[value.start - 1], b'"' | b'\'' | b'`');
        match self.quote {
            Some("\"") if !is_quoted => marker::REDACTED_JSON,
            Some("\\\"") if !is_quoted => marker::REDACTED_INNER_JSON,
            _ => marker::REDACTED,
        }
    }

    /// What it names, and where the name stands: it may be a phrase, of which the key is the last word.
    pub(super) fn classify(&self, text: &str, keys: &Keys, sign: Sign) -> Option<(Named, Range<usize>)> {
        let end = self.start + self.name.len();
        let itself = |named: Named| (named, self.start..end);
        let by_phrase = || {
            let may_be = sign.is_prose() && self.follows_word(text) && keys.may_end_phrase(self.name);
            let start = if may_be { self.phrase_start(text) } else { self.start };
            if start < self.start {
                // `the new token is: x7`
                let phrase = text[start..end].strip_suffix(" is").unwrap_or(&text[start..end]);
                keys.classify_phrase(phrase).map(|named| (named, start..start + phrase.len()))
            } else {
                None
            }
        };
        let by_parameter = || {
            let is_one = sign.parameter
                && names::table().lists.has_in_any_case(List::Parameters, self.name)
                && !keys.keeps(self.name);
            let named = Named { kind: SecretKind::Credential, is_weak: true, is_head: true };
            is_one.then(|| itself(named))
        };
        let (named, name) = self.said.named.map(itself).or_else(by_phrase).or_else(by_parameter)?;
        if sign.quoted {
            return Some((named, name));
        }
        // `[token]: https://…` labels a link, `http://auth:8080` names a host, `user:token:7` is a path of names.
        let is_label = sign.colon && self.is_in_brackets(text);
        let is_setting = !sign.colon && !sign.spaced && !sign.apart;
        let before = self.start.checked_sub(1).map(|at| text.as_bytes()[at]);
        let is_tight = sign.colon && !sign.spaced;
        if is_tight && matches!(before, Some(b':' | b'/' | b'@')) && !self.name.starts_with('_') {
            return None;
        }
        let is_named = named.is_head || is_setting || sign.parameter;
        // `PasswordResetError: connection refused` names an error, not a password.
        let is_outcome = sign.is_prose() && names::table().lists.end(List::Outcomes, self.name);
        (is_named && !is_label && !is_outcome).then_some((named, name))
    }

    /// What a declaration names before the type: `db_password: Option<String> = "x"`, `var token string = "x"`.
    pub(super) fn declared(
        &self,
        text: &str,
        keys: &Keys,
        operator: &Operator,
    ) -> Option<(Named, Range<usize>)> {
        let bytes = text.as_bytes();
        if operator.is_colon || bytes[operator.start..operator.end].starts_with(b"==") {
            return None;
        }
        let value = run_end(bytes, operator.end, |byte| byte == b' ');
        let wraps = |wrapper: &[u8]| bytes[value..].starts_with(wrapper);
        if values::quote(bytes, value).is_none() && !wraps(b"Some(\"") && !wraps(b"String::from(\"") {
            return None;
        }
        let from = text.ceil_char_boundary(self.start.saturating_sub(LONGEST_NAME));
        let near = text.get(from..self.start)?;
        let from = from + near.rfind(['\n', ';', '(', '{', ',', '=', '"']).map_or(0, |at| at + 1);
        let line = &text[from..self.start];
        let before = match line.rfind(": ").or_else(|| line.rfind(':')) {
            Some(colon) => line[..colon].trim_end(),
            None => line.strip_suffix(' ')?.trim_end(),
        };
        let name = before.rsplit(' ').next()?;
        let named = keys.classify_name(name).filter(|named| named.is_head && named.kind != SecretKind::Fact);
        named.map(|named| (named, from + before.len() - name.len()..from + before.len()))
    }
}

/// Where the name ends, or the quote behind it, that something may follow before white space and the sign; most often nothing does.
fn before_what_follows(bytes: &[u8], from: usize, end: usize, apart: bool) -> Option<usize> {
    if !matches!(bytes[from..end], [.., b']' | b'*' | b'?' | b'}' | b')' | b'>']) {
        return Some(end);
    }
    let mut end = end;
    // data['password'] = …
    // `["password":protected]=>`, as PHP prints a field.
    let visibility =
        [&b"\":protected]"[..], b"\":private]"].into_iter().find(|end_of| bytes[from..end].ends_with(end_of));
    end -= visibility.map_or(0, |visibility| visibility.len() - 1);
    if let [.., b'"' | b'\'', b']'] = &bytes[from..end] {
        end -= 1;
    }
    // **password**: x
    if let [.., b'*', b'*'] = &bytes[from..end] {
        end -= 2;
    }
    // var password: String? = "x"
    if let [.., b'?'] = &bytes[from..end] {
        end -= 1;
    }
    // public string Password { get; set; } = "x"
    if bytes[from..end].ends_with(b"; }") {
        let earliest = from.max(end.saturating_sub(ALIGNED));
        end = earliest + bytes[earliest..end].iter().rposition(|byte| *byte == b'{')?;
        end -= usize::from(bytes[from..end].ends_with(b" "));
    }
    // DECLARE @password varchar(20) = 'x'
    if apart
        && let [.., digit, b')'] = bytes[from..end]
        && digit.is_ascii_digit()
    {
        let earliest = from.max(end.saturating_sub("(4000)".len()));
        end = earliest + bytes[earliest..end].iter().rposition(|byte| *byte == b'(')?;
    }
    // The type of a declaration: `password: Option<String> = "x"`.
    if let [.., b'>'] = &bytes[from..end] {
        let earliest = from.max(end.saturating_sub(ALIGNED));
        end = earliest + bytes[earliest..end].iter().position(|byte| *byte == b'<')?;
    }
    Some(end)
}

/// What names are made of, and nothing that stands around them.
const IS_PLAIN: [bool; 256] = {
    let mut is_plain = values::of_bytes(b"_-.$");
    let mut byte = 0;
    while byte < 256 {
        is_plain[byte] |= (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    is_plain
};

/// What names are made of, without quotes around them.
const IN_NAME: [bool; 256] = {
    let mut in_name = values::of_bytes(b"_-.[]$");
    let mut byte = 0;
    while byte < 256 {
        in_name[byte] |= byte >= 0x80 || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    in_name
};

fn is_in_name(byte: u8) -> bool {
    IN_NAME[usize::from(byte)]
}

/// The start of the run of such bytes that ends here.
fn back_while(text: &str, from: usize, end: usize, is_part: impl Fn(u8) -> bool) -> usize {
    let earliest = from.max(end.saturating_sub(LONGEST_NAME));
    let run = text.as_bytes()[earliest..end].iter().rev().take_while(|byte| is_part(**byte)).count();
    text.ceil_char_boundary(end - run)
}
