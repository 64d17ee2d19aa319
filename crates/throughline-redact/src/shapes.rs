//! Personal data with a shape, which is looked for by choice: phones, addresses of machines, national numbers.

use std::ops::Range;

use crate::found::Found;
use crate::keys::Choice;
use crate::marker;
use crate::tokens::run_end;

/// Finds what was chosen.
pub(crate) fn find(text: &str, choice: Choice, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_in_word(bytes[at]) && !matches!(bytes[at], b'+' | b'(') {
            at += 1;
            continue;
        }
        let word = at..run_end(bytes, at + 1, is_in_word);
        let phone = if choice.phones { phone(bytes, at) } else { None };
        let hit = phone
            .map(|end| (at..end, marker::PHONE))
            .or_else(|| {
                if choice.network { network(bytes, at).map(|end| (at..end, marker::ADDRESS)) } else { None }
            })
            .or_else(|| {
                (choice.eu && is_national(bytes, &word)).then(|| (word.clone(), marker::NATIONAL_ID))
            });
        at = hit.as_ref().map_or(word.end, |(hit, _)| hit.end.max(word.end));
        if let Some((hit, mark)) = hit {
            found.push(hit, mark);
        }
    }
}

fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Where a phone number ends that starts here: a plus and 8 to 15 digits (E.164), or the American 3, 3 and 4.
fn phone(bytes: &[u8], start: usize) -> Option<usize> {
    if start > 0 && (is_in_word(bytes[start - 1]) || matches!(bytes[start - 1], b'-' | b'.' | b'+')) {
        return None;
    }
    let is_international = bytes[start] == b'+';
    let mut groups = Vec::new();
    let mut at = start + usize::from(is_international || bytes[start] == b'(');
    let mut end = at;
    while groups.len() < 7 {
        let digits = run_end(bytes, at, |byte| byte.is_ascii_digit()) - at;
        if digits == 0 || digits > 15 {
            break;
        }
        groups.push(digits);
        end = at + digits;
        at = run_end(&bytes[..bytes.len().min(end + 2)], end, |byte| {
            matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'/')
        });
    }
    let all: usize = groups.iter().sum();
    let ends = !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    let is_american = groups == [3, 3, 4] || groups == [1, 3, 3, 4];
    (ends && ((is_international && (8..=15).contains(&all)) || is_american)).then_some(end)
}

/// Where an IP address or a MAC address ends that starts here.
fn network(bytes: &[u8], start: usize) -> Option<usize> {
    if start > 0 && (is_in_word(bytes[start - 1]) || matches!(bytes[start - 1], b'.' | b':' | b'-')) {
        return None;
    }
    let end = run_end(&bytes[..bytes.len().min(start + 40)], start, |byte| {
        byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'-')
    });
    let text = std::str::from_utf8(&bytes[start..end]).ok()?.trim_end_matches(['.', ':', '-']);
    let is_mac = |separator: char| {
        let parts: Vec<_> = text.split(separator).collect();
        parts.len() == 6
            && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let is_v6 = || text.len() > 6 && text.contains(':') && text.parse::<std::net::Ipv6Addr>().is_ok();
    if is_mac(':') || is_mac('-') || is_v6() {
        return Some(start + text.len());
    }
    // A port may follow.
    let host = text.split(':').next()?;
    host.parse::<std::net::Ipv4Addr>().is_ok().then_some(start + host.len())
}

/// Whether a word is a national number whose check digit or letter is right.
fn is_national(bytes: &[u8], word: &Range<usize>) -> bool {
    let text = &bytes[word.clone()];
    let alone = |at: Option<&u8>| !at.is_some_and(|byte| matches!(byte, b'_' | b'-' | b'.'));
    alone(word.start.checked_sub(1).and_then(|at| bytes.get(at)))
        && (is_dni(text) || is_pesel(text) || is_codice_fiscale(text) || is_nino(text))
}

fn digits(text: &[u8]) -> Option<Vec<u32>> {
    text.iter().map(|byte| byte.is_ascii_digit().then(|| u32::from(byte - b'0'))).collect()
}

