//! What becomes of each field of an event.

use serde_json::json;
use throughline_redact::Redaction;

use super::*;
use throughline_model::{SpanId, Timestamp, TraceId};

fn standard() -> Redactor {
    Redaction::standard().build().unwrap()
}

fn with_pseudonyms() -> Redactor {
    Redaction::standard().pseudonym_key("a pseudonym key for tests").build().unwrap()
}

fn event() -> TraceEvent {
    TraceEvent::new(
        TraceId::from_key("loan-42"),
        SpanId::from_u64(7).unwrap(),
        "stage:credit-check",
        Timestamp::from_micros(1_790_000_000_000_000),
        "loan-service",
    )
}

#[test]
fn every_place_of_an_event_that_carries_text_is_redacted() {
    let mut event = event();
    event.event_type = "mail:ada@example.org".into();
    event.correlation_id = Some("ada@example.org".into());
    event.service = "ada@example.org-service".into();
    event.workflow = Some("for ada@example.org".into());
    event.error = Some(Box::new(ErrorInfo {
        kind: "MailError<ada@example.org>".into(),
        message: "no mail to ada@example.org".into(),
        chain: vec!["550 <ada@example.org>".into()],
    }));
    event.attrs =
        Attrs::new().with("user", "ada@example.org").with("ada@example.org", "1").with("pin", "1234");
    event.tags = vec!["decision".into(), "ada@example.org".into()];
    let Value::Object(data) =
        json!({"note": "ada@example.org", "list": [{"ada@example.org": 1}], "pin": 1234})
    else {
        unreachable!()
    };
    event.data = Some(data.clone());
    event.extra = data;

    for redactor in [standard(), with_pseudonyms()] {
        let mut redacted = event.clone();
        redact_event(&redactor, &mut redacted);
        let json = serde_json::to_string_pretty(&redacted).unwrap();
        assert!(!json.contains("example.org") && !json.contains("1234"), "{json}");
        assert!(json.contains("\"decision\"") && json.contains("no mail to [redacted:email]"), "{json}");
        let mut again = redacted.clone();
        redact_event(&redactor, &mut again);
        assert_eq!(again, redacted);
        assert_eq!(redacted.tags[1].starts_with("pseudonym:"), redactor.can_pseudonymise());
    }
}

#[test]
fn an_event_reads_well_after_redaction() {
    let mut event = event();
    event.error = Some(Box::new(ErrorInfo {
        kind: "BureauError::Refused".into(),
        message: "bureau refused card 4111111111111111 of ada@example.org".into(),
        chain: vec!["https://bureau:hunter2@api.example.org/score: 401".into()],
    }));
    event.attrs = Attrs::new().with("tenant", "acme").with("customer_name", "Ada");
    let Value::Object(data) = json!({
        "input": {"amount": 25000, "applicant": {"firstName": "Ada", "ssn": [78, 5, 1120], "city": "London"}},
        "reference": 4_111_111_111_111_111_u64,
        "request": "{\"pin\":\"1234\",\"amount\":25000}",
        "password": null,
    }) else {
        unreachable!()
    };
    event.data = Some(data);
    event.tags = vec!["compensable".into(), "ada@example.org".into()];
    redact_event(&with_pseudonyms(), &mut event);
    insta::assert_json_snapshot!(event);
}

#[test]
fn a_clean_event_is_not_changed_and_its_attributes_stay_shared() {
    let mut event = event();
    event.attrs = Attrs::new().with("tenant", "acme").with("execution", "e-17");
    let before = event.clone();
    redact_event(&standard(), &mut event);
    assert_eq!(event, before);
    assert!(std::ptr::eq(event.attrs.iter().as_slice(), before.attrs.iter().as_slice()));
}

#[test]
fn names_of_events_about_secrets_stay_readable() {
    let mut event = event();
    event.event_type = "password:reset-requested".into();
    event.tags = vec!["token:refreshed".into()];
    let before = event.clone();
    redact_event(&standard(), &mut event);
    assert_eq!(event, before);
    event.event_type = "login password=hunter2".into();
    redact_event(&standard(), &mut event);
    assert_eq!(event.event_type, "login password=[redacted]");
}

#[test]
fn a_relation_that_somebody_else_named_is_redacted_and_one_that_throughline_knows_is_not() {
    use throughline_model::{Link, Relation};
    let mut event = event();
    let link = |rel: &str| Link {
        rel: serde_json::from_value(json!(rel)).unwrap(),
        trace_id: None,
        span_id: SpanId::from_u64(8).unwrap(),
    };
    event.links = vec![link("mailed_to ada@example.org"), link("supersedes"), link("retry_of")];
    redact_event(&standard(), &mut event);
    let relations: Vec<&Relation> = event.links.iter().map(|link| &link.rel).collect();
    assert_eq!(
        relations,
        [
            &Relation::Other("mailed_to [redacted:email]".into()),
            &Relation::Other("supersedes".into()),
            &Relation::RetryOf
        ]
    );
}

#[test]
fn names_that_throughline_gives_to_attributes_and_fields_are_not_sensitive() {
    use throughline_model::names::{attrs, data, tags};
    let redactor = standard();
    for name in [
        attrs::RESOURCE,
        attrs::SAGA,
        attrs::DEPENDENCY,
        attrs::REQUEST_ID,
        data::INPUT,
        data::OUTPUT,
        data::CHOICE,
        data::ALTERNATIVES,
        data::REASONING,
        data::CONFIDENCE,
        data::DECIDER,
        tags::COMPENSABLE,
        tags::COMPENSATION,
        tags::DECISION,
        tags::DEPENDENCY,
        tags::REMOTE_PARENT,
    ] {
        assert_eq!(redactor.findable(Some(name), "x"), "x", "{name}");
    }
}

#[test]
fn an_allow_list_leaves_fields_of_later_versions_alone() {
    let redactor = Redaction::standard().allow_only(["amount"]).build().unwrap();
    let mut event = event();
    event.extra.insert("colour".to_owned(), json!("green"));
    redact_event(&redactor, &mut event);
    assert_eq!(event.extra["colour"], "green");
}

#[test]
fn attributes_are_redacted_by_key_and_by_text_and_stay_findable() {
    let redactor = with_pseudonyms();
    let attrs =
        Attrs::new().with("tenant", "acme").with("customer.email", "Ada").with("ada@example.org", "x");
    let redacted = super::attrs(&redactor, &attrs);
    assert_eq!(redacted.get("tenant"), Some("acme"));
    assert_eq!(redacted.get("customer.email"), Some(&*redactor.findable(Some("customer.email"), "Ada")));
    assert_eq!(redacted.get(&redactor.findable(None, "ada@example.org")), Some("x"));
    assert_eq!(super::attrs(&redactor, &redacted), redacted);
}

#[test]
fn long_messages_of_errors_are_cut() {
    let redactor = Redaction::standard().payload_limit(300).build().unwrap();
    let mut event = event();
    let message = "word ".repeat(1000);
    event.error = Some(Box::new(ErrorInfo {
        kind: "E".into(),
        message: message.clone().into(),
        chain: vec![message.into()],
    }));
    redact_event(&redactor, &mut event);
    let error = event.error.clone().unwrap();
    assert!(error.message.len() <= 300 && error.message.ends_with(" bytes]"), "{}", error.message);
    assert_eq!(error.chain[0], error.message);
    let before = event.clone();
    redact_event(&redactor, &mut event);
    assert_eq!(event, before);
}
