//! Payment card numbers and US social security numbers, and the way to what else has digits.

use std::ops::{Range, RangeInclusive};

use crate::found::Found;
use crate::prefilter::is_uuid;
use crate::{iban, marker};

/// From the shortest to the longest payment card number.
const CARD_DIGITS: RangeInclusive<usize> = 12..=19;

/// How many digits the groups of a card number have at least.
const GROUP: usize = 4;

/// The digits of a social security number; nothing that is found here has fewer, but for IBANs.
const FEWEST_DIGITS: usize = 9;

/// Finds the numbers of cards, accounts and social security.
pub(crate) fn find(text: &str, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(start) = next_digit(bytes, at) {
        at = if let Some(iban) = iban::around(bytes, start) {
            let end = iban.end;
            found.push(iban, marker::IBAN);
            end
        } else {
            let chain = Chain::at(bytes, start);
            if chain.digits >= FEWEST_DIGITS {
                find_in_chain(bytes, start..chain.end, found);
            }
            chain.end
        };
    }
}

/// A one in the highest bit of each byte.
const HIGHEST: u64 = 0x8080_8080_8080_8080;

/// The highest bit of each byte that is no digit, the first byte lowest.
#[inline]
fn others(block: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A digit becomes 0 to 9, any other byte has a high bit or gets one when 0x76 is added.
    let values = u64::from_le_bytes(block) ^ (ONES * 0x30);
    (((values & (ONES * 0x7f)) + ONES * 0x76) | values) & HIGHEST
}

/// The next digit from here on, looked for eight bytes at a time.
fn next_digit(bytes: &[u8], from: usize) -> Option<usize> {
    let (blocks, rest) = bytes[from..].as_chunks::<8>();
    for (place, block) in blocks.iter().enumerate() {
        let digits = others(*block) ^ HIGHEST;
        if digits != 0 {
            return Some(from + 8 * place + digits.trailing_zeros() as usize / 8);
        }
    }
    let start = bytes.len() - rest.len();
    rest.iter().position(u8::is_ascii_digit).map(|offset| start + offset)
}

/// Groups of digits with single separators between.
struct Chain {
    end: usize,
    digits: usize,
}

impl Chain {
    fn at(bytes: &[u8], start: usize) -> Self {
        let (mut group, mut digits) = (start, 0);
        loop {
            let end = digits_end(bytes, group);
            digits += end - group;
            match separator(bytes, group, end) {
                Some(next) => group = next,
                None => return Self { end, digits },
            }
        }
    }
}

/// Finds cards and social security numbers, each group tried as the first.
fn find_in_chain(bytes: &[u8], chain: Range<usize>, found: &mut Found<'_>) {
    let mut at = chain.start;
    while at < chain.end {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let group_end = digits_end(bytes, at);
        let hit = match group_end - at {
            0..3 => None,
            3 => ssn(bytes, at, group_end).map(|end| (end, marker::SSN)),
            _ => card(bytes, at).map(|end| (end, marker::CARD)),
        };
        at = match hit {
            Some((end, mark)) => {
                if mark != marker::CARD || !is_in_list(bytes, at, end) {
                    found.push(at..end, mark);
                }
                end
            }
            None => group_end,
        };
    }
}

/// Whether four groups of four digits are a part of a list of such numbers, as the speeds of fans are: more of them stand beside
/// these, in the same way. A year behind a card is the one in which it expires, and cards may stand beside each other.
fn is_in_list(bytes: &[u8], start: usize, end: usize) -> bool {
    const CARD: usize = 4 * GROUP + 3;
    /// More groups than these are a list in any case.
    const FAR: usize = 16;
    if end - start != CARD
        || bytes[start..end].iter().skip(GROUP).step_by(GROUP + 1).any(|sign| *sign != bytes[start + GROUP])
    {
        return false;
    }
    let separator = bytes[start + GROUP];
    let is_group = |group: &[u8]| group.iter().all(u8::is_ascii_digit);
    let after = bytes[end..].chunks(GROUP + 1).take(FAR).take_while(|part| {
        matches!(part, [sign, group @ ..] if *sign == separator && group.len() == GROUP && is_group(group))
    });
    let before = bytes[..start].rchunks(GROUP + 1).take(FAR).take_while(
        |part| matches!(part, [group @ .., sign] if *sign == separator && group.len() == GROUP && is_group(group)),
    );
    let (before, after) = (before.count(), after.count());
    let is_year = after <= 2 && matches!(bytes.get(end + 1..end + 3), Some(b"20"));
    let are_cards = before.is_multiple_of(4) && after.is_multiple_of(4);
    before + after > 1 && !is_year && !are_cards
}

