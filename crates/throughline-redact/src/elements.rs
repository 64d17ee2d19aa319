//! Secrets that are named by an XML element or a command-line flag.

use memchr::{memchr_iter, memmem};

use crate::keys::{Keys, SecretKind};
use crate::marker;
use crate::scan::Found;
use crate::tokens::run_end;
use crate::values::{self, Sign};

/// Finds what sensitive XML elements hold: `<card:pin>1234</card:pin>`.
pub(crate) fn find(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for at in memchr_iter(b'<', bytes) {
        if at < done {
            continue;
        }
        let name_end = run_end(bytes, at + 1, |byte| is_in_name(byte) || byte == b':');
        let name = &text[at + 1..name_end];
        if name.is_empty() || keys.classify(name).is_none() {
            continue;
        }
        let tag_end = run_end(bytes, name_end, |byte| byte != b'>' && byte != b'<');
        done = tag_end;
        if bytes.get(tag_end) != Some(&b'>') || bytes[tag_end - 1] == b'/' {
            continue;
        }
        let start = tag_end + 1;
        let closing = format!("</{name}");
        let end = memmem::find(&bytes[start..], closing.as_bytes()).map_or(bytes.len(), |len| start + len);
        if !text[start..end].trim().is_empty() {
            found.push(start..end, marker::REDACTED);
            done = end;
        }
    }
}

/// Finds what follows sensitive flags: `--password hunter2`. With `=` between they are assignments.
pub(crate) fn find_flags(text: &str, keys: &Keys, found: &mut Found<'_>) {
    const SIGN: Sign = Sign { colon: true, quoted: false, spaced: true, sectioned: false };
    let bytes = text.as_bytes();
    let (mut done, mut name_end) = (0, 0);
    for at in memchr_iter(b'-', bytes) {
        if at < done || bytes.get(at + 1) != Some(&b'-') {
            continue;
        }
        // A name may have dashes in it: then what starts at them ends where it ends.
        if name_end < at + 2 {
            name_end = run_end(bytes, at + 2, is_in_name);
        }
        let name = &text[at + 2..name_end];
        let is_flag = bytes.get(name_end) == Some(&b' ')
            && bytes.get(name_end + 1) != Some(&b'-')
            && name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_flag || name.len() > 64 {
            continue;
        }
        // On a command line a value has no white space, whatever it is, unless it is quoted.
        let sensitive = keys.classify(name).is_some();
        if sensitive && let Some(value) = values::extent(text, name_end + 1, SecretKind::Credential, SIGN) {
            done = value.end;
            found.push(value, marker::REDACTED);
        }
    }
}

fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::found_in;

    fn values(text: &str, find: fn(&str, &Keys, &mut Found<'_>)) -> Vec<String> {
        let keys = Keys::new(&[]).unwrap();
        found_in(text, |text, found| find(text, &keys, found)).into_iter().map(|(value, _)| value).collect()
    }

    #[test]
    fn sensitive_elements_are_emptied() {
        for (text, value) in [
            ("<password>hunter 2</password>", "hunter 2"),
            ("<a><card:pin type='x'>1234</card:pin><b/></a>", "1234"),
            ("<FirstName><![CDATA[Ann]]></FirstName>", "<![CDATA[Ann]]>"),
            ("<creditCard><no>41</no></creditCard>", "<no>41</no>"),
            ("<ssn>078051120", "078051120"),
        ] {
            assert_eq!(values(text, find), [value], "{text}");
        }
        for text in
            ["<amount>1</amount>", "<password/>x", "<pin></pin>", "a < password > b", "<", "</password>x"]
        {
            assert!(values(text, find).is_empty(), "{text}");
        }
    }

    #[test]
    fn what_follows_a_sensitive_flag_is_found() {
        assert_eq!(values("mysql --password hunter2 --host db", find_flags), ["hunter2"]);
        assert_eq!(values("x --api-key 'a b'", find_flags), ["a b"]);
        for text in
            ["--password --host db", "--host db", "-- password x", "--password", "--password is missing"]
        {
            assert!(values(text, find_flags).is_empty(), "{text}");
        }
    }
}
