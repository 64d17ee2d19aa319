//! Numbers in JSON text that a reader would round.

use std::borrow::Cow;

/// As many significant digits as it takes to write any `f64`: a fraction with no more may be one that was written so.
const FLOAT_DIGITS: usize = 17;

/// JSON in which numbers that neither 64 bits nor a float hold are texts of their digits. Anything else is left as it is,
/// also what is no JSON.
pub(crate) fn keep_digits(json: &[u8]) -> Cow<'_, [u8]> {
    let mut kept: Vec<u8> = Vec::new();
    let (mut at, mut done) = (0, 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = string_end(json, at),
            b'-' | b'0'..=b'9' => {
                let end = number_end(json, at);
                if is_rounded(&json[at..end]) {
                    kept.extend_from_slice(&json[done..at]);
                    kept.push(b'"');
                    kept.extend_from_slice(&json[at..end]);
                    kept.push(b'"');
                    done = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if done == 0 {
        return Cow::Borrowed(json);
    }
    kept.extend_from_slice(&json[done..]);
    Cow::Owned(kept)
}

/// Where the text ends whose quotation mark is here.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

fn number_end(json: &[u8], start: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    start + json[start..].iter().take_while(|byte| is_part(byte)).count()
}

fn is_rounded(number: &[u8]) -> bool {
    let is_integer = |number: &[u8]| !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    let Ok(text) = std::str::from_utf8(number) else { return false };
    if is_integer(number) {
        // Shorter ones need no second look.
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        return digits.len() > 18
            && is_number
            && text.parse::<u64>().is_err()
            && text.parse::<i64>().is_err();
    }
    let Ok(float) = text.parse::<f64>() else { return false };
    let digits = significant(text);
    !float.is_finite()
        || (float == 0.0 && !digits.is_empty())
        || (digits.len() > FLOAT_DIGITS && digits != significant(&format!("{float:e}")))
}

/// The digits of a number without its sign, its exponent and zeros at either end.
fn significant(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn kept(json: &str) -> String {
        String::from_utf8(keep_digits(json.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn numbers_that_would_be_rounded_are_texts_of_their_digits() {
        for number in [
            "123456789012345678901234567890",
            "-123456789012345678901234567890",
            "18446744073709551616",
            "-9223372036854775809",
            "100000000000000000000",
            "0.1234567890123456789",
            "1234567890.1234567890123",
            "1.234567890123456789e5",
            "1e400",
            "-1E+400",
            "1e-400",
        ] {
            assert_eq!(kept(number), format!("\"{number}\""));
            let text = kept(&format!(r#"{{"a":[1,{number}],"b":{number} , "c":"\"{number}"}}"#));
            assert_eq!(text, format!(r#"{{"a":[1,"{number}"],"b":"{number}" , "c":"\"{number}"}}"#));
        }
    }

    #[test]
    fn numbers_that_a_reader_holds_stay_numbers() {
        for number in [
            "0",
            "-0",
            "7",
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "1.10",
            "0.30000000000000004",
            "0.10000000000000001",
            "1.7976931348623157e308",
            "5e-324",
            "0e400",
            "0.000000000000000000000000000001",
            "0.50000000000000000000000000000",
        ] {
            assert_eq!(kept(number), number);
        }
    }

    proptest! {
        #[test]
        fn what_is_a_number_in_rust_stays_one(float in any::<f64>(), int in any::<i64>(), more in any::<u64>()) {
            let json = Value::from(vec![Value::from(float), int.into(), more.into()]).to_string();
            prop_assert_eq!(kept(&json), json);
        }

        #[test]
        fn any_integer_comes_back_with_its_digits(int in any::<i128>()) {
            let read: Value = serde_json::from_str(&kept(&int.to_string())).unwrap();
            let digits = read.as_str().map_or_else(|| read.to_string(), str::to_owned);
            prop_assert_eq!(digits, int.to_string());
        }

        #[test]
        fn whatever_is_no_json_harms_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in "[-0-9.eE\"\\\\a,]{0,64}") {
            keep_digits(&bytes);
            keep_digits(text.as_bytes());
        }
    }
}
