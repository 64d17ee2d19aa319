//! `baggage`: names and values that travel along.

use std::fmt::Write as _;

use super::ows;
use crate::env::percent_decoded;
use throughline_model::{Attrs, Text};

/// The most that travels on, in members and in bytes, as [W3C Baggage](https://www.w3.org/TR/baggage/#limits) requires of
/// everybody.
const MEMBERS: usize = 64;
const LIMIT: usize = 8192;
/// How many bytes are looked at: invalid members do not count, so they need a bound of their own.
const READ: usize = 64 * 1024;

/// Reads the values of all headers of that name, which are one list: the members, and their properties as they are.
/// Malformed members and properties and what is beyond the limits are left out, and the others kept.
pub(super) fn parse<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> (Attrs, Attrs) {
    let members = parse_members(values);
    let mut properties = Attrs::new();
    if members.iter().any(|member| !member.properties.is_empty()) {
        let all: Attrs =
            members.iter().map(|member| (member.key.clone(), member.properties.clone())).collect();
        // Of members of one name the last counts, with its own properties or none.
        properties = all.iter().filter(|(_, properties)| !properties.is_empty()).cloned().collect();
    }
    (members.into_iter().map(|member| (member.key, member.value)).collect(), properties)
}

struct Member {
    key: Text,
    value: Text,
    /// `name` or `name=value`, joined by `;`.
    properties: Text,
}

fn parse_members<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Vec<Member> {
    let (mut read, mut length) = (0, 0);
    let mut members = Vec::new();
    for list in values {
        for member in list.split(|byte| *byte == b',') {
            read += member.len() + 1;
            if members.len() == MEMBERS || read > READ {
                return members;
            }
            let member = ows(member);
            if length + member.len() <= LIMIT
                && let Some(parsed) = parse_member(member)
            {
                length += member.len() + 1;
                members.push(parsed);
            }
        }
    }
    members
}

fn parse_member(member: &[u8]) -> Option<Member> {
    let mut parts = member.split(|byte| *byte == b';');
    let (key, value) = parse_pair(parts.next()?)?;
    let value = decode(value?)?.into();
    let mut properties = String::new();
    for (name, value) in parts.filter_map(parse_pair) {
        if !properties.is_empty() {
            properties.push(';');
        }
        properties.push_str(name);
        if let Some(value) = value {
            properties.push('=');
            properties.extend(value.iter().copied().map(char::from));
        }
    }
    Some(Member { key: key.to_owned().into(), value, properties: properties.into() })
}

/// A name, and a value if it has one.
fn parse_pair(pair: &[u8]) -> Option<(&str, Option<&[u8]>)> {
    let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], Some(ows(&pair[at + 1..]))),
        None => (pair, None),
    };
    let key = ows(key);
    let is_sound = is_token(key) && value.is_none_or(|value| value.iter().all(is_octet));
    Some((std::str::from_utf8(key).ok().filter(|_| is_sound)?, value))
}

/// A token of [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2).
fn is_token(key: &[u8]) -> bool {
    !key.is_empty() && key.iter().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(c))
}

/// What may stand in a value as it is.
fn is_octet(c: &u8) -> bool {
    c.is_ascii_graphic() && !matches!(c, b'"' | b',' | b';' | b'\\')
}

