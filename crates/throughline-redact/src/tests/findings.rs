//! What findings say: why something would be hidden.

use super::*;

#[test]
fn what_gave_a_secret_away_is_said_by_the_recogniser_that_found_it() {
    let redactor = standard();
    for (text, because) in [
        ("password=hunter2", &["the value of `password`"][..]),
        ("your card number: 4111", &["the value of `your card number`"]),
        (r#"{"user": {"pin": 1234}}"#, &["the value of `pin`"]),
        ("var xToken string = \"a1b2c3d4\"", &["the value of `xToken`"]),
        (
            "INSERT INTO u (name,password,token) VALUES ('ada','hunter2x','zzz-1234')",
            &["the value of `password`", "the value of `token`"],
        ),
        ("user,password,pin\nada,hunter2,4821", &["the value of `password`", "the value of `pin`"]),
        ("| password | hunter2 |", &["the value of `password`"]),
        ("curl -u ada:x7 https://x.example", &["the value of `-u`"]),
        ("mysql -u root -phunter2", &["the value of `-p`"]),
        ("CREATE USER 'app' IDENTIFIED BY 'hunter2'", &["the value of `IDENTIFIED BY`"]),
        ("app:hunter2@tcp(db:3306)/loans", &["a password in a URL"]),
        ("Your verification code is 482913", &["the value of `Your verification code`"]),
        (r#"{"name":"DB_PASSWORD","value":"x7"}"#, &["the value of `DB_PASSWORD`"]),
        (r#"{"value":"x7","name":"DB_PASSWORD"}"#, &["the value of `DB_PASSWORD`"]),
        ("variable \"db_password\" {\n  default = \"x7\"\n}", &["the value of `db_password`"]),
        ("[\"X-Api-Key\", \"zzz-123\"]", &["the value of `X-Api-Key`"]),
        ("Pin(1234)", &["the value of `Pin`"]),
        ("<pin>1234</pin>", &["the value of `pin`"]),
        ("app --api-key zzz-123", &["the value of `api-key`"]),
        ("invalid api key 'zzz-1234'", &["the value of `api key`"]),
        ("GET /password-reset/Zq9xT4mB7wLk2", &["the value of `password-reset`"]),
        ("key AKIAIOSFODNN7EXAMPLE", &["the form of a token of aws"]),
        ("{\"log\":\"he said \\\"pin: 1234\\\"\"}", &["the value of `pin`"]),
        ("ｐａｓｓｗｏｒｄ＝hunter2", &["the value of `ｐａｓｓｗｏｒｄ`"]),
        // The name is hidden itself, or says something of what is.
        ("password=password1", &["the value of a sensitive name"]),
        ("password=hunter2 hunter_token=x7", &["the value of `password`", "the value of a sensitive name"]),
    ] {
        let said: Vec<_> = redactor.findings(text).map(|finding| finding.because).collect();
        assert_eq!(said, because, "{text}");
    }
}

#[test]
fn of_a_payload_every_place_is_named_with_what_gave_it_away() {
    let redactor = Redaction::standard().build().unwrap();
    let data = json!({
        "ada@example.org": { "pin": 4821 },
        "args": ["--password", "hunter2", "-v"],
        "paid": 4_111_111_111_111_111_u64,
        "env": [{ "name": "DB_PASSWORD", "value": "x7Rq" }, { "name": "PORT", "value": "80" }],
        "a/b": { "~": "to eve@example.org" },
        "password": null,
        "token": "[redacted]",
    });
    let said: Vec<_> = redactor
        .payload_findings(data.as_object().unwrap())
        .into_iter()
        .map(|finding| format!("{} {}: {}", finding.pointer, finding.kind, finding.because))
        .collect();
    assert_eq!(
        said,
        [
            "/a~1b/~0 email: the form of: email",
            "/[redacted:email] email: the form of: email",
            "/[redacted:email]/pin key: the value of `pin`",
            "/args/1 key: the value of `--password`",
            "/env/0/value key: the value of `DB_PASSWORD`",
            "/paid card: its check digits",
        ]
    );
    assert!(redactor.counts().is_empty(), "to ask hides nothing, and counts nothing");
    let redactor = Redaction::standard().allow_only(["amount"]).build().unwrap();
    let said = redactor.payload_findings(json!({ "amount": 5, "colour": "green" }).as_object().unwrap());
    assert_eq!(said[0].because, "its key is not on the list of those that stay");
}
