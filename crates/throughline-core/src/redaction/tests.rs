use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{SpanId, Timestamp, TraceId};

fn standard() -> Redactor {
    static STANDARD: std::sync::LazyLock<Redactor> =
        std::sync::LazyLock::new(|| Redaction::standard().build().unwrap());
    STANDARD.clone()
}

fn with_pseudonyms(secret: &str) -> Redactor {
    Redaction::standard().pseudonym_key(secret).build().unwrap()
}

/// Texts of each shape. They are put together here so that no scanner of sources takes them for real ones.
fn secrets() -> Vec<String> {
    let body = "Zx9Qw8Er7Ty6Ui5Op4As3Df2";
    vec![
        "4111 1111 1111 1111".to_owned(),
        "5500-0000-0000-0004".to_owned(),
        "378282246310005".to_owned(),
        "４１１１１１１１１１１１１１１１".to_owned(),
        "078-05-1120".to_owned(),
        "NL91 ABNA 0417 1643 00".to_owned(),
        "DE89370400440532013000".to_owned(),
        "ada.lovelace+loans@mail.example.org".to_owned(),
        format!("eyJhbGciOiJIUzI1NiJ9.{body}.{body}"),
        format!("Bearer {body}"),
        format!("Basic {body}=="),
        format!("AK{}{}", "IA", "ABCDEFGHIJKLMNOP"),
        format!("gh{}_{body}", "p"),
        format!("xo{}-1234567890-{body}", "xb"),
        format!("sk{}_live_{body}", ""),
        format!("sk{}-{body}", ""),
        format!("AI{}{body}ABCDEFGHIJ_", "za"),
        format!("-----BEGIN {} KEY-----\n{body}\n-----END {} KEY-----", "PRIVATE", "PRIVATE"),
    ]
}

#[test]
fn every_shape_is_found_in_running_text() {
    let redactor = standard();
    for secret in secrets() {
        let text = format!("the call with {secret} failed");
        let redacted = redactor.text(&text);
        assert!(!redacted.contains(&secret), "{redacted}");
        assert!(
            redacted.starts_with("the call with [redacted:") && redacted.ends_with("] failed"),
            "{redacted}"
        );
    }
}

