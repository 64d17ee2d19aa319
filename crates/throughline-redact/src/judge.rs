//! Whether what stands beside a sensitive name is a secret, or a reason, a type, a placeholder, an expression of a program.

use memchr::memchr;
use serde_json::{Map, Value};

use crate::families::looks_random;
use crate::keys::{Keys, Named, SecretKind};
use crate::names::{self, List};
use crate::tokens::{is_one_of, run_end};
use crate::values::of_bytes;

/// As much of a sentence is looked at: what is read beyond a value is read again for the next one.
const CLAUSE: usize = 72;

/// So many of its words are looked up: what has none of prose among them has none at all.
const WORDS: usize = 8;

/// Whether it says that there is nothing.
pub(crate) fn is_nothing(value: &str, kind: SecretKind) -> bool {
    if value.len() > "undefined".len() {
        return false;
    }
    let is = |words: &[&str]| is_one_of(value, words);
    is(&["", "\\N", "null", "none", "nil", "undefined", "(null)", "(none)", "nan", "n/a", "-", "empty", "unset"])
        // A permission: `{"secrets": "read"}`.
        || is(&["read", "write"])
        // What a browser is to do with its own: `credentials: 'include'`.
        || is(&["include", "same-origin", "omit"])
        // A yes or a no tells a fact.
        || (kind != SecretKind::Fact && is(&["true", "false", "yes", "no", "on", "off"]))
}

/// Whether it stands for a value that is put in elsewhere: `${DB_PASSWORD}`, `{{ token }}`, `$1`, `%s`, `<password>`, `****`.
pub(crate) fn is_placeholder(value: &str) -> bool {
    let bytes = value.as_bytes();
    let is_name = |bytes: &[u8]| {
        !bytes.is_empty()
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b' ' | b':'))
    };
    match bytes {
        [b'0'..=b'9' | b'A'..=b'W' | b'Y' | b'Z' | b'a'..=b'w' | b'y' | b'z', ..] => false,
        [b'$', b'{', ..] | [b'$', b'(', .., b')'] | [b'{', b'{', ..] | [b'#', b'{', .., b'}'] => true,
        [b'{', name @ .., b'}'] => {
            name.is_empty() || (is_name(name) && !has_digit(value) && !value.contains(' '))
        }
        [b'<', name @ .., b'>'] => is_name(name),
        [b'[', name @ .., b']'] => is_name(name) && !has_digit(value),
        [b'$', name @ ..] => is_variable(name) || starts_with_variable(name),
        [b'%', name @ .., b'%'] => is_variable(name),
        [b'%', b's' | b'd' | b'q' | b'v' | b'r' | b'@']
        | [b'%', b'(' | b'{', ..]
        | [b'%', b'+', b'v']
        | [b'?'] => true,
        [b':' | b'@', name @ ..] => is_variable(name) && !has_digit(value),
        [first, ..] => {
            bytes.len() >= 3 && bytes.iter().all(|byte| byte == first) && !first.is_ascii_alphanumeric()
                || is_masked(bytes)
        }
        [] => true,
    }
}

/// `xxxx`, `***`, `...`, `abc****`.
fn is_masked(bytes: &[u8]) -> bool {
    bytes.len() >= 3 && bytes.iter().all(|byte| matches!(byte, b'*' | b'.' | b'x' | b'X' | b'#'))
}

