//! Card numbers, social security numbers and IBANs.

use super::Hit;

/// With fewer digits a text holds none of them.
pub(super) const FEWEST_DIGITS: usize = 9;

/// A run of digits without a gap.
#[derive(Debug, Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
    digits: usize,
}

pub(super) fn find(text: &str, hit: &mut dyn FnMut(Hit)) {
    find_ibans(text, hit);
    // Groups that hang together by single spaces or dashes.
    let mut chain: Vec<(Group, Vec<u8>)> = Vec::new();
    let mut separator: Option<char> = None;
    let mut before: Option<char> = None;
    let mut chars = text.char_indices().peekable();
    while let Some(&(start, c)) = chars.peek() {
        let Some(_) = digit(c) else {
            chars.next();
            let joins =
                matches!(c, ' ' | '-' | '\u{a0}' | '\u{2011}') && separator.is_none() && !chain.is_empty();
            if joins {
                separator = Some(c);
            } else {
                judge(text, &chain, hit);
                chain.clear();
                separator = None;
            }
            before = Some(c);
            continue;
        };
        let mut digits = Vec::new();
        let mut end = start;
        while let Some(&(at, c)) = chars.peek()
            && let Some(value) = digit(c)
        {
            digits.push(value);
            end = at + c.len_utf8();
            chars.next();
        }
        // A part of an id in hex, or of a decimal fraction, is no number of its own.
        let foreign =
            before.is_some_and(is_hex_letter) || chars.peek().is_some_and(|(_, c)| is_hex_letter(*c));
        if foreign || (before == Some('.') && start > 1 && follows_digit(text, start)) {
            judge(text, &chain, hit);
            chain.clear();
        } else {
            chain.push((Group { start, end, digits: digits.len() }, digits));
        }
        separator = None;
        before = None;
    }
    judge(text, &chain, hit);
}

fn follows_digit(text: &str, dot_end: usize) -> bool {
    text[..dot_end - 1].ends_with(|c: char| c.is_ascii_digit())
}

fn is_hex_letter(c: char) -> bool {
    matches!(c, 'a'..='f' | 'A'..='F')
}

/// ASCII and full-width digits.
fn digit(c: char) -> Option<u8> {
    match c {
        '0'..='9' => Some(c as u8 - b'0'),
        '\u{ff10}'..='\u{ff19}' => Some((c as u32 - 0xff10) as u8),
        _ => None,
    }
}

/// Looks for the longest sequences of whole groups that are a card number, then for social security numbers.
fn judge(text: &str, chain: &[(Group, Vec<u8>)], hit: &mut dyn FnMut(Hit)) {
    let mut first = 0;
    while first < chain.len() {
        let mut digits = Vec::new();
        let mut card = None;
        for (last, (group, values)) in chain.iter().enumerate().skip(first) {
            if digits.len() + group.digits > 19 {
                break;
            }
            digits.extend_from_slice(values);
            if is_card(&digits) {
                card = Some(last);
            }
        }
        if let Some(last) = card {
            hit(Hit::new(chain[first].0.start..chain[last].0.end, "card"));
            first = last + 1;
            continue;
        }
        if let [(area, a), (group, g), (serial, s), ..] = &chain[first..]
            && (a.len(), g.len(), s.len()) == (3, 2, 4)
            && text[area.end..group.start] == text[group.end..serial.start]
            && is_ssn(a, g, s)
        {
            hit(Hit::new(area.start..serial.end, "ssn"));
            first += 3;
            continue;
        }
        first += 1;
    }
}

/// 13 to 19 digits, an issuer that exists (ISO/IEC 7812: 2 to 6, 8), and the Luhn check digit.
fn is_card(digits: &[u8]) -> bool {
    if !(13..=19).contains(&digits.len()) || !matches!(digits[0], 2..=6 | 8) {
        return false;
    }
    // 0000… and 4444… pass Luhn, and are nobody's.
    if digits.iter().all(|digit| *digit == digits[0]) {
        return false;
    }
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| u32::from(if place % 2 == 1 { doubled(*digit) } else { *digit }))
        .sum();
    sum.is_multiple_of(10)
}

/// The areas, groups and serials that the Social Security Administration gives out.
fn is_ssn(area: &[u8], group: &[u8], serial: &[u8]) -> bool {
    let value = |digits: &[u8]| digits.iter().fold(0_u32, |value, digit| value * 10 + u32::from(*digit));
    let area = value(area);
    area != 0 && area != 666 && area < 900 && value(group) != 0 && value(serial) != 0
}

/// Two capital letters, two check digits, 11 to 30 letters or digits in any grouping, and the remainder 1 of 97
/// (ISO 13616).
fn find_ibans(text: &str, hit: &mut dyn FnMut(Hit)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 15 <= bytes.len() {
        let head = &bytes[at..at + 4];
        let fits = head[..2].iter().all(u8::is_ascii_uppercase) && head[2..].iter().all(u8::is_ascii_digit);
        if !fits || (at > 0 && bytes[at - 1].is_ascii_uppercase()) {
            at += 1;
            continue;
        }
        // The longest that checks: what follows without a gap may belong to something else.
        let (mut remainder, mut count, mut best) = (0_u32, 0, None);
        let rotated = |remainder: u32, head: &[u8]| head.iter().fold(remainder, |r, c| append(r, *c));
        for (offset, &byte) in bytes[at + 4..].iter().enumerate() {
            match byte {
                b'0'..=b'9' | b'A'..=b'Z' if count < 30 => {
                    remainder = append(remainder, byte);
                    count += 1;
                    if count >= 11 && rotated(remainder, head) == 1 {
                        best = Some(at + 4 + offset + 1);
                    }
                }
                b' ' | b'-' if bytes[at + 3 + offset] != byte => {}
                _ => break,
            }
        }
        match best {
            Some(end) => {
                hit(Hit::new(at..end, "iban"));
                at = end;
            }
            None => at += 1,
        }
    }
}

/// The remainder of 97 after one more letter or digit.
fn append(remainder: u32, byte: u8) -> u32 {
    if byte.is_ascii_digit() {
        (remainder * 10 + u32::from(byte - b'0')) % 97
    } else {
        (remainder * 100 + u32::from(byte.to_ascii_uppercase() - b'A') + 10) % 97
    }
}
