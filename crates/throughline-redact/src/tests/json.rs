//! JSON as text: it stays JSON, whatever stands around it.

use super::*;

#[test]
fn json_stays_json_whatever_it_begins_with() {
    let redactor = standard();
    for (text, redacted) in [
        (r#"{"n":4111111111111111}"#, r#"{"n":"[redacted:card]"}"#),
        (r#"[4111111111111111, 5]"#, r#"["[redacted:card]", 5]"#),
        (r#"{"n":1}{"n":4111111111111111}"#, r#"{"n":1}{"n":"[redacted:card]"}"#),
        (r#""it was 4111111111111111""#, r#""it was [redacted:card]""#),
        (r#""{\"pin\":1234}""#, r#""{\"pin\":\"[redacted]\"}""#),
        (r#""a \\" "#, r#""a \\" "#),
    ] {
        for (before, after) in [("", ""), ("\r\n", ""), ("\t", "\r\n"), (" \n\t", "\n"), ("\u{feff}", "")] {
            let text = [before, text, after].concat();
            assert_eq!(redactor.text(&text), [before, redacted, after].concat(), "{text:?}");
        }
    }
}

#[test]
fn what_only_looks_like_a_string_of_json_is_read_as_a_text() {
    let redactor = standard();
    for (text, redacted) in [
        (r#""user","pin""#, r#""user","pin""#),
        (r#""password": "hunter2""#, r#""password": "[redacted]""#),
        (r#""ada" <ada@example.org> said "pin: 1234""#, r#""ada" <[redacted:email]> said "pin: [redacted]""#),
    ] {
        assert_eq!(redactor.text(text), redacted);
    }
}