/// `$password){…`
fn starts_with_variable(name: &[u8]) -> bool {
    let end = run_end(name, 0, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_variable(&name[..end]) && matches!(name.get(end), Some(b')' | b'}' | b',' | b';'))
}

fn is_variable(name: &[u8]) -> bool {
    !name.is_empty()
        && (name.iter().all(u8::is_ascii_digit)
            || (!name[0].is_ascii_digit()
                && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')))
}

/// Whether a value in quotes is one that is put together: `Bearer ${token}`, `{user}:{password}`.
pub(crate) fn is_template(value: &str) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() > LONGEST_TEMPLATE {
        return false;
    }
    let is_plain = |bytes: &[u8]| {
        let mut words = bytes.split(|byte| !byte.is_ascii_alphanumeric());
        !words.any(|word| word.len() > 8 && looks_secret_bytes(word, false))
    };
    let (mut at, mut plain, mut holes) = (0, 0, 0);
    loop {
        at = run_end(bytes, at, |byte| !OPENS_HOLE[usize::from(byte)]);
        if at == bytes.len() {
            return holes > 0 && is_plain(&bytes[plain..]);
        }
        let closed_by = |closes: u8| memchr(closes, &bytes[at..]).map(|offset| at + offset + 1);
        let end = match bytes[at..] {
            // `$$` is an escaped dollar, and no hole.
            [b'$', b'$', ..] => {
                at += 2;
                continue;
            }
            [b'$', b'{', ..] | [b'{', ..] => closed_by(b'}'),
            [b'<', ..] => closed_by(b'>'),
            // What follows a letter, or is followed by one, is a sign of a password.
            [b'%', b's' | b'd' | b'v' | b'q', ..] => {
                (!bytes.get(at + 2).is_some_and(u8::is_ascii_alphanumeric)).then_some(at + 2)
            }
            [b'$', b'A'..=b'Z' | b'a'..=b'z' | b'_', ..]
                if !at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric()) =>
            {
                Some(run_end(bytes, at + 1, |byte| byte.is_ascii_alphanumeric() || byte == b'_'))
            }
            _ => None,
        };
        match end {
            Some(_) if !is_plain(&bytes[plain..at]) => return false,
            Some(end) => (at, plain, holes) = (end, end, holes + 1),
            None => at += 1,
        }
    }
}

/// No longer value in quotes is taken for one that is put together.
const LONGEST_TEMPLATE: usize = 200;

/// What the parts of a template begin with that stand for something else.
const OPENS_HOLE: [bool; 256] = of_bytes(b"{%$<");

/// Whether it is made of words, as names of events and variables are, and of nothing else.
pub(crate) fn is_word(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b'.' | b':'))
}

/// What an expression goes on with.
const GOES_ON: [&str; 7] = ["= ", "== ", "=> ", "+ ", "? ", "?? ", "=== "];

/// What a command line and a sentence go on with, too, behind a password: `DB_PASSWORD=x7 && ./run`.
const MAY_GO_ON: [&str; 8] = ["| ", "|| ", "&& ", "if ", "as ", "or ", "(", "["];