#[test]
fn values_behind_telling_keys_go_and_the_rest_of_the_text_stays() {
    let redactor = standard();
    for (text, want) in [
        ("login failed: password=hunter2, user=ada", "login failed: password=[redacted], user=ada"),
        (r#"{"pin": "1234", "amount": 5}"#, r#"{"pin": "[redacted]", "amount": 5}"#),
        (r#"{\"pin\":\"1234\",\"amount\":5}"#, r#"{\"pin\":\"[redacted]\",\"amount\":5}"#),
        ("Endpoint=db;AccountKey=a+b/c==;Pool=1", "Endpoint=db;AccountKey=[redacted];Pool=1"),
        ("postgres://app:hunter2@db/loans", "postgres://app:[redacted:password]@db/loans"),
        ("Authorization: Bearer abc", "Authorization: [redacted]"),
        ("api_key => 'x y z' ok", "api_key => '[redacted]' ok"),
        ("password='it''s", "password='[redacted]''s"),
    ] {
        assert_eq!(redactor.text(text), want);
    }
}

#[test]
fn innocent_text_is_left_alone() {
    let redactor = standard();
    for text in [
        "",
        "stage:credit-check",
        "loan 173688 of 25000 EUR",
        "550e8400-e29b-41d4-a716-446655440000",
        "0af7651916cd43dd8448eb211c80319c",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "2026-09-21T14:13:20.123456Z",
        "1790000000000000",
        "1790000000000000000",
        "3.14159265358979323846",
        "amount: 4000000000000000 cents",
        "tokio@1.54.1",
        "the shipping: opinion of the author, key=7",
        "token_count=512, max_tokens: 4096",
        "https://example.org:8080/loans?page=2",
        "DE00 is no account",
        "000-12-3456 and 666-12-3456 and 078-00-1120",
        "task-runner-with-a-long-name-in-it",
        "basic income and bearer bonds",
        "héllo wörld: straße 12",
    ] {
        assert_eq!(redactor.text(text), text);
    }
}

#[test]
fn a_payload_is_redacted_by_key_and_by_shape_at_any_depth() {
    let redactor = standard();
    let mut data = json!({
        "input": { "name": "loan", "pin": 1234, "nested": [{ "ssn": ["078", "05"] }, "mail ada@example.org"] },
        "note": "card 4111111111111111",
        "card as a number": 4_111_111_111_111_111_u64,
        "ada@example.org": "as a key",
        "password": null,
        "amount": 25_000,
    });
    redactor.payload(data.as_object_mut().unwrap());
    assert_eq!(
        data,
        json!({
            "input": { "name": "loan", "pin": "[redacted]", "nested": [{ "ssn": "[redacted]" }, "mail [redacted:email]"] },
            "note": "card [redacted:card]",
            "card as a number": "[redacted:card]",
            "[redacted:email]": "as a key",
            "password": null,
            "amount": 25_000,
        })
    );
}

#[test]
fn an_allow_list_keeps_the_structure_and_the_named_values() {
    let redactor = Redaction::standard().allow_only(["amount", "Purpose"]).build().unwrap();
    let mut data =
        json!({ "amount": 5, "purpose": "car, ada@example.org", "who": { "nick": "ada", "amount": [1, 2] } });
    redactor.payload(data.as_object_mut().unwrap());
    let want = json!({
        "amount": 5, "purpose": "car, [redacted:email]", "who": { "nick": "[redacted]", "amount": [1, 2] }
    });
    assert_eq!(data, want);
}

#[test]
fn pseudonyms_are_stable_and_differ_by_key_and_without_a_key_there_is_a_marker() {
    let (a, b) = (with_pseudonyms("secret a"), with_pseudonyms("secret b"));
    let mail = "ada@example.org";
    assert_eq!(a.findable(None, mail), a.findable(Some("user"), mail));
    assert_ne!(a.findable(None, mail), b.findable(None, mail));
    assert_eq!(a.findable(None, &a.findable(None, mail)), a.findable(None, mail));
    assert_eq!(a.findable(Some("email"), &a.findable(None, mail)), a.findable(None, mail));
    assert_eq!(standard().findable(None, mail), "[redacted]");
    assert_eq!(standard().findable(Some("user_pin"), "1234"), "[redacted]");
    assert_eq!(a.findable(Some("tenant"), "acme"), "acme");
}

#[test]
fn every_place_in_an_event_is_redacted() {
    let secret = "ada@example.org";
    let text = || Text::from(format!("about {secret}"));
    let mut event = TraceEvent::new(TraceId::random(), SpanId::random(), text(), Timestamp::now(), text());
    event.correlation_id = Some(text());
    event.workflow = Some(text());
    event.error = Some(Box::new(ErrorInfo { kind: text(), message: text(), chain: vec![text()] }));
    event.attrs = [(text(), text()), ("pin".into(), "9876".into())].into_iter().collect();
    event.tags = vec![text()];
    event.data = json!({ "a": [secret], secret: 1 }).as_object().cloned();
    event.extra = json!({ "later": secret }).as_object().cloned().unwrap();
    standard().event(&mut event);
    let json = serde_json::to_string(&event).unwrap();
    assert!(!json.contains(secret) && !json.contains("9876"), "{json}");
    let once = event.clone();
    standard().event(&mut event);
    assert_eq!(event, once);
}

#[test]
fn a_large_payload_is_cut_with_markers_and_stays_json() {
    let redactor = Redaction::standard().payload_limit(1000).build().unwrap();
    let mut data = json!({
        "a": "x".repeat(600), "b": ["y".repeat(600), 1, 2, 3], "c": { "d": "z".repeat(5000) }, "e": 1, "é": "ü".repeat(900)
    });
    redactor.payload(data.as_object_mut().unwrap());
    let text = data.to_string();
    assert!(text.len() <= 1000 && text.contains("[cut"), "{} {text}", text.len());
    let once = data.clone();
    redactor.payload(data.as_object_mut().unwrap());
    assert_eq!(data, once);
}

#[test]
fn deep_nesting_is_cut_before_it_exhausts_the_stack() {
    let mut data = Value::from("ada@example.org");
    for _ in 0..100_000 {
        data = Value::Array(vec![data]);
    }
    let mut payload = Map::from_iter([("deep".to_owned(), data)]);
    standard().payload(&mut payload);
    assert!(serde_json::to_string(&payload).unwrap().contains("nested too deep"));
}

#[test]
fn own_keys_and_patterns_work_and_wrong_ones_are_named() {
    let redactor =
        Redaction::standard().key("loan officer").pattern("loan-id", r"\bL-\d{4}\b").build().unwrap();
    assert_eq!(
        redactor.text("loanOfficer=ada took L-1234"),
        "loanOfficer=[redacted] took [redacted:loan-id]"
    );
    let error = |redaction: Redaction| redaction.build().unwrap_err().to_string();
    assert!(error(Redaction::standard().pattern("mine", "(")).contains("`mine` is not a regular expression"));
    assert!(error(Redaction::standard().key("--")).contains("`--`"));
    assert!(error(Redaction::standard().pseudonym_key("")).contains("16 bytes"));
    assert!(error(Redaction::standard().payload_limit(3)).contains("at least 256"));
}

#[test]
fn debug_shows_no_secret() {
    let redaction = Redaction::standard().pseudonym_key("open sesame");
    let shown = format!("{redaction:?} {:?}", redaction.build().unwrap());
    assert!(!shown.contains("sesame"), "{shown}");
}

fn json_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[a-zA-Z0-9 @.:=/\"'\\\\-]{0,40}", proptest::sample::select(secrets()), ".{0,20}"];
    let leaf = prop_oneof![text.prop_map(Value::from), any::<u64>().prop_map(Value::from), Just(Value::Null)];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map("[a-z_A-Z@.]{0,12}|password|pin", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn redacting_twice_is_redacting_once(data in json_value(), limit in 256_usize..2000) {
        let limited = Redaction::standard().payload_limit(limit).pseudonym_key("k").build().unwrap();
        for redactor in [standard(), limited] {
            let mut once = Map::from_iter([("data".to_owned(), data.clone())]);
            redactor.payload(&mut once);
            let mut twice = once.clone();
            redactor.payload(&mut twice);
            prop_assert_eq!(&twice, &once);
        }
    }

    #[test]
    fn text_redacted_twice_is_text_redacted_once(text in "(?s).{0,80}|[a-z =:\"'\\\\@0-9-]{0,60}(password|pin|token)[=: \"'\\\\]{1,4}.{0,30}") {
        let redactor = standard();
        let once = redactor.text(&text).into_owned();
        prop_assert_eq!(redactor.text(&once).into_owned(), once);
    }

    #[test]
    fn no_secret_survives_in_innocent_text(
        secret in proptest::sample::select(secrets()),
        before in "([g-zG-Z ,.;!?é]{0,30}[ ,;(])?",
        after in "([ ,;)][g-zG-Z ,.;!?é]{0,30})?",
    ) {
        let redacted = standard().text(&format!("{before}{secret}{after}")).into_owned();
        prop_assert!(!redacted.contains(&secret), "{}", redacted);
        prop_assert!(redacted.starts_with(&before) && redacted.ends_with(&after), "{}", redacted);
    }

    #[test]
    fn random_card_numbers_are_found_in_every_grouping(
        head in "4[0-9]{14}", grouping in proptest::sample::select(vec![" ", "-", ""]),
    ) {
        let digits: Vec<u32> = head.chars().filter_map(|c| c.to_digit(10)).collect();
        prop_assume!(digits.iter().any(|digit| *digit != 4));
        let sum: u32 = digits.iter().rev().enumerate()
            .map(|(place, digit)| if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { *digit })
            .sum();
        let card = format!("{head}{}", (10 - sum % 10) % 10);
        let groups: Vec<_> = (0..4).map(|at| &card[at * 4..at * 4 + 4]).collect();
        let text = groups.join(grouping);
        prop_assert_eq!(standard().text(&text).into_owned(), "[redacted:card]");
    }

    #[test]
    fn words_survive(words in "[a-z]{1,9}( [a-z]{1,9}){0,8}") {
        prop_assert_eq!(standard().text(&words).into_owned(), words);
    }

    #[test]
    fn the_cut_keeps_the_limit(data in json_value(), limit in 256_usize..1000) {
        let redactor = Redaction::standard().payload_limit(limit).build().unwrap();
        let mut payload = Map::from_iter([("data".to_owned(), data)]);
        redactor.payload(&mut payload);
        // JSON escapes may make a text longer than it is.
        let size = serde_json::to_string(&payload).unwrap().len();
        prop_assert!(size <= limit * 2, "{size} of {limit}");
    }
}
