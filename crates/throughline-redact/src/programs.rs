//! Secrets in the commands of programs: `mysql -phunter2`, `curl -u ada:hunter2`, `IDENTIFIED BY 'hunter2'`, the values of
//! an INSERT, the lines of a netrc.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::packed;
use aho_corasick::packed::{MatchKind, Searcher};
use memchr::{memchr, memmem};

use crate::found::Found;
use crate::judge;
use crate::keys::{Keys, SecretKind};
use crate::marker;
use crate::tokens::{follows_word, is_one_of, run_end};
use crate::values;

/// As much of a command is read.
const COMMAND: usize = 600;

/// As much of the address of a database: addresses may follow each other, and each is read.
const LONGEST_URL: usize = 240;

/// What is to be done where a command is.
#[derive(Clone, Copy)]
enum Command {
    /// What follows in quotes is a password.
    Quoted,
    /// `IDENTIFIED BY 'hunter2'`, with something between, and without quotes.
    Identified,
    /// A user and a password follow these flags.
    User,
    /// A password follows this flag without a space.
    Attached,
    /// A password follows one of these flags.
    Apart(&'static [&'static str]),
    /// `machine x login ada password hunter2`.
    Netrc,
    /// Columns, then values.
    Insert,
    /// `jdbc:oracle:thin:scott/tiger@db`.
    Thin,
    /// `ENV X_PASSWORD hunter2`, `npm config set _authToken x7`.
    Set,
    /// `requirepass hunter2`, in a line of its own.
    Setting,
    /// `app:hunter2@tcp(db:3306)/loans`, as Go has it.
    Dsn,
}

const COMMANDS: &[(&str, Command)] = &[
    ("identified ", Command::Identified),
    ("with password ", Command::Quoted),
    ("set password ", Command::Quoted),
    ("password '", Command::Quoted),
    ("curl ", Command::User),
    ("etcdctl ", Command::User),
    ("http ", Command::User),
    ("lftp ", Command::User),
    ("smbclient ", Command::User),
    ("wget ", Command::User),
    ("mariadb", Command::Attached),
    ("mysql", Command::Attached),
    ("az login ", Command::Apart(&["-p"])),
    ("gh secret set ", Command::Apart(&["--body", "-b"])),
    ("ldapadd ", Command::Apart(&["-w"])),
    ("ldapmodify ", Command::Apart(&["-w"])),
    ("ldapsearch ", Command::Apart(&["-w"])),
    ("mongo ", Command::Apart(&["-p"])),
    ("mongosh ", Command::Apart(&["-p"])),
    ("openssl ", Command::Apart(&["-k"])),
    ("sqlcmd ", Command::Apart(&["-P"])),
    ("unzip ", Command::Apart(&["-P"])),
    ("zip ", Command::Apart(&["-P"])),
    ("aws configure set ", Command::Set),
    ("git config ", Command::Set),
    ("npm config set ", Command::Set),
    ("set -gx ", Command::Set),
    ("setenv ", Command::Set),
    ("setx ", Command::Set),
    ("bindpw ", Command::Setting),
    ("masterauth ", Command::Setting),
    ("pass ", Command::Setting),
    ("requirepass ", Command::Setting),
    ("rootpw ", Command::Setting),
    ("tcp(", Command::Dsn),
    ("sshpass ", Command::Apart(&["-p"])),
    ("redis-cli ", Command::Apart(&["-a", "--pass"])),
    ("docker login ", Command::Apart(&["-p"])),
    ("podman login ", Command::Apart(&["-p"])),
    ("helm registry login ", Command::Apart(&["-p"])),
    ("login ", Command::Netrc),
    ("into ", Command::Insert),
    ("jdbc:oracle:thin:", Command::Thin),
    ("env ", Command::Set),
];

/// Looked for apart: of texts with four bytes or more the searcher sees at a glance where none is.
const SHORT: (&str, Command) = ("7z ", Command::Attached);

impl Command {
    /// Whether people write it in capitals, too: a searcher takes no more than 64 texts.
    fn has_capitals(self) -> bool {
        matches!(
            self,
            Self::Quoted | Self::Identified | Self::Insert | Self::Set | Self::Setting | Self::Netrc
        )
    }
}

/// Looks for all commands at once, and for some in capitals, too.
struct Commands {
    searcher: Searcher,
    /// For each text of the searcher.
    commands: Vec<Command>,
}