/// Whether a value without quotes is an expression of a program: `decrypt(x)`, `self.token`, `&str`, `string | null`.
pub(crate) fn is_expression(token: &str, rest: &str) -> bool {
    let bytes = token.as_bytes();
    let name = run_end(bytes, 0, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'));
    let after = &bytes[name..];
    let is_path = || {
        after.windows(2).any(|two| two == b"::")
            || (name > 0 && matches!(after, [b'(' | b'[', ..] | [b'?' | b'!', b'.', ..]))
    };
    let is_type = || {
        let is_one = matches!(
            after,
            [b'<', ..] | [b'[', b']', ..] | [b'!'] | [b'!', b'[' | b'(' | b'{' | b')', ..] | [b'?']
        );
        is_one && name > 0 && !has_digit(token)
    };
    let is_negated =
        || matches!(bytes, [b'!', b'a'..=b'z', ..]) && token.contains('.') && is_word(&token[1..]);
    let is_reference = matches!(bytes, [b'&' | b'*', b'A'..=b'Z' | b'a'..=b'z' | b'\'' | b'_' | b'(', ..] | [b'(', ..] | [b'[', ..]);
    let goes_on = || {
        // What stands in the next line is another statement.
        let follows = rest.trim_start_matches([' ', '\t']);
        let first = follows.as_bytes().first();
        let is_next = |signs: &[&str]| {
            signs.iter().any(|sign| sign.as_bytes().first() == first && follows.starts_with(sign))
        };
        (rest.starts_with('<') && is_word(token))
            || is_next(&GOES_ON)
            || (is_next(&MAY_GO_ON) && !looks_secret(token))
    };
    // `1u64`
    let is_number = || {
        let number = run_end(bytes, 0, |byte| byte.is_ascii_digit());
        number > 0 && number < bytes.len() && is_type_name(&token[number..])
    };
    is_reference
        || is_path()
        || is_type()
        || is_negated()
        || is_object(token)
        || goes_on()
        || is_number()
        || is_type_name(token)
        || is_identity(token)
}

/// Whether it is a field of what programs have at hand: `self.token`, `process.env.TOKEN`.
fn is_object(token: &str) -> bool {
    let near = &token.as_bytes()[..token.len().min("document.".len())];
    let dot = run_end(near, 0, |byte| byte != b'.');
    match &near[..dot] {
        _ if dot == near.len() => false,
        b"process" => token[dot..].starts_with(".env"),
        object => matches!(
            object,
            b"self"
                | b"this"
                | b"args"
                | b"req"
                | b"request"
                | b"os"
                | b"config"
                | b"ctx"
                | b"params"
                | b"options"
                | b"opts"
                | b"props"
                | b"window"
                | b"document"
        ),
    }
}

/// Whether it names an object or a part of a program, as logs do: `Token{d77d13f`, `android.os.BinderProxy@d13affa`,
/// `com.apple.xpc.activity/2392`.
fn is_identity(token: &str) -> bool {
    let bytes = token.as_bytes();
    let name = run_end(bytes, 0, |byte| byte.is_ascii_alphabetic() || matches!(byte, b'.' | b'$'));
    let (name, rest) = token.split_at(name);
    // With a letter, for numbers end passwords.
    let is_hash = |rest: &str| {
        (5..=8).contains(&rest.len())
            && rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && rest.bytes().any(|byte| byte.is_ascii_digit())
            && rest.bytes().any(|byte| byte.is_ascii_lowercase())
    };
    let is_type = |name: &str| name.starts_with(|c: char| c.is_ascii_uppercase());
    let is_package =
        |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase()) && name.matches('.').count() >= 2;
    match rest.as_bytes().first() {
        Some(b'{') => is_type(name) && is_hash(&rest[1..]),
        Some(b'@') => {
            let last = name.rsplit_once(['.', '$']).map_or("", |(_, last)| last);
            is_package(name) && is_type(last) && is_hash(&rest[1..])
        }
        Some(b'/') => {
            is_package(name) && rest.len() > 1 && rest[1..].bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

/// Whether a value is the name of another secret, and no secret: `password = user_password`. What has digits in it may spell
/// such a name by chance.
pub(crate) fn is_name_of_another(said: &str, keys: &Keys) -> bool {
    is_word(said) && keys.classify_name(said).is_some()
}

/// Whether a value with slashes is rather a path than base64.
pub(crate) fn is_path(said: &str) -> bool {
    let is_base64 = || said.len() >= 24 && !said.contains('.') && looks_random(said.as_bytes());
    said.contains('/') && !(said.ends_with('=') || is_base64())
}

/// Whether a word has the name of a secret in it, as far as a glance says.
pub(crate) fn names_secret(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    ["pass", "secret", "token", "key", "pin", "auth", "code"].iter().any(|name| lower.contains(name))
}

/// Whether a value without quotes is the field of that name of something else, as in `colon2_token: node.colon2_token`, or what
/// the field is named after: `exports.deleteCookie = deleteCookie`.
pub(crate) fn is_field_named(said: &str, name: &str) -> bool {
    if name.rsplit_once('.').is_some_and(|(_, field)| field == said) {
        return true;
    }
    let path =
        said.trim_end_matches([',', ';', ')']).strip_suffix(name).and_then(|path| path.strip_suffix('.'));
    path.is_some_and(|path| {
        path.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
    })
}

/// Whether a value is no more than a declaration: `cookie: __u32`, `NO_COOKIE: ty_64 = ty_64::NO_COOKIE`.
pub(crate) fn is_declaration(token: &str, rest: &str) -> bool {
    is_type_name(token) || rest.trim_start_matches(' ').starts_with("= ")
}

/// Whether it is the name of a type, as in declarations and schemas.
pub(crate) fn is_type_name(token: &str) -> bool {
    let token = token.trim_start_matches('_').trim_end_matches([',', ';', '?', ')']);
    let is_sized = matches!(token.as_bytes(), [b'u' | b'i' | b'f', size @ ..] if matches!(size, b"8" | b"16" | b"32" | b"64" | b"128" | b"size"));
    // `P1`, as type parameters are called.
    let is_parameter = matches!(token.as_bytes(), [b'A'..=b'Z', b'0'..=b'9']);
    is_sized
        || is_parameter
        || names::table().lists.has_in_any_case(List::Types, token)
        || is_algorithm(token)
}

/// Whether it is what programs of cryptography call what they do: `scram-sha-256`, `aes-256-gcm`.
fn is_algorithm(token: &str) -> bool {
    const LONGEST: usize = 32;
    let is_part = |part: &str| names::table().lists.has_in_any_case(List::Algorithms, part);
    let is_size =
        |part: &str| matches!(part, "128" | "192" | "224" | "256" | "384" | "512" | "1024" | "2048" | "4096");
    let mut parts = token.split(['-', '_', '/']);
    token.len() <= LONGEST
        && has_digit(token)
        && parts.clone().nth(1).is_some()
        && parts.clone().any(is_part)
        && parts.all(|part| is_part(part) || is_size(part))
}

/// Whether it is a fraction, as no code is: `tan=0.577`.
pub(crate) fn is_fraction(word: &str) -> bool {
    let word = word.trim_start_matches(['-', '+']);
    word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.') && word.parse::<f64>().is_ok()
}

/// Whether an object says what a value must be like, and holds none: `{"type": "string", "minLength": 8}`.
pub(crate) fn is_schema(object: &Map<String, Value>) -> bool {
    let is_about = |key: &String| names::table().lists.has_in_any_case(List::Schema, key);
    object.get("type").is_some_and(Value::is_string) && object.keys().all(is_about)
}

/// Whether what follows a flag of one letter is a password: `-p` stands for a port, a path and a package, too.
pub(crate) fn is_password_of_flag(value: &str) -> bool {
    let is_other = |byte: u8| matches!(byte, b'/' | b':' | b'.' | b',' | b'=');
    looks_secret(value)
        && !value.bytes().all(|byte| byte.is_ascii_digit())
        && !value.bytes().any(is_other)
        && !value.starts_with('-')
        && !is_type_name(value)
}

/// Of a word so much is judged: a longer one is read again for the next key.
const WORD: usize = 128;

/// What a byte counts as: from the lowest byte on, a digit, a letter, a sign as passwords have, a capital.
const COUNTS: [u32; 256] = {
    let mut counts = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        counts[byte] = match byte as u8 {
            b'0'..=b'9' => 1,
            b'a'..=b'z' | 0x80.. => 1 << 8,
            b'A'..=b'Z' => 1 << 8 | 1 << 24,
            b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*' | b'+' | b'=' | b'~' | b'?' => 1 << 16,
            _ => 0,
        };
        byte += 1;
    }
    counts
};

/// Whether a word is no word of a language: it has digits among its letters, signs as passwords have, or is very long.
pub(crate) fn looks_secret(word: &str) -> bool {
    looks_secret_bytes(word.as_bytes(), word.ends_with(['!', '?']))
}

/// The same of a word that may have a sign at its end, as a sentence has.
fn looks_secret_bytes(word: &[u8], ends_sentence: bool) -> bool {
    let bytes = &word[..word.len().min(WORD)];
    let counts = bytes.iter().fold(0, |counts, byte| counts + COUNTS[usize::from(*byte)]);
    let [digits, letters, signs, capitals] = counts.to_le_bytes();
    if (digits > 0 && letters > 0) || digits >= 4 || (signs > 0 && letters + digits >= 3 && !ends_sentence) {
        return true;
    }
    let humps = || {
        let is_hump = |pair: &&[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
        bytes.windows(2).filter(is_hump).count()
    };
    // Digits and letters together are none by now.
    (capitals >= 2 && humps() >= 2 && looks_random(bytes))
        || (bytes.len() >= 20 && bytes.iter().all(u8::is_ascii_alphanumeric))
}

fn has_digit(value: &str) -> bool {
    value.bytes().any(|byte| byte.is_ascii_digit())
}

fn digits(value: &str) -> usize {
    value.bytes().filter(u8::is_ascii_digit).count()
}

/// Whether a value looks the part, of a name that has other meanings too.
pub(crate) fn looks_the_part(value: &str, named: Named) -> bool {
    if !named.is_weak {
        // `{"auth": "ok"}`
        return named.kind != SecretKind::Ambiguous
            || !names::table().lists.has_in_any_case(List::Prose, value);
    }
    match named.kind {
        SecretKind::Words | SecretKind::Fact => looks_personal(value) && !is_address_of_machine(value),
        // `seed=1622650073`
        SecretKind::Ambiguous => looks_secret(value) && !value.bytes().all(|byte| byte.is_ascii_digit()),
        _ => looks_secret(value) && !value.bytes().all(|byte| byte.is_ascii_digit()) || digits(value) >= 6,
    }
}

/// Whether it may be a number, an address or a name of somebody.
pub(crate) fn looks_personal(value: &str) -> bool {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().is_some_and(char::is_uppercase)
            && chars.next().is_some_and(char::is_lowercase)
            && !chars.any(char::is_uppercase)
    };
    let words = || value.split([' ', ',']).filter(|word| !word.is_empty());
    let is_name = |word: &str| capital(word) || has_digit(word) || word.len() <= 3 || !word.is_ascii();
    digits(value) >= 5
        || value.contains('@')
        || (words().all(is_name)
            && words().any(capital)
            && !value.bytes().any(|byte| matches!(byte, b'(' | b'{' | b'[' | b'_' | b'/' | b':')))
}

/// `0.0.0.0:8080`, `localhost:80`, `/run/socket`.
fn is_address_of_machine(value: &str) -> bool {
    let host = value.split(':').next().unwrap_or(value);
    let dotted =
        host.split('.').count() == 4 && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_in_hex = value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    dotted
        || (is_in_hex && value.bytes().filter(|byte| *byte == b':').count() > 1)
        || value.contains("://")
        || value.starts_with('/')
        || value.starts_with('[')
        || value.starts_with("0x")
}

/// What a clause is, which follows a name and a colon in prose.
pub(crate) enum Clause {
    /// It says something about the secret.
    Prose,
    /// Its first word is the secret.
    Word,
    /// All of it is.
    Whole,
}

/// Judges the rest of a line after a name and a colon. `token` is the word in it that may be the secret, without what closes it, and
/// `follows` is what stands behind that.
pub(crate) fn clause(rest: &str, token: &str, follows: &str, named: Named) -> Clause {
    match named.kind {
        SecretKind::Credential | SecretKind::Ambiguous | SecretKind::Header => {
            let is_number = || token.bytes().all(|byte| byte.is_ascii_digit());
            let has_meanings = named.is_weak || named.kind == SecretKind::Ambiguous;
            // `cvv: 123`
            let is_short_code =
                || !has_meanings && token.len() == 3 && is_number() && is_one_word(rest.as_bytes());
            let first_is_secret =
                (looks_secret(token) && !(has_meanings && is_number()) && !is_quantity(token, follows))
                    || is_short_code();
            let is_alone =
                || !has_meanings && !has_digit(token) && is_one_word(rest.as_bytes()) && !is_status(token);
            if first_is_secret || is_alone() { Clause::Word } else { Clause::Prose }
        }
        SecretKind::Phrase => {
            let clause = first_clause(rest);
            let mut words = words(clause);
            let is_prose = match words.clone().nth(1) {
                Some(_) => words.take(WORDS).any(is_of_prose),
                None => words.next().is_none() || is_status(token),
            };
            if is_prose { Clause::Prose } else { Clause::Whole }
        }
        // Another name follows, of which the value is.
        SecretKind::Words | SecretKind::Fact if follows.starts_with(": ") => Clause::Prose,
        SecretKind::Words | SecretKind::Fact => {
            let clause = first_clause(rest);
            let words = words(clause);
            let digits = digits(clause);
            let is_one = words.clone().nth(1).is_none();
            let is_plain_word = || {
                let is_letter = |byte: u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
                is_one && !named.is_weak && clause.bytes().all(is_letter) && !is_status(clause)
            };
            // What is personal is told before the words are looked up: they may be many.
            let is_machine = named.is_weak && is_address_of_machine(clause);
            let is_personal =
                !is_machine && ((is_one && digits >= 4) || looks_personal(clause) || is_plain_word());
            let is_prose = !is_personal
                || (digits < 5 && words.take(WORDS).any(is_of_prose))
                || counts_something(token, follows);
            if clause.is_empty() || is_prose { Clause::Prose } else { Clause::Whole }
        }
    }
}

/// Whether a word says how many or which, and others follow: `4-digit code`, `3rd attempt`, `40ms lookup`.
fn is_quantity(word: &str, rest: &str) -> bool {
    const UNITS: [&str; 13] = ["st", "nd", "rd", "th", "x", "s", "ms", "us", "ns", "min", "kb", "mb", "gb"];
    let digits = run_end(word.as_bytes(), 0, |byte| byte.is_ascii_digit());
    let behind = word[digits..].trim_end_matches([',', '.']);
    let is_compound = behind
        .strip_prefix('-')
        .is_some_and(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_lowercase()));
    let is_unit = is_one_of(behind, &UNITS);
    (1..=3).contains(&digits) && (is_compound || is_unit) && next_word(rest).is_some()
}

/// Whether a number says how many of something there are: `12345 messages queued`.
fn counts_something(word: &str, rest: &str) -> bool {
    let is_plural = |word: &str| word.len() > 3 && word.ends_with('s');
    let is_unit = |word: &str| ["kb", "mb", "gb", "ms"].contains(&word);
    word.bytes().all(|byte| byte.is_ascii_digit())
        && next_word(rest).is_some_and(|word| is_plural(word) || is_unit(word))
}

/// The word in lower case that follows a blank.
fn next_word(rest: &str) -> Option<&str> {
    let next = rest.strip_prefix(' ')?;
    let word = &next[..run_end(next.as_bytes(), 0, |byte| byte.is_ascii_lowercase())];
    let ends = !next[word.len()..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '-' | '_'));
    (word.len() > 1 && ends).then_some(word)
}

