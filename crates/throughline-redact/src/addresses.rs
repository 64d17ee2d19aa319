//! E-mail addresses, and credentials in URLs.

use memchr::{memchr_iter, memrchr};

use crate::found::Found;
use crate::marker;
use crate::tokens::run_end;

/// The longest part before the `@` and the longest domain that mail servers take (RFC 5321).
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;

/// Finds e-mail addresses. An `@` that [`find_in_urls`] has seen behind a password, in order, is no address's.
pub(crate) fn find_emails(text: &str, behind_passwords: &[usize], found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for at in memchr_iter(b'@', bytes) {
        if behind_passwords.binary_search(&at).is_ok() {
            continue;
        }
        let earliest = done.max(at.saturating_sub(LONGEST_LOCAL));
        let local = bytes[earliest..at].iter().rev().take_while(|&&byte| is_local(byte)).count();
        // A sign that no address starts with belongs to the text around.
        let start =
            at - local + run_end(&bytes[at - local..at], 0, |byte| matches!(byte, b'.' | b'-' | b'%' | b'+'));
        let latest = bytes.len().min(at + 1 + LONGEST_DOMAIN);
        let domain = domain_end(&bytes[at + 1..latest]);
        // `git@github.com:owner/name` is the address of a repository.
        let domain_end = at + 1 + domain;
        if start < at && domain > 0 && &bytes[start..at] != b"git" && !is_repository(bytes, domain_end) {
            // The bounds may have cut a character of several bytes.
            let start = text.ceil_char_boundary(start);
            let end = text.ceil_char_boundary(at + 1 + domain);
            found.push(start..end, marker::EMAIL);
            done = end;
        }
    }
}

/// Whether what stands before is a user of a host and a path follows: `git@github.com:owner/name`.
fn is_repository(bytes: &[u8], domain_end: usize) -> bool {
    let path = run_end(&bytes[..bytes.len().min(domain_end + 64)], domain_end, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.' | b'~')
    });
    bytes.get(domain_end) == Some(&b':') && bytes.get(path) == Some(&b'/')
}

/// What a byte may be a part of: what stands before the `@`, or a label of a domain.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | 0x80.. => LOCAL | LABEL,
            b'.' | b'_' | b'%' | b'+' => LOCAL,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};
const LOCAL: u8 = 1;
const LABEL: u8 = 1 << 1;

fn is_local(byte: u8) -> bool {
    KINDS[usize::from(byte)] & LOCAL != 0
}

/// How long the domain at the start is: labels with dots between, the last of which is no number; 0 if there is
/// none.
fn domain_end(bytes: &[u8]) -> usize {
    let is_label = |byte: u8| KINDS[usize::from(byte)] & LABEL != 0;
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
    let (mut label, mut end) = (0, 0);
    loop {
        let label_end = run_end(bytes, label, is_label);
        if label_end == label {
            return end;
        }
        let last = &bytes[label..label_end];
        if label > 0 && (last.starts_with(b"xn--") || run_end(last, 0, is_letter) >= 2) {
            end = label_end;
        }
        if bytes.get(label_end) != Some(&b'.') {
            return end;
        }
        label = label_end + 1;
    }
}

/// Finds the password of `scheme://user:password@host`, and the user of `https://token@host`, where it is all
/// there is to know. Returns where the `@` behind them stand.
pub(crate) fn find_in_urls(text: &str, found: &mut Found<'_>) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut behind_passwords = Vec::new();
    // The end of the URL and its last `@` are the same for all `://` in it.
    let (mut done, mut url_end, mut last_at) = (0, 0, None);
    for colon in memchr_iter(b':', bytes).filter(|&colon| bytes[colon..].starts_with(b"://")) {
        let start = colon + "://".len();
        if start >= url_end {
            url_end = url_end_of(bytes, start);
            last_at = memrchr(b'@', &bytes[start..url_end]).map(|at| start + at);
        }
        let Some(last_at) = last_at.filter(|&at| done.max(start) <= at) else { continue };
        let Some((user_end, at)) = user_info(bytes, start, last_at) else { continue };
        let is_web = bytes[..colon].ends_with(b"http") || bytes[..colon].ends_with(b"https");
        let password = if user_end < at {
            user_end + 1..at
        } else if is_web {
            start..at
        } else {
            continue;
        };
        if !password.is_empty() {
            found.push(password, marker::PASSWORD);
            behind_passwords.push(at);
            done = at;
        }
    }
    behind_passwords
}

