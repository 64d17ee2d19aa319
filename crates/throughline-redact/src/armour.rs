//! Private keys between lines that say what they are: PEM, OpenSSH, PGP, SSH2, OpenVPN, and the files of PuTTY.

use std::sync::LazyLock;

use memchr::memmem;

use crate::found::Found;
use crate::marker;
use crate::tokens::run_end;

/// What lines begin and end with, and what the first one says of a key that must not be seen.
struct Armour {
    begin: &'static [u8],
    end: &'static [u8],
    /// What closes the first and the last line.
    fence: &'static [u8],
    labels: &'static [&'static [u8]],
}

const ARMOURS: &[Armour] = &[
    Armour {
        begin: b"-----BEGIN",
        end: b"-----END",
        fence: b"-----",
        labels: &[b"PRIVATE KEY", b"OpenVPN Static key", b"PRIVATE PGP"],
    },
    Armour { begin: b"---- BEGIN", end: b"---- END", fence: b"----", labels: &[b"PRIVATE KEY"] },
];

/// The files of PuTTY have no dashes around.
const PUTTY: Armour = Armour { begin: b"Private-Lines:", end: b"Private-MAC:", fence: b"", labels: &[b""] };

/// What finds the beginnings, made once.
static BEGINNINGS: LazyLock<Vec<memmem::Finder<'static>>> =
    LazyLock::new(|| ARMOURS.iter().map(|armour| memmem::Finder::new(armour.begin)).collect());
static PUTTY_BEGIN: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(PUTTY.begin));

/// The longest first line.
const LONGEST_LABEL: usize = 80;
/// Fewer characters than this behind a first line are no key that was cut: `no "-----BEGIN PRIVATE KEY-----" in it`.
const LEAST: usize = 12;

/// Finds private keys, to their end or, if they were cut, as far as they extend.
pub(crate) fn find(text: &str, found: &mut Found<'_>) {
    for (armour, begin) in ARMOURS.iter().zip(BEGINNINGS.iter()) {
        armour.find(text.as_bytes(), begin, found);
    }
}

/// Finds private keys in files of PuTTY.
pub(crate) fn find_putty(text: &str, found: &mut Found<'_>) {
    if text.len() < PUTTY.begin.len() + LEAST {
        return;
    }
    PUTTY.find(text.as_bytes(), &PUTTY_BEGIN, found);
}

impl Armour {
    fn find(&self, bytes: &[u8], begin: &memmem::Finder<'_>, found: &mut Found<'_>) {
        // The next last line is the same for all first lines before it, and so is where no key can be any more.
        let (mut at, mut last_line, mut keys_end) = (0, None, 0);
        while let Some(start) = begin.find(&bytes[at..]).map(|offset| at + offset) {
            let label = start + self.begin.len();
            at = label;
            let line = &bytes[label..bytes.len().min(label + LONGEST_LABEL)];
            let line = &line[..run_end(line, 0, |byte| byte != b'\n')];
            let Some(close) = place_of(self.fence, line) else { continue };
            if !self.labels.iter().any(|part| place_of(part, &line[..close]).is_some()) {
                continue;
            }
            let body = label + close + self.fence.len();
            if last_line.is_none_or(|end| end < body) {
                let next = memmem::find(&bytes[body..], self.end).map(|offset| body + offset);
                last_line = Some(next.unwrap_or(bytes.len()));
            }
            let end = last_line.unwrap_or(bytes.len());
            if keys_end < body {
                keys_end = run_end(bytes, body, |byte| is_in_body(byte) || byte == b'-');
            }
            let body_end = run_end(bytes, body, is_in_body);
            let end = if end < bytes.len() && end <= keys_end && longest_word(&bytes[body..body_end]) > 3 {
                run_end(bytes, end + self.end.len(), |byte| !matches!(byte, b'-' | b'\n' | b'"'))
            } else if longest_word(&bytes[body..body_end]) >= LEAST {
                body_end
            } else {
                continue;
            };
            let end = run_end(bytes, end, |byte| byte == b'-');
            found.push(start..end, marker::PRIVATE_KEY);
            at = end;
        }
    }
}

/// Where a part first stands in a line: to make a searcher takes longer than most lines.
fn place_of(part: &[u8], line: &[u8]) -> Option<usize> {
    let Some(&first) = part.first() else { return Some(0) };
    let mut at = run_end(line, 0, |byte| byte != first);
    while at < line.len() && !line[at..].starts_with(part) {
        at = run_end(line, at + 1, |byte| byte != first);
    }
    (at < line.len()).then_some(at)
}

/// Base64 in lines, also within the strings of source code, and the headers before it: `Proc-Type: 4,ENCRYPTED`.
fn is_in_body(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte.is_ascii_whitespace()
        || matches!(byte, b'+' | b'/' | b'=' | b'\\' | b':' | b',' | b'.' | b'"' | b'\'' | b'(' | b')' | b'@')
}

fn longest_word(bytes: &[u8]) -> usize {
    let is_in_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    bytes.split(|byte| !is_in_word(byte)).map(<[u8]>::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::found_in;

    #[test]
    fn private_keys_are_found_whole() {
        for key in [
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,4A\n\nMIIE+/=\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXk\\n-----END OPENSSH PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\nlQOYBF\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
            "-----BEGIN OpenVPN Static key V1-----\n6acef03f62675b4b\n-----END OpenVPN Static key V1-----",
            "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nAAAAB3Nza\n---- END SSH2 ENCRYPTED PRIVATE KEY ----",
            "Private-Lines: 1\nAAAAIBq1w2e3r4t5y6u7i8o9p0\nPrivate-MAC: 0123",
            "-----BEGIN PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA",
        ] {
            let found =
                found_in(&format!("a {key}\n"), if key.starts_with("Private-L") { find_putty } else { find });
            let whole = if key.ends_with("EA") { format!("{key}\n") } else { key.to_owned() };
            assert_eq!(found, [(whole, marker::PRIVATE_KEY)], "{key}");
        }
    }

    #[test]
    fn what_only_speaks_of_keys_is_left_alone() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEA\n-----END CERTIFICATE-----",
            "const HEADER: &str = \"-----BEGIN PRIVATE KEY-----\";",
            "if (!pem.includes('-----BEGIN PRIVATE KEY-----')) { throw new Error(message); }",
            "-----BEGIN",
            "-----------------",
        ] {
            let found = found_in(text, find);
            assert!(found.is_empty(), "{text}: {found:?}");
        }
    }
}