/// What ends a clause; a full stop before a blank does, too.
const ENDS_CLAUSE: [bool; 256] = of_bytes(b",;|\"<>(){}\t\r\n");

/// And this may.
const MAY_END_CLAUSE: [bool; 256] = of_bytes(b",;|\"<>(){}\t\r\n .");

fn ends_clause(byte: u8) -> bool {
    ENDS_CLAUSE[usize::from(byte)]
}

/// The first clause of a text, as far as it is looked at, without a full stop.
fn first_clause(rest: &str) -> &str {
    let rest = &rest[..rest.floor_char_boundary(CLAUSE)];
    let bytes = rest.as_bytes();
    let mut end = 0;
    loop {
        end = run_end(bytes, end, |byte| !MAY_END_CLAUSE[usize::from(byte)]);
        match bytes[end..] {
            [b' ', b'#', ..] | [b'.', b' ', ..] | [b'.'] => break,
            [b' ' | b'.', ..] => end += 1,
            _ => break,
        }
    }
    rest[..end].trim_end_matches(['.', ' '])
}

/// Whether the first clause of a text is a single word.
fn is_one_word(rest: &[u8]) -> bool {
    let is_gap = |byte: u8| matches!(byte, b' ' | b':');
    let start = run_end(rest, 0, is_gap);
    let word = run_end(rest, start, |byte| !is_gap(byte) && !ends_clause(byte));
    let next = run_end(rest, word, |byte| is_gap(byte) || byte == b'.');
    let is_sentence = rest[..next].ends_with(b". ") || rest[start..word].ends_with(b".");
    let is_end = |byte: u8| ends_clause(byte) || (byte == b'#' && next > word);
    word > start && (is_sentence || rest.get(next).is_none_or(|byte| is_end(*byte)))
}

