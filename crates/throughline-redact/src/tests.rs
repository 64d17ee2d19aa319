//! The redactor as a whole: tables of what goes and what stays, and the rules around them.

mod findings;
mod json;
mod properties;

use serde_json::json;

use super::*;

const SECRET: &str = "a pseudonym key for tests";

fn standard() -> Redactor {
    Redaction::standard().build().unwrap()
}

fn with_pseudonyms() -> Redactor {
    Redaction::standard().pseudonym_key(SECRET).build().unwrap()
}

fn payload(redactor: &Redactor, data: serde_json::Value) -> serde_json::Value {
    let serde_json::Value::Object(mut data) = data else { panic!("a payload is an object") };
    redactor.payload(&mut data);
    data.into()
}

#[test]
fn what_is_hidden_in_text_and_what_stays_around_it() {
    let redactor = standard();
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P";
    for (text, redacted) in [
        ("card 4111 1111 1111 1111 refused", "card [redacted:card] refused"),
        ("card ４１１１ １１１１ １１１１ １１１１ refused", "card [redacted:card] refused"),
        ("4111\u{a0}1111\u{a0}1111\u{a0}1111", "[redacted:card]"),
        ("4111–1111–1111–1111", "[redacted:card]"),
        ("ssn is 078-05-1120.", "ssn is [redacted:ssn]."),
        ("from NL91 ABNA 0417 1643 00 to DE89370400440532013000", "from [redacted:iban] to [redacted:iban]"),
        ("ask ada@example.org, bob@example.org", "ask [redacted:email], [redacted:email]"),
        ("/users/ada%40example.org/loans", "/users/[redacted:email]/loans"),
        (r#"{"to":"ada\u0040example.org"}"#, r#"{"to":"[redacted:email]"}"#),
        (&format!("got {jwt}!"), "got [redacted:jwt]!"),
        ("sent Bearer mF_9.B5f-4.1JqM", "sent Bearer [redacted:bearer]"),
        ("sent Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "sent Basic [redacted:basic]"),
        ("key AKIAIOSFODNN7EXAMPLE", "key [redacted:api-key]"),
        (&format!("ghp_{}", "a1B2".repeat(9)), "[redacted:api-key]"),
        (&format!("sk-ant-api03-{}", "a1B2".repeat(9)), "[redacted:api-key]"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "[redacted:private-key]"),
        ("postgres://app:hunter2@db/loans", "postgres://app:[redacted:password]@db/loans"),
        ("postgres://app:hunter2@db.example.org/x", "postgres://app:[redacted:password]@db.example.org/x"),
        ("password=hunter2, user=ada", "password=[redacted], user=ada"),
        ("password=ada@example.org!", "password=[redacted]"),
        ("password%3Dhunter2%26x", "password%3D[redacted]%26x"),
        (r#"{"pin": 1234, "amount": 5}"#, r#"{"pin": "[redacted]", "amount": 5}"#),
        (r#"{\"pin\": [1, 2], \"amount\": 5}"#, r#"{\"pin\": \"[redacted]\", \"amount\": 5}"#),
        (r#"{\"pin\":\"1234\",\"amount\":5}"#, r#"{\"pin\":\"[redacted]\",\"amount\":5}"#),
        ("db.pwd: x7; retry", "db.pwd: [redacted]; retry"),
        ("AccountName=a;AccountKey=ab/c+d==;X=y", "AccountName=a;AccountKey=[redacted];X=y"),
        ("Authorization: Bearer abc", "Authorization: [redacted]"),
        ("<pin>1234</pin>", "<pin>[redacted]</pin>"),
        ("psql --password hunter2 -h db", "psql --password [redacted] -h db"),
    ] {
        assert_eq!(redactor.text(text), redacted, "{text}");
        assert!(redactor.hits(text), "{text}");
        assert!(!redactor.hits(redacted), "{redacted}");
    }
}

#[test]
fn secrets_of_any_length_after_any_scheme_are_hidden() {
    let redactor = standard();
    for length in (1..300).step_by(7) {
        for (scheme, secret) in [("Foo", "x7"), ("Foo-Bar", "7xß"), ("Foo", "12-ü"), ("", "x7")] {
            let text = format!("Authorization: {scheme} {}", secret.repeat(length));
            let said = redactor.text(&text);
            assert!(said.starts_with("Authorization: ") && !said.contains(secret), "{text} became {said}");
        }
    }
}

#[test]
fn what_is_innocent_survives_untouched() {
    let redactor = standard();
    for text in [
        "",
        "approved",
        "stage:credit-check",
        "loan-42",
        "A_SUBMITTED",
        "W_Completeren aanvraag",
        "173688",
        "Application_1691306052",
        "NL-LN-2026-0001234567",
        "LN2026000000123456789",
        "550e8400-e29b-41d4-a716-446655440000",
        "41111111-1111-4111-8111-111111111111",
        "0af7651916cd43dd8448eb211c80319c",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "2026-03-01T09:30:00.000000Z",
        "2026-03-01 09:30:00,123 +0100",
        "1790000000000000",
        "EUR 1,234,567.89",
        "12500.00",
        "0.4111111111111111",
        "https://example.com:443/loans?page=2&sort=amount",
        "git@github.com:owner/name.git",
        "serde_json@1.0.154",
        "std::env::VarError: environment variable not found",
        "invalid digit found in string",
        "expected `,` or `}` at line 1 column 42",
        "unexpected token: `}`",
        "invalid password: must be at least 12 characters",
        "tcp connect error: Connection refused (os error 111)",
        "192.168.100.200:5432",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
        "the bearer of this basic information",
        "crédit accordé – 20 000 € — ½",
        "100% of 50%",
        "C:\\Users\\loan\\file.txt",
        "input_tokens: 512, output_tokens: 64, model=gpt-4o-2026-01-01",
    ] {
        assert_eq!(redactor.text(text), text);
        assert!(!redactor.hits(text), "{text}");
        assert_eq!(with_pseudonyms().findable(None, text), text);
    }
}

#[test]
fn values_under_sensitive_keys_go_whatever_their_type_is() {
    let data = json!({
        "pin": 1234, "cvv": "12", "Secrets": ["a", {"b": 1}], "credit_card": {"no": 1}, "dob": 19_850_304,
        "password": null, "iban": 100.5, "shipping": {"pin": 4321, "note": "fast"}, "author": "Ann",
    });
    let redacted = json!({
        "pin": "[redacted]", "cvv": "[redacted]", "Secrets": "[redacted]", "credit_card": "[redacted]",
        "dob": "[redacted]", "password": null, "iban": "[redacted]",
        "shipping": {"pin": "[redacted]", "note": "fast"}, "author": "Ann",
    });
    assert_eq!(payload(&standard(), data), redacted);
}

#[test]
fn a_yes_a_no_or_a_small_number_is_no_secret_and_keeps_its_type() {
    let data = json!({
        "gender": true, "password": false, "phone": 5, "pin": 13, "pan": 0.5, "tin": -99, "phoneType": "T2",
        "nested": {"mobile": true, "auth": false},
    });
    assert_eq!(payload(&standard(), data.clone()), data);
    // Of these it tells enough, and what users name themselves may be of the kind.
    let redactor = Redaction::standard().key("vip").build().unwrap();
    let data = json!({"hiv": true, "allergies": 0, "trade_union_member": false, "vip": true, "vip_type": 1});
    let hidden = payload(&redactor, data);
    assert!(hidden.as_object().unwrap().values().all(|value| value == "[redacted]"), "{hidden}");
    // Nor does an allow-list name them.
    let redactor = Redaction::standard().allow_only(["amount"]).build().unwrap();
    assert_eq!(payload(&redactor, json!({"gender": true})), json!({"gender": "[redacted]"}));
}

#[test]
fn what_is_off_leaves_everything_as_it_is() {
    let redactor = Redaction::off().pseudonym_key(SECRET).build().unwrap();
    let text = "password=hunter2 card 4111 1111 1111 1111 ada@example.org";
    let long = text.repeat(5_000);
    assert_eq!(redactor.text(text), text);
    assert_eq!(redactor.message(&long), long);
    assert_eq!(redactor.name(text), text);
    assert_eq!(redactor.findable(Some("password"), text), text);
    assert_eq!(redactor.findable(None, text), text);
    assert_eq!(redactor.findable_key("ada@example.org"), "ada@example.org");
    let data = json!({"password": text, "ada@example.org": 4_111_111_111_111_111_u64, "long": long});
    assert_eq!(payload(&redactor, data.clone()), data);
    assert!(!redactor.hits(text));
}

#[test]
fn card_numbers_are_found_among_numbers_too() {
    let data = json!({"a": 4_111_111_111_111_111_u64, "b": -4_111_111_111_111_111_i64, "c": 4_111_111_111_111_111.0});
    let mark = "[redacted:card]";
    assert_eq!(payload(&standard(), data), json!({"a": mark, "b": mark, "c": mark}));
    let data = json!({"a": 1_790_000_000_000_000_u64, "b": 0.1, "c": -1, "d": 1e300, "e": u64::MAX});
    assert_eq!(payload(&standard(), data.clone()), data);
}

#[test]
fn keys_that_become_the_same_are_numbered() {
    let data = json!({"a@example.org": 1, "b@example.org": 2, "c@example.org": 3, "[redacted:email] (2)": 4});
    let redacted = payload(&standard(), data);
    assert_eq!(redacted.as_object().unwrap().len(), 4, "{redacted}");
    assert!(!redacted.to_string().contains('@'));
    assert_eq!(payload(&standard(), redacted.clone()), redacted);
}

#[test]
fn a_value_with_digits_that_spells_the_name_of_a_secret_by_chance_goes() {
    for value in ["0cPf2OV1", "Pin4Kx7q", "x9Token2", "7ssn1Ab3", "k2PwdR81"] {
        for text in [
            format!("mysqldump --password {value} --all"),
            format!("a\n--password {value}\nb"),
            format!("password={value}"),
            format!("password = {value}"),
            format!("password: {value}"),
            format!("password | {value}"),
            format!("| password | {value} |"),
            format!("<password>{value}</password>"),
            format!(r#"["password", "{value}"]"#),
            format!(r#"["--password", "{value}", "-v"]"#),
            format!("setProperty(\"password\", \"{value}\")"),
            format!("Password(\"{value}\")"),
        ] {
            let redacted = standard().text(&text).into_owned();
            assert!(!redacted.contains(value), "{text} -> {redacted}");
        }
        for data in [
            json!({"pair": ["password", value]}),
            json!({"args": ["--password", value, "-v"]}),
            json!({"name": "password", "value": value}),
            json!({"password": value}),
        ] {
            let redacted = payload(&standard(), data.clone());
            assert!(!redacted.to_string().contains(value), "{data} -> {redacted}");
        }
    }
}

#[test]
fn json_in_a_text_stays_json_whatever_a_secret_in_it_ends_with() {
    let redactor = Redaction::standard().pattern("loan-number", "8800[0-9]+").build().unwrap();
    for (text, redacted) in [
        (
            r#"{"n":4111111111111111,"a":[4111111111111111, 1]}"#,
            r#"{"n":"[redacted:card]","a":["[redacted:card]", 1]}"#,
        ),
        (r#"{"n":880012}"#, r#"{"n":"[redacted:loan-number]"}"#),
        (r#"{"body":"mysql --password "}"#, r#"{"body":"mysql --password "}"#),
        (r#"{"body":"x --password ","n":"y"}"#, r#"{"body":"x --password ","n":"y"}"#),
        (r#"{"b":"--password x7 --password "}"#, r#"{"b":"--password [redacted] --password "}"#),
        (r#"{"b":"{\"n\":4111111111111111}"}"#, r#"{"b":"{\"n\":\"[redacted]\"}"}"#),
    ] {
        assert_eq!(redactor.text(text), redacted);
        assert_eq!(redactor.text(redacted), redacted);
        assert!(serde_json::from_str::<serde_json::Value>(redacted).is_ok(), "{redacted}");
    }
}

#[test]
fn json_with_a_string_that_cannot_be_cleaned_part_by_part_loses_that_string() {
    let tangled =
        r#"{"note": "{\"password\":\"hun\\\"ter2\"}", "pin": 1234"#.to_owned() + &", pin\": 1234".repeat(200);
    let text = json!({ "kept": "all is well", "body": tangled, "list": [1, 2] }).to_string();
    let redacted = standard().text(&text).into_owned();
    assert_eq!(redacted, r#"{"body":"[redacted]","kept":"all is well","list":[1,2]}"#);
    assert_eq!(standard().text(&redacted), redacted);
}

#[test]
fn what_stands_behind_a_secret_makes_it_no_expression() {
    for (text, redacted) in [
        ("a\npassword=000aA0A0\nif a", "a\npassword=[redacted]\nif a"),
        ("password: correct7horse\nor ask", "password: [redacted]\nor ask"),
        ("password = hunter2\n(old)", "password = [redacted]\n(old)"),
        ("password=hunter2 or the old one", "password=[redacted] or the old one"),
        ("password = hunter2 (old)", "password = [redacted] (old)"),
        ("DB_PASSWORD=hunter2x && ./run", "DB_PASSWORD=[redacted] && ./run"),
        ("DB_PASSWORD=correct && ./run", "DB_PASSWORD=[redacted] && ./run"),
        ("export DB_PASSWORD=correct | tee x", "export DB_PASSWORD=[redacted] | tee x"),
        ("DB_PASSWORD=hunter2x || exit 1", "DB_PASSWORD=[redacted] || exit 1"),
    ] {
        assert_eq!(standard().text(text), redacted);
    }
    for text in [
        "token = a ? b : c",
        "password = given || kept",
        "token = old if x else new",
        "secret: string | null",
    ] {
        assert_eq!(standard().text(text), text);
    }
}

#[test]
fn what_stands_in_a_list_behind_a_flag_or_the_name_of_a_header_goes() {
    for (data, redacted) in [
        (
            json!({"args": ["--password", "x7", "--token", "y8", "-v"]}),
            json!({"args": ["--password", "[redacted]", "--token", "[redacted]", "-v"]}),
        ),
        (json!({"args": ["-p", "hunter2"]}), json!({"args": ["-p", "[redacted]"]})),
        (
            json!({"rawHeaders": ["Host", "x", "X-Api-Key", "hunter2"]}),
            json!({"rawHeaders": ["Host", "x", "X-Api-Key", "[redacted]"]}),
        ),
    ] {
        assert_eq!(payload(&standard(), data), redacted);
    }
    for data in [
        json!({"args": ["-p", "8080:80"], "cmd": ["mkdir", "-p", "/tmp/x1"]}),
        json!({"args": ["build", "-p", "throughline-core"]}),
        json!({"columns": ["Name", "Password", "Token", "Value"]}),
        json!({"required": ["password", "token", "email", "name"]}),
    ] {
        assert_eq!(payload(&standard(), data.clone()), data);
    }
}

#[test]
fn what_a_value_must_be_like_is_no_value_and_nothing_is_no_secret() {
    let data = json!({
        "password": {"type": "string", "minLength": 8}, "token": {"type": "string"},
        "secret": "none", "pin": "", "prescription": "n/a",
    });
    assert_eq!(payload(&standard(), data.clone()), data);
    let data = json!({"password": {"type": "string", "text": "hunter2"}});
    assert_eq!(payload(&standard(), data), json!({"password": "[redacted]"}));
}

#[test]
fn a_mark_names_nothing_of_what_stands_beside_it() {
    for data in [
        json!({"a": ["078-05-1120", false]}),
        json!({"a": ["078-05-1120", "open"]}),
        json!({"name": "078-05-1120", "value": "open"}),
    ] {
        let once = payload(&standard(), data);
        assert_eq!(payload(&standard(), once.clone()), once);
        assert!(once.to_string().contains("open") || once.to_string().contains("false"), "{once}");
    }
}

#[test]
fn of_many_keys_with_secrets_in_them_the_later_ones_are_hidden_altogether() {
    let keys = (0..100).map(|n| (format!("mail {n:02} to ada{n}@example.org"), json!(1000 + n)));
    let data = payload(&standard(), serde_json::Value::Object(keys.collect()));
    let fields = data.as_object().unwrap();
    assert_eq!(fields.len(), 100);
    assert!(fields.contains_key("mail 00 to [redacted:email]"));
    assert!(fields.contains_key("[redacted]") && fields.contains_key("[redacted] (2)"));
    assert!(!data.to_string().contains("example.org"));
    assert_eq!(payload(&standard(), data.clone()), data);
}

#[test]
fn a_key_is_classified_as_it_will_be_once_it_is_redacted() {
    let once = payload(&standard(), json!({"pin[redacted]pin%40example.org": 1234}));
    assert_eq!(once, json!({"pin[redacted][redacted:email]": "[redacted]"}));
    assert_eq!(payload(&standard(), once.clone()), once);
}

#[test]
fn an_allow_list_keeps_the_structure_and_the_values_named() {
    let redactor = Redaction::standard()
        .allow_only(["amount", "Applicant Address"])
        .allow_only(["choice"])
        .build()
        .unwrap();
    let data = json!({
        "input": {"AMOUNT": 5, "name": "Ada", "active": true, "none": null, "rows": [[1, "x"], []]},
        "applicant_address": {"city": "London", "note": "ada@example.org", "pin": 1234},
        "choice": "manual review",
    });
    let redacted = json!({
        "input": {
            "AMOUNT": 5, "name": "[redacted]", "active": "[redacted]", "none": null,
            "rows": [["[redacted]", "[redacted]"], []],
        },
        "applicant_address": {"city": "London", "note": "[redacted:email]", "pin": "[redacted]"},
        "choice": "manual review",
    });
    assert_eq!(payload(&redactor, data), redacted);
    assert_eq!(payload(&redactor, redacted.clone()), redacted);
}

#[test]
fn own_keys_and_patterns_are_found() {
    let redactor = Redaction::standard()
        .key("loan officer")
        .pattern("loan-number", r"\bLN-\d+\b")
        .pattern("any-word", r"zz\w*")
        .build()
        .unwrap();
    assert_eq!(redactor.text("loan LN-42 of zzz"), "loan [redacted:loan-number] of [redacted:any-word]");
    assert_eq!(payload(&redactor, json!({"LOAN-OFFICER": "Ada"})), json!({"LOAN-OFFICER": "[redacted]"}));
    assert_eq!(redactor.text("loanOfficer=Ada"), "loanOfficer=[redacted]");
}

#[test]
fn there_may_be_hundreds_of_patterns_and_keys() {
    let all = 0..200;
    let redaction = all.clone().fold(Redaction::standard(), |redaction, n| {
        redaction.pattern(format!("kind-{n}"), format!(r"\bK{n}-\d+\b")).key(format!("field {n} of ours"))
    });
    let redactor = redaction.build().unwrap();
    for n in all.clone() {
        assert_eq!(redactor.text(&format!("a K{n}-17 b")), format!("a [redacted:kind-{n}] b"));
        assert_eq!(redactor.findable(Some(&format!("FIELD_{n}_OF_OURS")), "x"), "[redacted]");
    }
    let text: Vec<_> = all.clone().map(|n| format!("K{n}-17")).collect();
    let marks: Vec<_> = all.map(|n| format!("[redacted:kind-{n}]")).collect();
    let once = redactor.text(&text.join(", ")).into_owned();
    assert_eq!(once, marks.join(", "));
    assert_eq!(redactor.text(&once), once);
}

#[test]
fn a_pattern_that_matches_marks_does_not_eat_them() {
    let redactor = Redaction::standard().pattern("all", r".+").build().unwrap();
    let once = redactor.text("ada@example.org").into_owned();
    assert_eq!(once, "[redacted:email]");
    assert_eq!(redactor.text(&once), once);
    let redactor = Redaction::standard().pattern("x", r"redacted|x|$").build().unwrap();
    let once = redactor.text("x and 078-05-1120").into_owned();
    assert_eq!(once, "[redacted:x] and [redacted:ssn]");
    assert_eq!(redactor.text(&once), once);
}

#[test]
fn pseudonyms_are_the_same_for_the_same_text_and_differ_by_key() {
    let redactor = with_pseudonyms();
    let pseudonym = redactor.findable(None, "ada@example.org").into_owned();
    assert!(pseudonym.starts_with("pseudonym:"), "{pseudonym}");
    assert_eq!(with_pseudonyms().findable(Some("user"), "ada@example.org"), pseudonym);
    assert_ne!(redactor.findable(None, "bob@example.org"), pseudonym);
    let other = Redaction::standard().pseudonym_key("another key for pseudonyms").build().unwrap();
    assert_ne!(other.findable(None, "ada@example.org"), pseudonym);

    assert!(!redactor.hits(&pseudonym));
    assert_eq!(redactor.findable(Some("email"), &pseudonym), pseudonym);
    assert_eq!(redactor.findable(Some("user"), "u-17"), "u-17");
    assert!(redactor.findable(Some("customer_name"), "Ada").starts_with("pseudonym:"));
    assert!(redactor.can_pseudonymise());
}

#[test]
fn without_a_pseudonym_key_findable_text_becomes_a_mark() {
    let redactor = standard();
    assert_eq!(redactor.findable(None, "for ada@example.org"), "[redacted]");
    assert_eq!(redactor.findable(Some("customer_name"), "Ada"), "[redacted]");
    assert_eq!(redactor.findable(None, "loan-42"), "loan-42");
    assert!(!redactor.can_pseudonymise());
}

#[test]
fn a_payload_beyond_the_limit_is_cut_and_says_so() {
    let redactor = Redaction::standard().payload_limit(2048).build().unwrap();
    let data = json!({
        "id": "loan-42",
        "password": "x".repeat(10_000),
        "page": format!("<html>{} ada@example.org {}", "word ".repeat(300), "word ".repeat(2000)),
        "rows": (0..1000).map(|n| json!({"row": n})).collect::<Vec<_>>(),
    });
    let cut = payload(&redactor, data);
    let json = cut.to_string();
    assert!(json.len() <= 2048, "{}", json.len());
    assert_eq!((&cut["id"], &cut["password"]), (&json!("loan-42"), &json!("[redacted]")));
    assert!(cut["page"].as_str().unwrap().ends_with(" bytes]") && !json.contains("ada@"), "{cut}");
    assert!(cut["rows"].as_array().unwrap().last().unwrap().as_str().unwrap().starts_with("[cut: "), "{cut}");
    assert_eq!(payload(&redactor, cut.clone()), cut);
}

#[test]
fn the_default_limit_is_64_kib_and_what_is_below_it_stays() {
    let data = json!({"text": "\n".repeat(30_000)});
    assert_eq!(payload(&standard(), data.clone()), data);
    let cut = payload(&standard(), json!({"text": "\n".repeat(40_000)}));
    let len = cut.to_string().len();
    assert!((60_000..=65_536).contains(&len), "{len}");
}

#[test]
fn a_long_message_is_redacted_and_cut() {
    let redactor = Redaction::standard().payload_limit(300).build().unwrap();
    let cut = redactor.message(&format!("to ada@example.org: {}", "word ".repeat(1000))).into_owned();
    assert!(cut.starts_with("to [redacted:email]: word") && cut.ends_with(" bytes]"), "{cut}");
    assert!(cut.len() <= 300, "{}", cut.len());
    assert_eq!(redactor.message(&cut), cut);
    assert_eq!(redactor.message("short"), "short");
}

#[test]
fn fields_that_are_not_known_are_redacted_without_the_allow_list() {
    let redactor = Redaction::standard().allow_only(["amount"]).build().unwrap();
    let serde_json::Value::Object(mut fields) =
        json!({"colour": "green", "to": "ada@example.org", "pin": 1234})
    else {
        unreachable!()
    };
    redactor.unknown_fields(&mut fields);
    let redacted = json!({"colour": "green", "to": "[redacted:email]", "pin": "[redacted]"});
    assert_eq!(serde_json::Value::Object(fields), redacted);
}

#[test]
fn keys_that_hold_a_secret_are_redacted_and_others_stay() {
    let redactor = with_pseudonyms();
    for key in ["tenant", "password", "customer.email"] {
        assert_eq!(redactor.findable_key(key), key);
    }
    assert_eq!(redactor.findable_key("ada@example.org"), redactor.findable(None, "ada@example.org"));
}

#[test]
fn deep_nesting_is_cut_and_harms_nobody() {
    let mut deep = json!("ada@example.org");
    for level in 0..100_000 {
        deep = if level % 2 == 0 {
            serde_json::Value::Array(vec![deep])
        } else {
            serde_json::Value::from_iter([("a", deep)])
        };
    }
    let mut data = serde_json::Map::from_iter([("deep".to_owned(), deep)]);
    standard().payload(&mut data);
    let json = serde_json::to_string(&data).unwrap();
    assert!(json.contains("[cut: nested too deep]") && !json.contains('@'), "{json}");
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());

    let mut hidden = json!(1);
    for _ in 0..100_000 {
        hidden = serde_json::Value::Array(vec![hidden]);
    }
    let mut data = serde_json::Map::from_iter([("secret".to_owned(), hidden)]);
    standard().payload(&mut data);
    assert_eq!(data["secret"], "[redacted]");
}

#[test]
fn what_debug_shows_holds_no_secret() {
    let redaction = Redaction::standard().pseudonym_key("a most secret pseudonym key");
    let redactor = redaction.build().unwrap();
    redactor.text("ada@example.org");
    redactor.payload(&mut serde_json::Map::from_iter([("seen_key".to_owned(), json!(1))]));
    let shown = format!("{redaction:?} {redactor:?}");
    assert!(!shown.contains("most secret") && !shown.contains("97, 32"), "{shown}");
    assert!(!shown.contains("seen_key"), "{shown}");
}

#[test]
fn invalid_settings_are_reported_with_how_to_fix_them() {
    let why = |redaction: Redaction| redaction.build().unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            why(Redaction::standard().pattern("loan-number", "LN-(")),
            why(Redaction::standard().pattern("loan-number", "(?<=LN-)x")),
            why(Redaction::standard().pattern("loan number", "x")),
            why(Redaction::standard().key("--")),
            why(Redaction::standard().allow_only([""])),
            why(Redaction::standard().pseudonym_key("short")),
            why(Redaction::standard().payload_limit(10)),
        ]
        .join("\n\n")
    );
}

#[test]
fn what_ends_within_something_else_is_read_without_a_panic() {
    let redactor = Redaction::standard().build().unwrap();
    for unit in [
        "?token=x://u:p@curl -u ",
        "\"value\":\"; Password={address: diagnosis: key: password first_name: password=(\\",
        "?code=x1:=pin=",
        "IDENTIFIED BY 'é",
        "jdbc:oracle:thin:a/@é",
    ] {
        for times in [1, 2, 40] {
            let text = unit.repeat(times);
            let once = redactor.text(&text).into_owned();
            assert_eq!(redactor.text(&once), once, "{text}");
        }
    }
}

#[test]
fn a_text_in_which_marks_bring_more_and_more_to_light_is_hidden_altogether() {
    let redactor = Redaction::standard().build().unwrap();
    let text = "name: 4пароль: password: {address: '".repeat(200);
    assert_eq!(redactor.text(&text), "[redacted]");
    // Where little comes to light, the rest stays.
    let text =
        format!("{}{}", "nothing to hide in this line\n".repeat(200), "name: 4пароль: password: {address: '");
    assert!(redactor.text(&text).starts_with("nothing to hide"));
}

#[test]
fn a_key_that_is_an_exception_tells_nowhere_and_what_tells_itself_still_does() {
    let redactor = Redaction::standard().keep_key("Order-Token").keep_key("code").build().unwrap();
    for text in [
        "order_token=a1b2c3d4",
        r#"{"orderToken": "a1b2c3d4"}"#,
        "<orderToken>a1b2c3d4</orderToken>",
        "app --order-token a1b2c3d4",
        "order_token,n\na1b2c3d4,5",
        r#"{"name":"ORDER_TOKEN","value":"a1b2c3d4"}"#,
        "GET /cb?code=AbCdEf123456",
    ] {
        assert_eq!(redactor.text(text), text);
    }
    let data = json!({ "orderToken": "a1b2c3d4", "env": [{ "name": "ORDER_TOKEN", "value": "x7" }] });
    assert_eq!(payload(&redactor, data.clone()), data);
    assert_eq!(redactor.path("/x/{order_token}", "/x/a1b2c3d4"), "/x/a1b2c3d4");
    assert_eq!(redactor.findable(Some("order_token"), "a1b2c3d4"), "a1b2c3d4");
    for (text, redacted) in [
        ("order_token=4111111111111111", "order_token=[redacted:card]"),
        ("order_token_secret=a1b2c3d4", "order_token_secret=[redacted]"),
        ("token=a1b2c3d4", "token=[redacted]"),
    ] {
        assert_eq!(redactor.text(text), redacted);
    }
    assert!(Redaction::standard().keep_key("--").build().is_err());
}
