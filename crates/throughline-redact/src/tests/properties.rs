//! What must hold for any text and any payload.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};

use crate::{Redaction, Redactor};

static STANDARD: LazyLock<Redactor> =
    LazyLock::new(|| Redaction::standard().pseudonym_key(super::SECRET).build().unwrap());

/// Redactors with several limits, each with and without an allow-list.
static LIMITED: LazyLock<Vec<(usize, Redactor)>> = LazyLock::new(|| {
    let limited = |limit| Redaction::standard().payload_limit(limit);
    [256, 333, 700, 2000, 65_536]
        .into_iter()
        .flat_map(|limit| {
            [(limit, limited(limit)), (limit, limited(limit).allow_only(["a", "note", "amount"]))]
        })
        .map(|(limit, redaction)| (limit, redaction.build().unwrap()))
        .collect()
});

/// Bits of text that mean something to one detector or another, to be put together in every way.
const PIECES: &[&str] = &[
    "password",
    "pin",
    "token",
    "name",
    "Cookie",
    "card number",
    "=",
    ": ",
    ":",
    "\"",
    "'",
    "\\\"",
    "{",
    "}",
    "[",
    "]",
    "(",
    ",",
    ";",
    "&",
    " ",
    "\n",
    "--",
    "-",
    "<pin>",
    "</",
    "Bearer ",
    "Basic ",
    "://",
    "https://",
    "@",
    "example.org",
    "ada",
    "4111 1111 1111 1111",
    "4111",
    "1111",
    "078-05-1120",
    "NL91ABNA0417164300",
    "NL91",
    "ABNA",
    "eyJhbGciOiJIUzI1NiJ9",
    ".",
    "AKIA",
    "IOSFODNN7EXAMPLE",
    "sk-",
    "a1B2c3D4e5F6g7H8",
    "-----BEGIN",
    " PRIVATE KEY",
    "-----END",
    "%40",
    "\\u0040",
    "é",
    "\u{200b}",
    "４",
    "[redacted]",
    "[redacted:email]",
    "[cut: 3 bytes]",
    "pseudonym:0123456789abcdef0123456789abcdef",
    "hunter2",
    "null",
];

fn soup() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![8 => select(PIECES).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn words() -> impl Strategy<Value = String> {
    "[a-z]{1,12}( [a-z]{1,12}){0,8}"
}

fn luhn(mut digits: Vec<u8>) -> String {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit)) {
            (0, digit) => digit * 2 / 10 + digit * 2 % 10,
            (_, digit) => digit,
        })
        .sum();
    digits.push(((10 - sum % 10) % 10) as u8);
    digits.into_iter().map(|digit| char::from(b'0' + digit)).collect()
}