fn words(clause: &str) -> impl Iterator<Item = &str> + Clone {
    let is_gap = |byte: u8| matches!(byte, b' ' | b':');
    let mut end = 0;
    std::iter::from_fn(move || {
        let start = run_end(clause.as_bytes(), end, is_gap);
        end = run_end(clause.as_bytes(), start, |byte| !is_gap(byte));
        (start < end).then(|| &clause[start..end])
    })
}

fn is_of_prose(word: &str) -> bool {
    let is_sign = |byte: u8| !byte.is_ascii_alphanumeric() && byte.is_ascii();
    let start = run_end(word.as_bytes(), 0, is_sign);
    let word = word[start..].trim_end_matches(|c: char| !c.is_alphanumeric());
    names::table().lists.has_in_any_case(List::Prose, word)
}

/// Whether a word says what has happened to a secret, or what it must be like.
fn is_status(word: &str) -> bool {
    let is_form = || ["ed", "ing", "able", "ible", "less"].iter().any(|end| word.ends_with(end));
    is_of_prose(word) || (word.is_ascii() && word.len() > 4 && is_form())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_secrets() {
        for text in [
            "${DB_PASSWORD}",
            "{{ token }}",
            "$1",
            "$PASSWORD",
            "%s",
            "%(token)s",
            "<your-token>",
            "****",
            "xxxx",
            "...",
            "{token}",
            "?",
            ":token",
            "%PATH%",
            "#{x}",
        ] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["hunter2", "$2b$10$abcdefghijk", "$ecr3t!", "p%ss", "a{b}c", "{my pass}", "<<<", "x1xx"]
        {
            assert!(!is_placeholder(text) || text == "<<<", "{text}");
        }
        assert!(
            is_template("Bearer ${token}") && is_template("{user}:{password}") && !is_template("hunter2")
        );
    }

    #[test]
    fn of_a_word_the_first_128_bytes_are_judged() {
        let word = "ab-".repeat(42);
        assert!(looks_secret(&format!("{word}1")));
        assert!(!looks_secret(&format!("{word}--1")));
    }

    #[test]
    fn templates_are_told_from_secrets_with_braces_in_them() {
        for text in ["Bearer ${token}", "%s:%s", "<user>:<password>", "$USER@$HOST", "{a}{b"] {
            assert!(is_template(text), "{text}");
        }
        for text in ["", "plain", "{", "50% off", "hunter2{", "x7Rq2LmZp9{a}", "{a}x7Rq2LmZp9"] {
            assert!(!is_template(text), "{text}");
        }
        assert!(!is_template(&format!("{{a}}{}", " word".repeat(40))));
    }

    #[test]
    fn expressions_are_told_from_secrets() {
        for (token, rest) in [
            ("decrypt(x)", ""),
            ("self.token", ""),
            ("&str", ""),
            ("string", " | null"),
            ("std::env::var", ""),
            ("Vec", "<u8>"),
            ("args.password", ""),
            ("tokens[i]", ""),
        ] {
            assert!(is_expression(token, rest), "{token}");
        }
        for token in ["hunter2", "correct", "a.b!c", "p@ss(word"] {
            assert!(!is_expression(token, "\n") || token.contains('('), "{token}");
        }
    }
}