/// Undoes the percent-encoding; `None` if it is none. Octets that are no UTF-8 become U+FFFD, as the standard has it.
fn decode(value: &[u8]) -> Option<String> {
    let octets = percent_decoded(value)?;
    Some(match String::from_utf8(octets) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// The header's value. What does not fit into it is left out; `None` if nothing is left.
pub(super) fn render(baggage: &Attrs, properties: &Attrs) -> Option<String> {
    let mut header = String::new();
    let (mut member, mut members) = (String::new(), 0);
    for (key, value) in baggage.iter().filter(|(key, _)| is_token(key.as_bytes())) {
        member.clear();
        member.extend([key, "="]);
        encode(value, &mut member);
        if let Some(properties) = properties.get(key).filter(|properties| are_properties(properties)) {
            member.extend([";", properties]);
        }
        let separator = if members == 0 { "" } else { "," };
        if members < MEMBERS && header.len() + separator.len() + member.len() <= LIMIT {
            header.extend([separator, &member]);
            members += 1;
        }
    }
    (members > 0).then_some(header)
}

/// The same as one header for each member, as others have it: names and values.
pub(super) fn render_each(baggage: &Attrs) -> impl Iterator<Item = (&str, String)> {
    let mut length = 0;
    let members = baggage.iter().filter(|(key, _)| is_token(key.as_bytes())).take(MEMBERS);
    members.filter_map(move |(key, value)| {
        let mut encoded = String::new();
        encode(value, &mut encoded);
        length += key.len() + encoded.len();
        (length <= LIMIT).then_some((&**key, encoded))
    })
}

/// Whether it may go into a header: what came in a job may be anything.
fn are_properties(text: &str) -> bool {
    text.as_bytes().split(|byte| *byte == b';').all(|property| parse_pair(property).is_some())
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if is_octet(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(list: &str) -> Attrs {
        parse([list.as_bytes()]).0
    }

    fn render(baggage: &Attrs) -> Option<String> {
        super::render(baggage, &Attrs::new())
    }

    #[test]
    fn properties_travel_on_with_their_member_and_malformed_ones_do_not() {
        let travelled = |list: &str| {
            let (baggage, properties) = parse([list.as_bytes()]);
            super::render(&baggage, &properties).unwrap_or_default()
        };
        assert_eq!(travelled("a=1 ; ttl = 60 ;hidden;=x;a b;c=\"d\";e=%41"), "a=1;ttl=60;hidden;e=%41");
        assert_eq!(travelled("a=1;p,a=2"), "a=2", "the last member counts, and it has none");
        assert_eq!(travelled("a=1,a=2;p"), "a=2;p");
        assert_eq!(travelled(&format!("a=1;p={},b=2", "x".repeat(LIMIT))), "b=2", "they count as well");
        let planted = Attrs::new().with("a", "x=1\r\nset-cookie: y");
        assert_eq!(super::render(&read("a=1"), &planted).unwrap(), "a=1");
    }

    #[test]
    fn what_is_malformed_is_passed_over_and_the_rest_kept() {
        let baggage = read(
            "tenant=acme%20bank;prop=1, bad, =x, a b=1, user = %C3%A9 , b=%zz, c=%+1, d=a b, e=\"x\", f=",
        );
        let pairs: Vec<_> = baggage.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("f", ""), ("tenant", "acme bank"), ("user", "é")]);
        assert_eq!(read("a=%FF1").get("a"), Some("\u{fffd}1"));
        assert_eq!(read("a=1=2").get("a"), Some("1=2"));
    }

    #[test]
    fn limits_are_kept_and_what_comes_after_them_is_left_out() {
        let many: Vec<_> = (0..10_000).map(|n| format!("k{n}=v")).collect();
        let kept = read(&many.join(","));
        assert_eq!(kept.len(), 64);
        assert!((0..64).all(|n| kept.get(&format!("k{n}")).is_some()));

        let too_long = format!("a={},b=1", "x".repeat(8191));
        assert_eq!(read(&too_long).iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["b"]);
        let just_right = format!("a={}", "x".repeat(8190));
        assert!(render(&read(&just_right)) == Some(just_right));
        assert_eq!(read(&format!("{}a=1", ",".repeat(READ))), Attrs::new(), "nobody reads that far");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            pairs in proptest::collection::btree_map("[a-z!#$%&'*+.^_`|~-]{1,8}", any::<String>(), 0..8)
        ) {
            let baggage: Attrs = pairs.into_iter().collect();
            let read = render(&baggage).map(|header| {
                assert!(header.bytes().all(|c| c.is_ascii_graphic()), "{header}");
                parse([header.as_bytes()]).0
            });
            prop_assert_eq!(read.unwrap_or_default(), baggage);
        }

        #[test]
        fn no_bytes_whatsoever_are_too_much(bytes: Vec<u8>) {
            let (read, properties) = parse([&bytes[..]]);
            prop_assert!(read.len() <= MEMBERS && properties.len() <= read.len());
        }
    }
}
