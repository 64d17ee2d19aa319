//! Secrets that are named by an XML element or a command-line flag.

use memchr::{memchr_iter, memmem};

use crate::found::Found;
use crate::judge;
use crate::keys::{Keys, SecretKind};
use crate::marker;
use crate::names::{self, List};
use crate::tokens::run_end;
use crate::values;

/// How far an element is looked for its end without further ado, and how many may be longer: otherwise a text with many
/// beginnings and no end would be read again for each.
const NEAR: usize = 2048;
const FAR: usize = 16;

/// Of how many names it is remembered how far none of their elements closes.
const KEPT: usize = 4;

/// Finds what sensitive XML elements hold: `<card:pin>1234</card:pin>`. What does not close is no element: `Vec<Token>`,
/// `login <user> <password>`.
pub(crate) fn find(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let (mut done, mut far) = (0, FAR);
    // Before these places nothing closes elements of these names.
    let mut open: [(&str, usize); KEPT] = [("", 0); KEPT];
    let mut oldest = 0;
    for at in memchr_iter(b'<', bytes) {
        if at < done {
            continue;
        }
        let name_end = run_end(bytes, at + 1, |byte| is_in_name(byte) || byte == b':');
        let name = &text[at + 1..name_end];
        let Some(named) = keys.classify_name(name).filter(|named| named.is_head && !name.is_empty()) else {
            continue;
        };
        let tag_end = run_end(bytes, name_end, |byte| byte != b'>' && byte != b'<');
        done = tag_end;
        if bytes.get(tag_end) != Some(&b'>') || bytes[tag_end - 1] == b'/' {
            continue;
        }
        let start = tag_end + 1;
        let closing = format!("</{name}");
        let near = bytes.len().min(start + NEAR);
        let known = open.iter().position(|(known, _)| *known == name).unwrap_or(oldest);
        let from = if open[known].0 == name { start.max(open[known].1) } else { start };
        let find = |from: usize, to: usize| {
            let found = bytes.get(from..to).and_then(|text| memmem::find(text, closing.as_bytes()));
            found.map(|len| from + len)
        };
        let mut end = find(from, near);
        let mut looked = near;
        if end.is_none() && near < bytes.len() && far > 0 {
            far -= 1;
            end = find(from, bytes.len());
            looked = bytes.len();
        }
        if end.is_none() {
            oldest = if known == oldest { (oldest + 1) % KEPT } else { oldest };
            // One may begin before that place and end behind it.
            open[known] = (name, from.max((looked + 1).saturating_sub(closing.len())));
        }
        let end = match end {
            Some(end) => end,
            // It was cut: what is left is a single word that is no word.
            None if text.get(start..near).is_some_and(|rest| near == bytes.len() && is_one_secret(rest)) => {
                bytes.len()
            }
            None => continue,
        };
        let said = text[start..end].trim();
        // `<signature>` describes a function, too.
        let is_about = named.kind == SecretKind::Ambiguous && !judge::looks_secret(said);
        if !said.is_empty() && !is_about && !judge::is_placeholder(said) {
            found.push_value(start..end, marker::REDACTED, at + 1..name_end);
            done = end;
        }
    }
}

fn is_one_secret(rest: &str) -> bool {
    !rest.contains(|c: char| c.is_whitespace() || "<>()[]{}.,;".contains(c)) && judge::looks_secret(rest)
}

/// Finds what follows sensitive flags: `--password hunter2`. With `=` between they are assignments.
pub(crate) fn find_flags(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let (mut done, mut name_end) = (0, 0);
    for at in memchr_iter(b'-', bytes) {
        let is_long = matches!(bytes.get(at + 1..at + 3), Some([b'-', first]) if first.is_ascii_alphabetic());
        // `-storepass hunter2`, as programs in Java have it.
        let is_short = at > 0
            && bytes[at - 1] == b' '
            && matches!(bytes.get(at + 1..at + 3), Some([first, next]) if first.is_ascii_lowercase() && next.is_ascii_alphabetic());
        if at < done || !(is_long || is_short) {
            continue;
        }
        let name_start = at + 1 + usize::from(is_long);
        // A name may have dashes in it: then what starts at them ends where it ends.
        if name_end < name_start {
            name_end = run_end(bytes, name_start, is_in_name);
        }
        if name_start > name_end {
            continue;
        }
        let name = &text[name_start..name_end];
        let is_flag = bytes.get(name_end) == Some(&b' ') && bytes.get(name_end + 1) != Some(&b'-');
        if !is_flag || name.ends_with('.') {
            continue;
        }
        if keys.classify_name(name).is_none_or(|named| !named.is_head || named.is_weak) {
            continue;
        }
        // On a command line a value has no white space, whatever it is, unless it is quoted.
        let start = run_end(bytes, name_end, |byte| byte == b' ');
        let is_quoted = matches!(bytes.get(start), Some(b'"' | b'\''));
        let value = if is_quoted {
            values::quoted(bytes, start)
        } else {
            Some(start..values::token_end(bytes, start))
        };
        let Some(value) = value else { continue };
        let said = &text[value.clone()];
        if !said.is_empty()
            && (is_long || judge::looks_secret(said))
            && !is_about(said)
            && !judge::is_placeholder(said)
            && !judge::is_name_of_another(said, keys)
        {
            done = value.end;
            found.push_value(value, marker::REDACTED, name_start..name_end);
        }
    }
}

/// Whether what follows a flag says something about it, or what to put there: `--password is missing`, `--token TOKEN`.
fn is_about(said: &str) -> bool {
    let names_what = said.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    names_what
        || names::table().lists.has_in_any_case(List::Prose, said)
        || said.starts_with(['[', '(', '|', '<', '/'])
}

fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::found_in;

    fn values(text: &str, find: fn(&str, &Keys, &mut Found<'_>)) -> Vec<String> {
        let keys = Keys::new(Default::default(), &[]).unwrap();
        found_in(text, |text, found| find(text, &keys, found)).into_iter().map(|(value, _)| value).collect()
    }

    #[test]
    fn an_element_closes_wherever_that_was_looked_for_before() {
        for fill in [0, 1, NEAR - 20, NEAR - 11, NEAR - 10, NEAR - 1, NEAR, 3 * NEAR] {
            let text = format!("<password>{}<pin>1<password>hunter2</password>", "x ".repeat(fill / 2));
            let found = values(&text, find);
            assert!(found.iter().any(|value| value.ends_with("hunter2")), "{fill}: {found:?}");
        }
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
        for text in [
            "<amount>1</amount>",
            "<password/>x",
            "Vec<Token> and Span",
            "login <user> <password> [--host h]",
            "<address> is not reachable",
            "<pin></pin>",
            "a < password > b",
            "<",
            "</password>x",
        ] {
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