/// Whether a number is that of a payment card.
pub(crate) fn is_card(number: u64) -> bool {
    if number < 10_u64.pow(*CARD_DIGITS.start() as u32 - 1) {
        return false;
    }
    let mut digits = [0; 20];
    let mut rest = number;
    let mut first = digits.len();
    while rest > 0 {
        first -= 1;
        digits[first] = (rest % 10) as u8;
        rest /= 10;
    }
    is_card_number(&digits[first..])
}

/// Where the longest card number ends whose first group of digits starts here.
fn card(bytes: &[u8], start: usize) -> Option<usize> {
    let mut digits = [0; *CARD_DIGITS.end()];
    let (mut len, mut at, mut end) = (0, start, None);
    let (mut groups, mut count) = ([0; *CARD_DIGITS.end() / GROUP + 1], 0);
    // No issuer has numbers that begin otherwise, and the digits behind a decimal point are no card.
    if !matches!(bytes[start], b'2'..=b'6' | b'8') {
        return None;
    }
    if start >= 2 && bytes[start - 1] == b'.' && bytes[start - 2].is_ascii_digit() {
        return None;
    }
    // Nor are those of a number in hex.
    if bytes[..start].ends_with(b"0x") || bytes[..start].ends_with(b"0X") {
        return None;
    }
    loop {
        let group_end = digits_end(bytes, at);
        let group = bytes.get(at..group_end).filter(|group| len + group.len() <= digits.len());
        let Some(group) = group else { break };
        for &byte in group {
            digits[len] = byte - b'0';
            len += 1;
        }
        groups[count] = group.len();
        count += 1;
        let is_number = is_card_number(&digits[..len]) && is_usual(&groups[..count]);
        if is_number && !is_in_hex_id(bytes, start, group_end) && !is_id(bytes, start, group_end) {
            end = Some(group_end);
        }
        match separator(bytes, at, group_end) {
            // All groups but the last have at least four digits: other numbers stand beside each other.
            Some(next) if group_end - at >= GROUP => at = next,
            _ => break,
        }
    }
    end
}

/// Whether card numbers are written in groups of these lengths.
fn is_usual(groups: &[usize]) -> bool {
    match groups {
        [_] | [4, 6, 4 | 5] | [6, 13] => true,
        [first @ .., last] => {
            let fours = |group: &usize| group.is_multiple_of(GROUP);
            first.iter().all(fours) && (fours(last) || *last < GROUP)
        }
        [] => false,
    }
}