/// Where the URL ends whose scheme ends here. A quote may be in a password, and closes a string that the URL is in.
fn url_end_of(bytes: &[u8], start: usize) -> usize {
    let mut end = run_end(bytes, start, is_in_url);
    while bytes.get(end) == Some(&b'\'') && bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric) {
        end = run_end(bytes, end + 1, is_in_url);
    }
    end
}

fn is_in_url(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`')
}

/// Where the user ends and where the `@` stands, of what follows `://`. If there is no password, both are the
/// same.
fn user_info(bytes: &[u8], start: usize, last_at: usize) -> Option<(usize, usize)> {
    let authority = run_end(&bytes[..last_at], start, |byte| !matches!(byte, b'/' | b'?' | b'#'));
    let user = run_end(&bytes[..authority], start, |byte| byte != b':');
    if authority == last_at {
        return Some((user, last_at));
    }
    if let Some(at) = memrchr(b'@', &bytes[start..authority]) {
        return Some((user.min(start + at), start + at));
    }
    // An unescaped `/`, `?` or `#` in a password. A port and then a path with an `@` look similar.
    let is_port = bytes[user..authority].iter().skip(1).all(u8::is_ascii_digit);
    (user < authority && !is_port).then_some((user, last_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::found_in;

    fn emails(text: &str) -> Vec<(String, &str)> {
        found_in(text, |text, found| find_emails(text, &[], found))
    }

    fn passwords(text: &str) -> Vec<(String, &str)> {
        found_in(text, |text, found| drop(find_in_urls(text, found)))
    }

    #[test]
    fn addresses_are_found_within_text() {
        for (text, email) in [
            ("alice@example.com", "alice@example.com"),
            ("to <a.b+c@mail.example.co.uk>, now", "a.b+c@mail.example.co.uk"),
            ("mailto:x_y@sub-1.example.org.", "x_y@sub-1.example.org"),
            ("user=bob%40home@example.nl&x", "bob%40home@example.nl"),
            ("...dots@example.com", "dots@example.com"),
            ("jürgen@münchen.de", "jürgen@münchen.de"),
            ("a@xn--bcher-kva.xn--p1ai/", "a@xn--bcher-kva.xn--p1ai"),
        ] {
            assert_eq!(emails(text), [(email.to_owned(), marker::EMAIL)], "{text}");
        }
        let two = emails("a@b.com,c@d.com");
        assert_eq!(two.len(), 2);
    }

    #[test]
    fn other_at_signs_are_left_alone() {
        for text in [
            "@",
            "a@",
            "@b.com",
            "a@localhost",
            "lodash@4.17.21",
            "java.lang.Object@1b6d3586",
            "5 @ 3.50",
            "git@github.com:owner/name.git",
            "@scope/name@1.2.3",
            "a@b.c",
            "x @ y.com",
        ] {
            assert!(emails(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn passwords_in_urls_are_found() {
        for (text, password) in [
            ("postgres://app:hunter2@db:5432/loans", "hunter2"),
            ("redis://:hunter2@127.0.0.1/", "hunter2"),
            ("at amqps://u:p@ss:w0rd@host/vhost failed", "p@ss:w0rd"),
            ("\"mongodb+srv://u:a/b?c#d@host/x\"", "a/b?c#d"),
            ("https://0123abcd@sentry.example/42", "0123abcd"),
            ("jdbc:postgresql://u:p@h", "p"),
        ] {
            let expected = [(password.to_owned(), marker::PASSWORD)];
            assert_eq!(passwords(text), expected, "{text}");
        }
    }

    #[test]
    fn other_urls_are_left_alone() {
        for text in [
            "https://example.com/a?b=c",
            "http://127.0.0.1:8080/x",
            "https://example.com:443/@author/story",
            "ssh://git@github.com/owner/name",
            "https://medium.com/@author",
            "://",
            "redis://:@host",
            "postgres://app@db/loans",
            "x://y z@w",
        ] {
            assert!(passwords(text).is_empty(), "{text}");
        }
    }
}