static SEARCHER: LazyLock<Option<Commands>> = LazyLock::new(|| {
    let capitals = COMMANDS.iter().filter(|(_, command)| command.has_capitals());
    let texts = COMMANDS.iter().map(|(text, command)| ((*text).to_owned(), *command));
    let all = texts.chain(capitals.map(|(text, command)| (text.to_uppercase(), *command)));
    let (texts, commands): (Vec<_>, Vec<_>) = all.unzip();
    let builder = packed::Config::new().match_kind(MatchKind::LeftmostFirst).builder().extend(texts).build();
    builder.map(|searcher| Commands { searcher, commands })
});

/// Where commands are, in order.
fn commands_in(text: &str) -> impl Iterator<Item = (Range<usize>, Command)> {
    let (name, command) = SHORT;
    let short = memmem::find_iter(text.as_bytes(), name).map(move |at| (at..at + name.len(), command));
    let long = SEARCHER.iter().flat_map(|Commands { searcher, commands }| {
        searcher.find_iter(text).map(|hit| (hit.range(), commands[hit.pattern().as_usize()]))
    });
    let (mut short, mut long) = (short.peekable(), long.peekable());
    let start = |hit: Option<&(Range<usize>, Command)>| hit.map_or(usize::MAX, |(hit, _)| hit.start);
    std::iter::from_fn(
        move || {
            if start(short.peek()) < start(long.peek()) { short.next() } else { long.next() }
        },
    )
}

/// Finds the secrets of commands.
pub(crate) fn find(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let mut done = 0;
    for (hit, command) in commands_in(text) {
        if hit.start < done || follows_word(text.as_bytes(), hit.start) {
            continue;
        }
        let reader = Reader { text, keys };
        // What was read is not read again for the next command.
        done = match command {
            Command::User => {
                reader.flags(hit.end, &["-u", "--user", "--proxy-user", "-U", "-a"], Follows::Pair, found);
                reader.line(hit.end)
            }
            Command::Attached => {
                // `mysqldump`, `mariadb-admin`, but `mysql://` is none.
                let is_in_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
                let end = run_end(text.as_bytes(), hit.end, is_in_name);
                if text.as_bytes().get(end) == Some(&b' ') {
                    reader.flags(end, &["-p"], Follows::Attached, found);
                    reader.line(end)
                } else {
                    end
                }
            }
            Command::Apart(flags) => {
                reader.flags(hit.end, flags, Follows::Apart, found);
                reader.line(hit.end)
            }
            Command::Insert if reader.inserts(hit.start) => reader.insert(hit.end, found),
            Command::Insert => hit.end,
            Command::Thin => reader.thin(hit.end, found),
            other => {
                match other {
                    Command::Identified => reader.identified(hit.start, hit.end, found),
                    Command::Netrc => reader.netrc(hit.end, found),
                    Command::Set => reader.set(hit.start, hit.end, found),
                    Command::Setting => reader.setting(hit.start, hit.end, found),
                    Command::Dsn => reader.dsn(hit.start, found),
                    _ => reader.quoted(hit.start, hit.end, found),
                }
                hit.end
            }
        };
    }
}

/// Finds codes that are said: `your verification code is 482913`.
pub(crate) fn find_said(text: &str, keys: &Keys, found: &mut Found<'_>) {
    const IS: &[u8] = b" is ";
    for at in memmem::find_iter(text.as_bytes(), IS) {
        Reader { text, keys }.is(at, at + IS.len(), found);
    }
}

/// Finds what follows the word in a line of settings or a sentence: `machine x login ada password hunter2`.
pub(crate) fn find_passwords(text: &str, found: &mut Found<'_>) {
    const PASSWORD: &str = "assword ";
    let bytes = text.as_bytes();
    for at in memmem::find_iter(bytes, PASSWORD) {
        let start = run_end(bytes, at + PASSWORD.len(), |byte| byte == b' ');
        let end = values::token_end(bytes, start);
        let said = &text[start..end];
        let is_secret = said.len() >= 6
            && said.bytes().any(|byte| byte.is_ascii_digit())
            && said.bytes().any(|byte| byte.is_ascii_lowercase() || said.len() > 12)
            && !said.contains(['(', '[', '{', '<', ':', '\''])
            && !judge::is_path(said)
            && !judge::is_type_name(said);
        let is_word = at > 0 && matches!(bytes[at - 1], b'p' | b'P') && !follows_word(bytes, at - 1);
        if is_secret && is_word {
            found.push_value(start..end, marker::REDACTED, at - 1..at + PASSWORD.trim_end().len());
        }
    }
}