/// Whether digits in one piece that touch a word are an id, as in `blk_-4970335689334898653` and `job_4421250900697_0020`. Nearly
/// all cards have 15 or 16 digits; the others are cards behind a word that says so.
fn is_id(bytes: &[u8], start: usize, end: usize) -> bool {
    const SAYS_SO: [&[u8]; 8] = [b"card", b"pan", b"cc", b"ccn", b"acct", b"account", b"number", b"nr"];
    let digits = &bytes[start..end];
    if matches!(digits.len(), 15 | 16) || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let behind_word = matches!(bytes[..start], [.., before, b'_' | b'-'] if is_word(before));
    if behind_word {
        let word = bytes[..start - 1].rsplit(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
        if SAYS_SO.iter().any(|says| word.eq_ignore_ascii_case(says)) {
            return false;
        }
    }
    let before_word = matches!(bytes[end..], [b'_' | b'-', after, ..] if is_word(after));
    behind_word || before_word
}

/// Where the next group of digits starts, if no more than one usual separator is between.
fn separator(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let next = match bytes.get(end..)? {
        [b' ', b'-', b' ', ..] => end + 3,
        [b'\r', b'\n', ..] => end + 2,
        [b' ' | b'-' | b'\t' | b'\n', ..] => end + 1,
        // 4111.1111.1111.1111, but no decimal fraction.
        [b'.' | b'/', ..] if end - start == 4 && digits_end(bytes, end + 1) == end + 5 => end + 1,
        _ => return None,
    };
    bytes.get(next).is_some_and(u8::is_ascii_digit).then_some(next)
}

/// Where the digits end that start here, looked for eight bytes at a time.
fn digits_end(bytes: &[u8], start: usize) -> usize {
    let mut end = start.min(bytes.len());
    while let Some(block) = bytes[end..].first_chunk() {
        let others = others(*block);
        if others != 0 {
            return end + others.trailing_zeros() as usize / 8;
        }
        end += block.len();
    }
    end + bytes[end..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn is_card_number(digits: &[u8]) -> bool {
    CARD_DIGITS.contains(&digits.len()) && is_issued(digits) && passes_luhn(digits)
}

/// Whether cards with this beginning and length are issued by somebody.
fn is_issued(digits: &[u8]) -> bool {
    let prefix = |len: usize| digits[..len].iter().fold(0_u32, |value, &digit| value * 10 + u32::from(digit));
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    match digits.len() {
        // Visa.
        13 | 16 | 19 if digits[0] == 4 => true,
        // Mastercard, and those that issue on its network.
        16 if matches!(two, 51..=55) || matches!(four, 2221..=2720) => true,
        // American Express.
        15 if matches!(two, 34 | 37) => true,
        // Diners Club.
        14 | 16 if matches!(two, 36 | 38 | 39) || matches!(three, 300..=305 | 309) => true,
        // Discover, UnionPay, JCB, Mir, RuPay, Verve.
        16..=19 if four == 6011 || matches!(three, 644..=649) || matches!(two, 62 | 65) => true,
        16..=19 if matches!(four, 3528..=3589 | 2200..=2204) => true,
        16 | 18 | 19 if matches!(two, 60 | 81 | 82) || matches!(three, 506..=508) || four == 5019 => true,
        // Maestro.
        _ => matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763),
    }
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit)) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether these digits are a part of a UUID or of another hex id: they touch letters, all of them hex digits.
fn is_in_hex_id(bytes: &[u8], start: usize, end: usize) -> bool {
    const UUID: usize = 36;
    let touches =
        |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(|byte| byte.is_ascii_alphabetic());
    if touches(start.checked_sub(1)) || touches(Some(end)) {
        let before = bytes[..start].iter().rev().take(64).take_while(|byte| byte.is_ascii_alphanumeric());
        let after = bytes[end..].iter().take(64).take_while(|byte| byte.is_ascii_alphanumeric());
        return before.chain(after).all(u8::is_ascii_hexdigit);
    }
    if !bytes[start.saturating_sub(1)..bytes.len().min(end + 1)].contains(&b'-') {
        return false;
    }
    let first = start.saturating_sub(UUID);
    let last = start.min(bytes.len().saturating_sub(UUID));
    (first..=last).any(|at| at + UUID >= end && bytes.get(at..at + UUID).is_some_and(is_uuid))
}

/// Where the social security number ends that starts here: 3, 2 and 4 digits, in ranges that are given out.
fn ssn(bytes: &[u8], start: usize, group_end: usize) -> Option<usize> {
    let number = bytes.get(start..start + 11).filter(|_| group_end == start + 3)?;
    let separator = number[3];
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let shaped = matches!(separator, b'-' | b' ')
        && number[6] == separator
        && digits(&number[4..6])
        && digits(&number[7..]);
    let given_out = !matches!(&number[..3], b"000" | b"666" | [b'9', ..])
        && &number[4..6] != b"00"
        && &number[7..] != b"0000";
    // More digits on either side make it a part of something else.
    let joined = |joint: Option<&u8>, beyond: Option<&u8>| {
        joint.is_some_and(|joint| *joint == separator || *joint == b'.')
            && beyond.is_some_and(u8::is_ascii_digit)
    };
    let end = start + number.len();
    let before = |back: usize| start.checked_sub(back).and_then(|at| bytes.get(at));
    let alone = !bytes.get(end).is_some_and(u8::is_ascii_digit)
        && !joined(before(1), before(2))
        && !joined(bytes.get(end), bytes.get(end + 1));
    (shaped && given_out && alone).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::found_in;

    #[test]
    fn every_digit_is_come_upon() {
        for text in
            ["", "7", "no digit at all / : \u{b0}\u{b9}é", "1234567890", "x....... 7.......8 é9", "........0"]
        {
            let mut seen = Vec::new();
            while let Some(at) = next_digit(text.as_bytes(), seen.last().map_or(0, |last| last + 1)) {
                seen.push(at);
            }
            let digits: Vec<_> =
                text.bytes().enumerate().filter(|(_, b)| b.is_ascii_digit()).map(|(at, _)| at).collect();
            assert_eq!(seen, digits, "{text}");
        }
    }

    #[test]
    fn cards_are_found_with_and_without_separators() {
        for (text, card) in [
            ("4111111111111111", "4111111111111111"),
            ("card 4111 1111 1111 1111.", "4111 1111 1111 1111"),
            ("a-4111-1111-1111-1111-b", "4111-1111-1111-1111"),
            ("4111.1111.1111.1111", "4111.1111.1111.1111"),
            ("(5555 55555555 4444)", "5555 55555555 4444"),
            ("2223003122003222", "2223003122003222"),
            ("amex 3782 822463 10005", "3782 822463 10005"),
            ("4111 1111 1111 1111 2027 1234", "4111 1111 1111 1111"),
            ("4111 1111 1111 1111\t2027\t1234", "4111 1111 1111 1111"),
            ("retry: 5555 5555 5555 4444 after 1200 3400 ms", "5555 5555 5555 4444"),
            ("4111 1111 1111 1112 5555 5555 5555 4444", "5555 5555 5555 4444"),
            ("card-4222222222222", "4222222222222"),
            ("PAN_30569309025904", "30569309025904"),
            ("30569309025904", "30569309025904"),
            ("6011111111111117", "6011111111111117"),
            ("3530111333300000", "3530111333300000"),
            ("6240008631401148", "6240008631401148"),
            ("4222222222222", "4222222222222"),
            ("no 12 4111 1111\n1111 1111 9", "4111 1111\n1111 1111"),
            ("1,4111111111111111,2", "4111111111111111"),
            ("xcard4111111111111111y", "4111111111111111"),
            ("4111 - 1111 - 1111 - 1111", "4111 - 1111 - 1111 - 1111"),
        ] {
            assert_eq!(found_in(text, find), [(card.to_owned(), marker::CARD)], "{text}");
        }
        assert!(is_card(4_111_111_111_111_111) && !is_card(4_111_111_111_111_112) && !is_card(0));
    }

    #[test]
    fn social_security_numbers_are_found_in_the_ranges_given_out() {
        for (text, ssn) in [
            ("078-05-1120", "078-05-1120"),
            ("ssn 219 09 9999!", "219 09 9999"),
            ("x-078-05-1120", "078-05-1120"),
        ] {
            assert_eq!(found_in(text, find), [(ssn.to_owned(), marker::SSN)], "{text}");
        }
        for text in [
            "000-12-3456",
            "666-12-3456",
            "912-12-3456",
            "123-00-4567",
            "123-45-0000",
            "123-45 6789",
            "1078-05-1120",
            "078-05-11201",
            "1-078-05-1120",
            "078-05-1120-3",
            "078051120",
        ] {
            assert!(found_in(text, find).is_empty(), "{text}");
        }
    }

    #[test]
    fn other_numbers_are_left_alone() {
        for text in [
            "4111111111111112",
            "1790000000000000",
            "2026-03-01T09:30:00.000000Z",
            "20260301093000123",
            "0.4111111111111111",
            "41111111-1111-4111-8111-111111111111",
            "a4111111111111111b",
            "0af7651916cd43dd8448eb211c80319c",
            "1234567890123456",
            "9111111111111111",
            "411111111111111",
            "41111111111111111111111",
            "2012-10-01 2012-10-02 2012-10-03",
            "0x4111111111111111",
            "4111 11 11 11111111",
        ] {
            assert!(found_in(text, find).is_empty(), "{text}");
        }
    }
}
