//! International bank account numbers (ISO 13616).

use std::ops::Range;

use crate::tokens::follows_word;

/// How long the numbers are, and in which countries.
const COUNTRIES: &[(u8, &str)] = &[
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FK FO GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "AO CV GW LY MZ PT ST"),
    (26, "DZ IR IS TR"),
    (27, "BI CF CG CM DJ FR GA GQ GR IT KM MC MG MR SM TD"),
    (28, "AL AZ BF BJ BY CI CY DO GT HN HU LB MA ML NE NI PL SN SV TG"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

const LONGEST: usize = 33;

/// The length for each pair of letters, 0 where no country has the two.
const LENGTHS: [u8; 26 * 26] = {
    let mut lengths = [0; 26 * 26];
    let mut row = 0;
    while row < COUNTRIES.len() {
        let (length, codes) = (COUNTRIES[row].0, COUNTRIES[row].1.as_bytes());
        let mut at = 0;
        while at < codes.len() {
            lengths[26 * (codes[at] - b'A') as usize + (codes[at + 1] - b'A') as usize] = length;
            at += 3;
        }
        row += 1;
    }
    lengths
};

/// Letters and digits.
const IS_PART: [bool; 256] = {
    let mut is_part = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        is_part[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    is_part
};

/// Where the account number lies whose check digits start here: the country stands before them.
#[inline]
pub(crate) fn around(bytes: &[u8], check_digits: usize) -> Option<Range<usize>> {
    match bytes[..check_digits] {
        [.., last, b' ' | b'-'] if last.is_ascii_alphabetic() => behind(bytes, check_digits - 1),
        [.., last] if last.is_ascii_alphabetic() => behind(bytes, check_digits),
        _ => None,
    }
}

/// The account number whose country ends here.
fn behind(bytes: &[u8], country_end: usize) -> Option<Range<usize>> {
    let start = country_end.checked_sub(2)?;
    let letter = |byte: u8| byte.is_ascii_alphabetic().then(|| usize::from(byte.to_ascii_uppercase() - b'A'));
    let length = usize::from(LENGTHS[26 * letter(bytes[start])? + letter(bytes[start + 1])?]);
    if length == 0 || follows_word(bytes, start) {
        return None;
    }
    iban(&bytes[start..], length).map(|len| start..start + len)
}

/// How many bytes the account number at the start takes, which has so many letters and digits.
fn iban(bytes: &[u8], length: usize) -> Option<usize> {
    let mut iban = [0; LONGEST];
    let (mut len, mut end, mut grouped) = (0, 0, false);
    while len < length {
        let byte = *bytes.get(end)?;
        end += 1;
        if IS_PART[usize::from(byte)] {
            iban[len] = byte;
            len += 1;
        } else {
            let joins = len > 0 && bytes.get(end).is_some_and(|next| IS_PART[usize::from(*next)]);
            if !(joins && matches!(byte, b' ' | b'-')) {
                return None;
            }
            grouped = true;
        }
    }
    let iban = &mut iban[..length];
    let ends = !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
    (ends && iban[2..4].iter().all(u8::is_ascii_digit) && is_plausible(iban, grouped) && remainder(iban) == 1)
        .then_some(end)
}

/// Keeps words and hex ids out, of which one in 97 would pass the checksum.
fn is_plausible(iban: &[u8], grouped: bool) -> bool {
    let account = &iban[4..];
    let upper = !iban.iter().any(u8::is_ascii_lowercase);
    let digits = account.iter().filter(|byte| byte.is_ascii_digit()).count();
    if grouped || upper {
        upper && digits >= 6
    } else {
        // In lower case a hex id may look the same, unless no letters or other letters are in it.
        digits == account.len() || (digits >= 6 && !iban.iter().all(u8::is_ascii_hexdigit))
    }
}

/// The remainder by 97 of the rearranged number, in which a letter counts as two digits (ISO 7064).
fn remainder(iban: &[u8]) -> u64 {
    let (country, account) = iban.split_at(4);
    // Six of them at a time have at most twelve digits, and two more fit before them.
    account.chunks(6).chain([country]).fold(0, |rest, part| {
        part.iter().fold(rest, |number, byte| match byte {
            b'0'..=b'9' => number * 10 + u64::from(byte - b'0'),
            letter => number * 100 + u64::from(letter.to_ascii_uppercase() - b'A') + 10,
        }) % 97
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{found, marker, numbers};

    fn found_in(text: &str) -> Vec<(String, &str)> {
        found::found_in(text, numbers::find)
    }

    #[test]
    fn every_country_has_two_letters_and_a_length_that_fits() {
        for (length, codes) in COUNTRIES {
            assert!((15..=LONGEST).contains(&usize::from(*length)));
            assert!(codes.split(' ').all(|code| code.len() == 2), "{codes}");
        }
    }

    #[test]
    fn account_numbers_are_found_written_together_and_in_groups() {
        // The examples of the SWIFT registry.
        for iban in [
            "AD1200012030200359100100",
            "AE070331234567890123456",
            "AT611904300234573201",
            "BE68539007547034",
            "BR1800360305000010009795493C1",
            "CH9300762011623852957",
            "DE89370400440532013000",
            "DK5000400440116243",
            "ES9121000418450200051332",
            "FR1420041010050500013M02606",
            "GB29NWBK60161331926819",
            "IT60X0542811101000000123456",
            "KW81CBKU0000000000001234560101",
            "LC55HEMM000100010012001200023015",
            "MT84MALT011000012345MTLCAST001S",
            "NL91ABNA0417164300",
            "NO9386011117947",
            "PL61109010140000071219812874",
            "SE4550000000058398257466",
            "TR330006100519786457841326",
        ] {
            let mut grouped = String::new();
            for (place, c) in iban.chars().enumerate() {
                grouped.extend((place > 0 && place % 4 == 0).then_some(' '));
                grouped.push(c);
            }
            let dutch = format!("{} {} {}", &iban[..2], &iban[2..4], &iban[4..]);
            for written in [iban.to_owned(), iban.to_lowercase(), grouped.replace(' ', "-"), grouped, dutch] {
                let text = format!("paid to {written}, EUR 50");
                assert_eq!(found_in(&text), [(written, marker::IBAN)], "{text}");
            }
        }
    }

    #[test]
    fn what_looks_like_an_account_number_is_left_alone() {
        for text in [
            "NL92ABNA0417164300",
            "XNL91ABNA0417164300",
            "NL91ABNA04171643001",
            "NL91ABNA041716430",
            "at 12 people were seen in it",
            "be12345678901234",
            "NL-2026-000123",
            "AT",
            "NO",
            "NL91",
        ] {
            assert!(found_in(text).is_empty(), "{text}");
        }
    }
}