/// What follows a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// A user, a colon and a password.
    Pair,
    /// A password, without a space between.
    Attached,
    /// A password, with or without a space between.
    Apart,
}

struct Reader<'t> {
    text: &'t str,
    keys: &'t Keys,
}

impl Reader<'_> {
    /// Notes what stands under a name, which may be that of a flag or a command.
    fn push(&self, value: Range<usize>, name: Range<usize>, found: &mut Found<'_>) {
        let said = &self.text[value.clone()];
        if !said.is_empty() && !judge::is_placeholder(said) {
            found.push_value(value, marker::REDACTED, name);
        }
    }

    /// The rest of the line, as far as it is read.
    fn line(&self, at: usize) -> usize {
        let limit = self.text.floor_char_boundary(at + COMMAND);
        memchr(b'\n', &self.text.as_bytes()[at..limit]).map_or(limit, |offset| at + offset)
    }

    fn quoted(&self, command: usize, at: usize, found: &mut Found<'_>) {
        let bytes = self.text.as_bytes();
        let name = command..command + self.text[command..at].trim_end_matches([' ', '\'']).len();
        let start = if bytes[at - 1] == b'\'' { at - 1 } else { at };
        let near = &bytes[..bytes.len().min(start + 32)];
        let word = run_end(near, start, |byte| byte.is_ascii_alphabetic() || byte == b' ' || byte == b'=');
        let start = if bytes.get(start) == Some(&b'\'') || word > start + 12 { start } else { word };
        if !matches!(bytes.get(start), Some(b'\'' | b'"')) {
            return;
        }
        let limit = self.line(start);
        // `SET PASSWORD FOR 'app'@'db' = 'hunter2'`
        let of_user =
            self.text[start..limit].rfind("' = '").filter(|_| self.text[at..start].starts_with("FOR "));
        let start = of_user.map_or(start, |sign| start + sign + "' = ".len());
        if let Some(value) = values::quoted(&bytes[..limit], start).filter(|value| value.end < limit) {
            self.push(value, name, found);
        }
    }

    /// What follows one of these flags; if it is a user and a password, the password.
    fn flags(&self, at: usize, flags: &[&str], follows: Follows, found: &mut Found<'_>) {
        let is_pair = follows == Follows::Pair;
        let end = self.line(at);
        let bytes = &self.text.as_bytes()[..end];
        let mut word = at;
        while word < end {
            word = run_end(bytes, word, |byte| matches!(byte, b' ' | b'\t'));
            let word_end = run_end(bytes, word, |byte| !matches!(byte, b' ' | b'\t'));
            let said = &self.text[word..word_end];
            let flag_len = |flag: &&str| {
                let whole = said.starts_with(flag).then_some(flag.len());
                whole.or_else(|| in_cluster(said, flag).filter(|_| is_pair))
            };
            let flags = if said.starts_with('-') { flags } else { &[] };
            let Some(len) = flags.iter().find_map(flag_len) else {
                word = word_end.max(word + 1);
                continue;
            };
            let attached = word + len;
            let is_attached = word_end > attached && (!said.starts_with("--") || bytes[attached] == b'=');
            let start = if is_attached { attached } else { run_end(bytes, word_end, |byte| byte == b' ') };
            if !is_attached && follows == Follows::Attached {
                word = word_end;
                continue;
            }
            let start = start + usize::from(is_pair && bytes.get(start) == Some(&b'='));
            let value = match bytes.get(start) {
                Some(b'"' | b'\'') => values::quoted(bytes, start),
                _ => Some(start..run_end(bytes, start, |byte| !matches!(byte, b' ' | b'\t' | b'"' | b'\''))),
            };
            let Some(value) = value else { return };
            if is_pair {
                let said = &self.text[value.clone()];
                if let Some(colon) = said.find(':').or_else(|| said.find([',', '%'])) {
                    self.push(value.start + colon + 1..value.end, word..attached, found);
                }
            } else if value.start < value.end && !self.text[value.clone()].starts_with(['=', '-']) {
                self.push(value.clone(), word..attached, found);
            }
            word = value.end.max(word_end);
        }
    }

    fn netrc(&self, at: usize, found: &mut Found<'_>) {
        let bytes = self.text.as_bytes();
        let limit = bytes.len().min(at + 160);
        let user = run_end(&bytes[..limit], at, |byte| !byte.is_ascii_whitespace());
        let next = run_end(&bytes[..limit], user, |byte| byte.is_ascii_whitespace());
        if user > at && bytes[next..limit].starts_with(b"password") {
            let start = run_end(bytes, next + 8, |byte| matches!(byte, b' ' | b'\t'));
            let end = run_end(bytes, start, |byte| !byte.is_ascii_whitespace());
            if start > next + 8 && !judge::is_word(&self.text[user..next]) {
                self.push(start..end, next..next + 8, found);
            }
        }
    }

    /// Finds the password of an address, and says how far it has read.
    fn thin(&self, at: usize, found: &mut Found<'_>) -> usize {
        let bytes = &self.text.as_bytes()[..self.text.len().min(at + LONGEST_URL)];
        let end = run_end(bytes, at, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\''));
        let slash = run_end(&bytes[..end], at, |byte| byte != b'/' && byte != b'@');
        let last_at = bytes[slash..end].iter().rposition(|byte| *byte == b'@').map(|offset| slash + offset);
        if let Some(last_at) = last_at.filter(|&last| bytes.get(slash) == Some(&b'/') && slash + 1 < last) {
            found.push(slash + 1..last_at, marker::PASSWORD);
        }
        end
    }

    fn set(&self, start: usize, at: usize, found: &mut Found<'_>) {
        let bytes = self.text.as_bytes();
        let is_command = !self.text[start..at].eq_ignore_ascii_case("env ");
        let is_first = start == 0 || matches!(bytes[start - 1], b'\n' | b'"' | b'\'');
        let name_end = run_end(bytes, at, |byte| !byte.is_ascii_whitespace());
        if !(is_first || is_command) || bytes.get(name_end) != Some(&b' ') {
            return;
        }
        // `user.password`, `//registry.example.org/:_authToken`
        let name = self.text[at..name_end].rsplit([':', '/']).next().unwrap_or_default();
        let name_start = name_end - name.len();
        // `env TOKEN=x PORT=80`: signs are looked for elsewhere.
        let named = self.keys.classify_name(name).filter(|_| !name.contains('='));
        if named.is_some_and(|named| named.kind.is_credential() && !named.is_weak) {
            let value = match values::quote(bytes, name_end + 1) {
                Some(_) => values::quoted(&bytes[..self.line(name_end)], name_end + 1),
                None => Some(name_end + 1..run_end(bytes, name_end + 1, |byte| !byte.is_ascii_whitespace())),
            };
            if let Some(value) = value {
                self.push(value, name_start..name_end, found);
            }
        }
    }

    /// A line of a file of settings, or of a protocol, with a password and nothing else.
    fn setting(&self, start: usize, at: usize, found: &mut Found<'_>) {
        let bytes = self.text.as_bytes();
        let before = &bytes[start.saturating_sub("quote ".len())..start];
        let is_first = start == 0 || before.ends_with(b"\n") || before.eq_ignore_ascii_case(b"quote ");
        let end = run_end(bytes, at, |byte| !byte.is_ascii_whitespace());
        let is_last = matches!(bytes.get(end), None | Some(b'\n' | b'\r'));
        let said = &self.text[at..end];
        let is_word = bytes[start].is_ascii_lowercase() && !judge::looks_secret(said) && !said.contains('-');
        if is_first && is_last && !is_word {
            self.push(at..end, start..at - 1, found);
        }
    }

    /// The password before the `@` of an address of Go.
    fn dsn(&self, tcp: usize, found: &mut Found<'_>) {
        let bytes = &self.text.as_bytes()[..tcp];
        let Some(near) = bytes.strip_suffix(b"@") else { return };
        let earliest = near.len().saturating_sub(LONGEST_URL);
        let is_part = |byte: &&u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'`');
        let word = near[earliest..].iter().rev().take_while(is_part).count();
        if let Some(colon) = memchr(b':', &near[near.len() - word..]) {
            let password = near.len() - word + colon + 1..near.len();
            let said = &self.text[password.clone()];
            if !said.is_empty() && !judge::is_placeholder(said) {
                found.push(password, marker::PASSWORD);
            }
        }
    }

    fn is(&self, start: usize, at: usize, found: &mut Found<'_>) {
        let bytes = self.text.as_bytes();
        let end = values::token_end(&bytes[..bytes.len().min(at + 80)], at);
        let Some(word) = self.text.get(at..end) else { return };
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        if digits < 4 && !(digits > 0 && word.len() >= 7 && judge::looks_secret(word)) {
            return;
        }
        let mut phrase = start;
        for _ in 0..3 {
            let words = &bytes[phrase.saturating_sub(24)..phrase];
            let word = words.iter().rev().skip(usize::from(words.last() == Some(&b' ')));
            let len = word.take_while(|byte| byte.is_ascii_alphabetic()).count();
            if len == 0 {
                break;
            }
            phrase -= len + usize::from(words.last() == Some(&b' '));
        }
        let named = self.keys.classify_phrase(&self.text[phrase..start]);
        if named.is_some_and(|named| !named.is_weak && named.is_head) {
            let said = self.text[phrase..start].trim_start();
            self.push(at..end, start - said.len()..start, found);
        }
    }

    /// The password behind `IDENTIFIED`. Without quotes it is one only in a statement: people are identified by many things.
    fn identified(&self, start: usize, at: usize, found: &mut Found<'_>) {
        let limit = self.line(at);
        let bytes = &self.text.as_bytes()[..limit];
        let word_at = |at: usize| {
            let start = run_end(bytes, at, |byte| byte == b' ');
            start..run_end(bytes, start, |byte| !byte.is_ascii_whitespace() && byte != b';')
        };
        let is = |word: &Range<usize>, names: &[&str]| is_one_of(&self.text[word.clone()], names);
        let mut word = word_at(at);
        if is(&word, &["with", "via"]) {
            word = word_at(word_at(word.end).end);
        }
        if !is(&word, &["by", "as", "using"]) {
            return;
        }
        let name = start..word.end;
        word = word_at(word.end);
        if is(&word, &["password", "values"]) {
            word = word_at(word.end);
        }
        if matches!(bytes.get(word.start), Some(b'\'' | b'"')) {
            if let Some(value) = values::quoted(bytes, word.start).filter(|value| value.end < limit) {
                self.push(value, name, found);
            }
            return;
        }
        let before = &self.text[self.text.floor_char_boundary(start.saturating_sub(COMMAND / 4))..start];
        let before = before.rsplit(';').next().unwrap_or_default().to_ascii_lowercase();
        let is_statement =
            ["create ", "alter ", "grant ", "connect to "].iter().any(|verb| before.contains(verb));
        if is_statement && !is(&word, &["random"]) {
            self.push(word, name, found);
        }
    }

    /// Whether what ends here begins an INSERT, with anything between that SQL has there: `INSERT OR REPLACE`, `REPLACE`.
    fn inserts(&self, into: usize) -> bool {
        let near = &self.text[self.text.ceil_char_boundary(into.saturating_sub(48))..into];
        let mut words = near
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .take(4);
        words.any(|word| word.eq_ignore_ascii_case("insert") || word.eq_ignore_ascii_case("replace"))
    }

    /// Finds the values of the columns that tell, and says how far it has read.
    fn insert(&self, at: usize, found: &mut Found<'_>) -> usize {
        let bytes = self.text.as_bytes();
        let limit = self.text.floor_char_boundary(at + 8 * COMMAND);
        let table = &bytes[..limit.min(at + LONGEST_URL)];
        let open = run_end(table, at, |byte| IN_TABLE[usize::from(byte)]);
        if table.get(open) != Some(&b'(') {
            return at;
        }
        let columns = values::bracketed(&bytes[..limit], open);
        let names: Vec<Option<Range<usize>>> = fields(&bytes[..columns.end.saturating_sub(1)], open + 1)
            .map(|column| {
                let said = self.text.get(column.clone())?;
                let name = said.trim_matches(['"', '`', '\'', ' ', '[', ']']);
                self.keys.classify_name(name).filter(|named| !named.is_weak)?;
                Some(column)
            })
            .collect();
        if names.iter().all(Option::is_none) {
            return columns.end;
        }
        // Something may stand between: `OVERRIDING SYSTEM VALUE`.
        const VALUES: &[u8] = b"values";
        let between = &bytes[columns.end..limit.min(columns.end + 80)];
        let between = &between[..run_end(between, 0, |byte| byte != b'(' && byte != b';')];
        let is_values = |word: &[u8]| word.eq_ignore_ascii_case(VALUES);
        let Some(values) = between.windows(VALUES.len()).position(is_values) else { return columns.end };
        let mut at = columns.end + values + VALUES.len();
        loop {
            let open = run_end(&bytes[..limit], at, |byte| byte.is_ascii_whitespace() || byte == b',');
            if bytes.get(open) != Some(&b'(') || open >= limit {
                return at;
            }
            let row = row_end(&bytes[..limit], open);
            for (value, name) in fields(&bytes[..row], open + 1).zip(&names) {
                let Some(name) = name else { continue };
                let is_quote = |at: usize| matches!(bytes.get(at), Some(b'\'' | b'"'));
                let start = value.start + usize::from(is_quote(value.start) && !value.is_empty());
                let end = value.end - usize::from(value.end > start && is_quote(value.end - 1));
                let value = start..end;
                if !judge::is_nothing(&self.text[value.clone()], SecretKind::Credential) {
                    self.push(value, name.clone(), found);
                }
            }
            at = row + 1;
        }
    }
}