fn card() -> impl Strategy<Value = String> {
    let issuer =
        select(vec![("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("36", 14), ("3530", 16)]);
    (issuer, proptest::collection::vec(0..10_u8, 16), select(vec!["", " ", "-", "\u{a0}"])).prop_map(
        |((prefix, len), rest, separator)| {
            let digits: Vec<u8> = prefix.bytes().map(|byte| byte - b'0').chain(rest).take(len - 1).collect();
            let card = luhn(digits);
            let groups: Vec<_> =
                card.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
            groups.join(separator)
        },
    )
}

fn iban() -> impl Strategy<Value = String> {
    ("[A-Z]{4}[0-9]{10}", any::<bool>()).prop_map(|(account, grouped)| {
        let number = format!("{account}NL00").bytes().fold(0_u32, |rest, byte| match byte {
            b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
            letter => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
        });
        let iban = format!("NL{:02}{account}", 98 - number);
        let groups: Vec<_> =
            iban.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
        groups.join(if grouped { " " } else { "" })
    })
}

/// A secret of each shape, with the part that must not be seen again.
fn secret() -> impl Strategy<Value = (String, String)> {
    let same = |secret: String| (secret.clone(), secret);
    let value = "[A-Za-z0-9]{7}[0-9]";
    prop_oneof![
        card().prop_map(same),
        iban().prop_map(same),
        "(0[1-9][0-9]|[1-5][0-9]{2})-[1-9][0-9]-[1-9][0-9]{3}".prop_map(same),
        "[a-z][a-z0-9._+-]{0,12}[a-z0-9]@[a-z]{2,8}(\\.[a-z]{2,6}){1,2}".prop_map(same),
        "eyJ[A-Za-z0-9_-]{12,30}\\.[A-Za-z0-9_-]{10,40}\\.[A-Za-z0-9_-]{10,40}".prop_map(same),
        "AKIA[A-Z0-9]{16}".prop_map(same),
        "gh[pousr]_[A-Za-z0-9]{36}".prop_map(same),
        "xox[bp]-[0-9]{10}-[A-Za-z0-9]{16}".prop_map(same),
        "sk_live_[A-Za-z0-9]{24}".prop_map(same),
        "sk-[A-Za-z]{20}[0-9]".prop_map(same),
        "AIza[A-Za-z0-9_-]{35}".prop_map(same),
        "-----BEGIN RSA PRIVATE KEY-----\n([A-Za-z0-9+/]{64}\n){1,3}-----END RSA PRIVATE KEY-----"
            .prop_map(same),
        "[A-Za-z0-9._~+/-]{19}[A-Za-z0-9]".prop_map(|token| (format!("Bearer {token}"), token)),
        value.prop_map(|value| (format!("postgres://app:{value}@db:5432/x"), value)),
        (
            select(vec!["password", "DB_PASSWORD", "clientSecret", "pin", "cvv", "api-key", "AccountKey"]),
            value
        )
            .prop_flat_map(|(key, value)| {
                let forms = vec![
                    format!("{key}={value}"),
                    format!("{key}: {value}"),
                    format!("\"{key}\": \"{value}\""),
                    format!("{{\\\"{key}\\\":\\\"{value}\\\"}}"),
                    format!("?{key}={value}&page=2"),
                    format!("<{key}>{value}</{key}>"),
                    format!("--{key} {value}"),
                    format!("{key}%3D{value}"),
                ];
                (select(forms), Just(value))
            }),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        3 => "[a-z_]{1,10}".boxed(),
        1 => select(vec!["password", "pin", "note", "[cut]", "a@b.org", "c@d.org", "amount"])
            .prop_map(str::to_owned)
            .boxed(),
        1 => soup().boxed(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        soup().prop_map(Value::from),
        "\\PC{0,200}".prop_map(Value::from),
        "[0-9 -]{0,200}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

fn redacted(redactor: &Redactor, data: &Map<String, Value>) -> Map<String, Value> {
    let mut data = data.clone();
    redactor.payload(&mut data);
    data
}

proptest! {
    #[test]
    fn redacting_text_twice_is_redacting_it_once(text in soup()) {
        let once = STANDARD.text(&text).into_owned();
        prop_assert_eq!(STANDARD.text(&once), once.as_str());
        prop_assert!(!STANDARD.hits(&once), "{}", once);
        prop_assert_eq!(STANDARD.hits(&text), once != text);
    }

    #[test]
    fn making_text_findable_twice_is_making_it_findable_once(text in soup(), key in soup()) {
        for key in [None, Some(&*key), Some("password"), Some("user")] {
            let once = STANDARD.findable(key, &text).into_owned();
            prop_assert_eq!(STANDARD.findable(key, &once), once.as_str());
        }
    }

    #[test]
    fn a_secret_never_survives_wherever_it_stands(
        (shown, hidden) in secret(),
        before in words(),
        after in words(),
        (open, close) in select(vec![(" ", " "), ("\"", "\""), ("(", ")"), ("\n", "\n"), ("<", ">"), (" ", ", "), ("é ", " é")]),
    ) {
        let text = format!("{before}{open}{shown}{close}{after}");
        let redacted = STANDARD.text(&text);
        prop_assert!(!redacted.contains(&hidden), "{} -> {}", text, redacted);
        prop_assert!(redacted.starts_with(&before), "{} -> {}", text, redacted);
        prop_assert!(redacted.contains("[redacted"), "{} -> {}", text, redacted);
        let wide: String = text.chars().map(|c| match c {
            '0'..='9' => char::from_u32(c as u32 + 0xfee0).unwrap(),
            _ => c,
        }).collect();
        let hidden: String = hidden.chars().filter(char::is_ascii_digit).collect();
        let kept: String = STANDARD.text(&wide).chars().map(|c| match c {
            '\u{ff10}'..='\u{ff19}' => char::from_u32(c as u32 - 0xfee0).unwrap(),
            _ => c,
        }).filter(char::is_ascii_digit).collect();
        prop_assert!(hidden.len() < 8 || !kept.contains(&hidden), "{} -> {}", wide, STANDARD.text(&wide));
    }

    #[test]
    fn a_secret_survives_in_no_place_of_a_payload((shown, hidden) in secret(), before in words()) {
        let text = format!("{before} {shown}");
        let mut data = Map::new();
        data.insert("note".to_owned(), text.clone().into());
        data.insert("list".to_owned(), vec![text.clone()].into());
        data.insert(text.clone(), Value::from_iter([("inner", text.clone())]));
        data.insert("json".to_owned(), Value::String(serde_json::to_string(&data).unwrap()));
        let json = serde_json::to_string(&redacted(&STANDARD, &data)).unwrap();
        prop_assert!(!json.contains(&hidden), "{}", json);
    }

    #[test]
    fn words_survive_unchanged(words in words()) {
        prop_assert!(!STANDARD.hits(&words));
    }

    #[test]
    fn ids_and_amounts_survive_unchanged(
        id in "(LN|loan|A)[-_][0-9]{1,9}|[a-w]{2,8}-[0-9]{4}-[0-9]{1,6}|[0-9]{1,8}(\\.[0-9]{2})?",
        bytes in any::<u128>(),
        before in words(),
    ) {
        // The ids have no `x`, for `xoxo-` is how tokens of Slack begin. Hex ids without a letter among them may be
        // anything.
        let bytes = bytes | 0xa000_000b_000c_000d_000e_00f0_000a_000b;
        let hex = format!("{bytes:032x}");
        let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        for text in [id, hex, uuid] {
            let text = format!("{before} {text}");
            prop_assert_eq!(STANDARD.text(&text), text.as_str());
        }
    }

    #[test]
    fn redacting_a_payload_twice_is_redacting_it_once(
        fields in proptest::collection::vec(("[a-z]{1,6}", json()), 0..6),
        which in 0..LIMITED.len(),
    ) {
        let data: Map<String, Value> = fields.into_iter().collect();
        let (limit, redactor) = &LIMITED[which];
        let once = redacted(redactor, &data);
        let json = serde_json::to_string(&once).unwrap();
        prop_assert!(json.len() <= *limit, "{} > {}: {}", json.len(), limit, json);
        prop_assert_eq!(redacted(redactor, &once), once);
    }
}