/// Eight digits, or a letter and seven, and the letter that the remainder by 23 selects.
fn is_dni(text: &[u8]) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let [first, middle @ .., last] = text else { return false };
    let first = match first {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        b'0'..=b'9' => u32::from(first - b'0'),
        _ => return false,
    };
    let Some(rest) = digits(middle).filter(|rest| rest.len() == 7) else { return false };
    let number = rest.iter().fold(first, |number, digit| number * 10 + digit);
    LETTERS[(number % 23) as usize] == *last
}

/// Eleven digits: a date of birth, a number and a check digit.
fn is_pesel(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 10] = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3];
    let Some(digits) = digits(text).filter(|digits| digits.len() == 11) else { return false };
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    let (month, day) = ((digits[2] * 10 + digits[3]) % 20, digits[4] * 10 + digits[5]);
    (1..=12).contains(&month) && (1..=31).contains(&day) && (10 - sum % 10) % 10 == digits[10]
}

/// Sixteen letters and digits, the last of which checks the others.
fn is_codice_fiscale(text: &[u8]) -> bool {
    const ODD: [u32; 36] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12,
        14, 16, 10, 22, 25, 24, 23,
    ];
    let shape = b"AAAAAA00A00A000A";
    let fits = text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, kind)| match kind {
            b'A' => byte.is_ascii_uppercase(),
            _ => byte.is_ascii_digit(),
        });
    let value = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' };
    fits && {
        let sum: u32 = text[..15]
            .iter()
            .enumerate()
            .map(|(place, &byte)| {
                let index = usize::from(value(byte)) + if byte.is_ascii_digit() { 0 } else { 10 };
                if place % 2 == 0 { ODD[index] } else { u32::from(value(byte)) }
            })
            .sum();
        u32::from(text[15] - b'A') == sum % 26
    }
}

/// Two letters, six digits and a letter from A to D.
fn is_nino(text: &[u8]) -> bool {
    matches!(text, [one, two, digits @ .., last]
        if digits.len() == 6 && digits.iter().all(u8::is_ascii_digit)
            && one.is_ascii_uppercase() && two.is_ascii_uppercase() && !b"DFIQUV".contains(one) && !b"DFIOQUV".contains(two)
            && matches!(last, b'A'..=b'D'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::found_in;

    const ALL: Choice = Choice { credentials_only: false, eu: true, us: true, phones: true, network: true };

    #[test]
    fn phones_addresses_and_national_numbers_are_found_by_their_shape() {
        for (text, hit, mark) in [
            ("call +31 6 12345678 now", "+31 6 12345678", marker::PHONE),
            ("call +14155550132.", "+14155550132", marker::PHONE),
            ("(415) 555-0132", "(415) 555-0132", marker::PHONE),
            ("415-555-0132", "415-555-0132", marker::PHONE),
            ("from 203.0.113.9:80", "203.0.113.9", marker::ADDRESS),
            ("at 2001:db8::1 up", "2001:db8::1", marker::ADDRESS),
            ("aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff", marker::ADDRESS),
            ("dni 12345678Z", "12345678Z", marker::NATIONAL_ID),
            ("nie X1234567L", "X1234567L", marker::NATIONAL_ID),
            ("44051401359", "44051401359", marker::NATIONAL_ID),
            ("RSSMRA80A01H501U", "RSSMRA80A01H501U", marker::NATIONAL_ID),
            ("AB123456C", "AB123456C", marker::NATIONAL_ID),
        ] {
            let found = found_in(text, |text, found| find(text, ALL, found));
            assert_eq!(found, [(hit.to_owned(), mark)], "{text}");
        }
    }

    #[test]
    fn what_looks_similar_is_left_alone() {
        for text in [
            "+1",
            "1.2.3",
            "256.1.1.1",
            "2026-03-01 09:30:00",
            "12345678A",
            "44051401358",
            "RSSMRA80A01H501X",
            "version 1.2.3.4.5",
            "a+12345678901",
            "10:30:00",
            "::",
        ] {
            let found = found_in(text, |text, found| find(text, ALL, found));
            assert!(found.is_empty(), "{text}: {found:?}");
        }
    }
}