/// What stands between `INTO` and the columns: the name of a table, and white space.
const IN_TABLE: [bool; 256] = {
    let mut in_table = values::of_bytes(b"_.`\"[]$-@ \t\r\n");
    let mut byte = 0;
    while byte < 256 {
        in_table[byte] |= byte >= 0x80 || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    in_table
};

/// How long a flag of one letter is with others before it that stand alone, as in `curl -sSu ada:hunter2`.
fn in_cluster(said: &str, flag: &str) -> Option<usize> {
    /// Those that take nothing.
    const ALONE: [bool; 256] = values::of_bytes(b"sSkvfLiIgGjJlnNOqRZaB0#46");
    let &[b'-', letter] = flag.as_bytes() else { return None };
    let bytes = said.as_bytes();
    let end = run_end(bytes, 1, |byte| byte != letter && ALONE[usize::from(byte)]);
    let is_cluster = said.starts_with('-') && end > 1 && bytes.get(end) == Some(&letter);
    let len = end + 1;
    (is_cluster && (len == said.len() || said[len..].contains(':'))).then_some(len)
}

/// Where the row of values ends that starts here.
fn row_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != b')' {
        at = if bytes[at] == b'\'' {
            values::quoted(bytes, at).map_or(at, |value| value.end) + 1
        } else {
            at + 1
        };
    }
    at.min(bytes.len())
}

/// What stands between commas that are in no quotes, without the white space around.
fn fields(bytes: &[u8], start: usize) -> impl Iterator<Item = Range<usize>> {
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let start = next.filter(|start| *start <= bytes.len())?;
        let mut at = start;
        while at < bytes.len() && bytes[at] != b',' {
            at = if bytes[at] == b'\'' {
                values::quoted(bytes, at).map_or(at, |value| value.end) + 1
            } else {
                at + 1
            };
        }
        let end = at.min(bytes.len());
        next = (end < bytes.len()).then_some(end + 1);
        let field = &bytes[start..end];
        let blank = field.len() - field.trim_ascii_start().len();
        let start = start + blank;
        Some(start..start + bytes[start..end].trim_ascii_end().len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefilter::Prefilter;

    #[test]
    fn commands_without_flags_and_quotes_are_looked_for_in_texts_of_several_lines() {
        let is_bare = |command: &Command| {
            command.has_capitals() && !matches!(command, Command::Quoted | Command::Insert)
        };
        let bare = COMMANDS.iter().filter(|(_, command)| is_bare(command)).map(|(text, _)| *text);
        let inserts = ["insert into ", "INSERT INTO ", "REPLACE INTO ", "insert ignore into "];
        for text in bare.chain(["ENV ", "PASS ", "LOGIN ", "IDENTIFIED "]).chain(inserts) {
            assert!(Prefilter::of(&format!("one line\nanother {text}x y")).commands(), "{text}");
        }
        assert!(!Prefilter::of("one line\nanother of words alone").commands());
    }
}
