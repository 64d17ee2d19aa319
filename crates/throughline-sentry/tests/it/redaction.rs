//! Canaries in every field that an application or an integration can fill: none leaves.

use std::collections::BTreeMap;

use sentry::protocol::{
    Attachment, Breadcrumb, Context, Event, Exception, Frame, LogEntry, Mechanism, Request, Span, Stacktrace,
    Thread, Transaction, User,
};
use sentry::{Envelope, Hub};
use serde_json::{Value, json};
use throughline_sentry::Sentry;

use crate::receiver::{Answer, Receiver};
use crate::{LONG, with};

const CARD: &str = "4111 1111 1111 1111";
const MAIL: &str = "ada.canary@example.org";
const TOKEN: &str = "hunter2canary";

/// A text with all kinds in it.
fn dirty() -> String {
    format!("card {CARD} of {MAIL}, password={TOKEN}")
}

fn some() -> Option<String> {
    Some(dirty())
}

fn map() -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("password".to_owned(), TOKEN.into()),
        ("note".to_owned(), dirty().into()),
        ("nested".to_owned(), json!({ "api_key": TOKEN, "list": [MAIL] })),
    ])
}

fn stacktrace() -> Option<Stacktrace> {
    let frame = Frame {
        function: some(),
        symbol: some(),
        module: some(),
        package: some(),
        filename: some(),
        abs_path: some(),
        pre_context: vec![dirty()],
        context_line: some(),
        post_context: vec![dirty()],
        vars: map(),
        ..Frame::default()
    };
    Some(Stacktrace { frames: vec![frame], ..Stacktrace::default() })
}

fn user() -> Option<User> {
    Some(User {
        id: Some(MAIL.to_owned()),
        email: Some(MAIL.to_owned()),
        username: some(),
        other: map(),
        ..User::default()
    })
}

fn request() -> Option<Request> {
    let strings = || {
        BTreeMap::from([
            ("Authorization".to_owned(), format!("Bearer {TOKEN}")),
            ("X-Note".to_owned(), dirty()),
        ])
    };
    Some(Request {
        url: Some(format!("https://ada:{TOKEN}@example.org/?token={TOKEN}").parse().unwrap()),
        data: Some(json!({ "password": TOKEN, "mail": MAIL }).to_string()),
        query_string: Some(format!("password={TOKEN}")),
        cookies: Some(format!("session={TOKEN}")),
        headers: strings(),
        env: strings(),
        ..Request::default()
    })
}

fn contexts() -> BTreeMap<String, Context> {
    let device = sentry::protocol::DeviceContext { name: some(), other: map(), ..Default::default() };
    let trace = sentry::protocol::TraceContext { description: some(), data: map(), ..Default::default() };
    BTreeMap::from([
        ("own".to_owned(), Context::Other(map())),
        ("device".to_owned(), device.into()),
        ("trace".to_owned(), trace.into()),
    ])
}

fn event() -> Event<'static> {
    let exception = Exception {
        ty: dirty(),
        value: some(),
        module: some(),
        stacktrace: stacktrace(),
        raw_stacktrace: stacktrace(),
        mechanism: Some(Mechanism { ty: dirty(), description: some(), data: map(), ..Mechanism::default() }),
        ..Exception::default()
    };
    let crumb = Breadcrumb { category: some(), message: some(), data: map(), ..Breadcrumb::default() };
    Event {
        fingerprint: vec![dirty().into()].into(),
        culprit: some(),
        transaction: some(),
        message: some(),
        logentry: Some(LogEntry {
            message: dirty(),
            params: vec![dirty().into(), json!({ "password": TOKEN })],
        }),
        logger: some(),
        server_name: Some(dirty().into()),
        release: Some(dirty().into()),
        dist: Some(dirty().into()),
        environment: Some(dirty().into()),
        user: user(),
        request: request(),
        contexts: contexts(),
        breadcrumbs: vec![crumb].into(),
        exception: vec![exception].into(),
        stacktrace: stacktrace(),
        threads: vec![Thread { name: some(), stacktrace: stacktrace(), ..Thread::default() }].into(),
        tags: BTreeMap::from([("password".to_owned(), TOKEN.to_owned()), ("note".to_owned(), dirty())]),
        extra: map(),
        ..Event::default()
    }
}

/// The text has none of the secrets, and says where it had some.
fn assert_clean(text: &str) {
    for secret in [CARD, MAIL, TOKEN] {
        let at = text.find(secret).map(|at| &text[at.saturating_sub(80)..]);
        assert_eq!(at.map(|at| at.chars().take(200).collect::<String>()), None, "{secret} has left");
    }
    assert!(text.contains("[redacted"), "{text}");
}

#[tokio::test]
async fn whatever_an_application_captures_is_redacted_before_it_waits_to_be_sent() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (_throughline, sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()));
    let client = Hub::current().client().unwrap();
    client.capture_event(event(), None);
    let span = Span { op: some(), description: some(), data: map(), ..Span::default() };
    let transaction = Transaction {
        name: some(),
        user: user(),
        request: request(),
        extra: map(),
        tags: BTreeMap::from([("password".to_owned(), TOKEN.to_owned())]),
        contexts: contexts(),
        spans: vec![span],
        server_name: Some(dirty().into()),
        ..Transaction::default()
    };
    let mut envelope = Envelope::new();
    envelope.add_item(transaction);
    let buffer = dirty().into_bytes();
    envelope.add_item(Attachment { buffer, filename: "dump.txt".to_owned(), ..Attachment::default() });
    client.send_envelope(envelope);
    assert!(sentry.flush(LONG));
    for _ in 0..2 {
        assert_clean(&String::from_utf8(receiver.next()).unwrap());
    }
}

#[tokio::test]
async fn what_the_scope_of_an_application_has_belongs_to_a_report_and_is_redacted() {
    let receiver = Receiver::start(&[Answer::Status(200, "")]);
    let (_throughline, sentry, _guard) = with(Sentry::builder().dsn(receiver.dsn()));
    let hub = std::sync::Arc::new(Hub::new_from_top(Hub::current()));
    hub.configure_scope(|scope| {
        scope.set_user(user());
        scope.set_tag("region", "eu-west");
        scope.set_tag("step", "not this one");
        scope.set_extra("note", dirty().into());
    });
    hub.add_breadcrumb(Breadcrumb { message: some(), ..Breadcrumb::default() });
    Hub::run(hub, || sentry.capture_error(&std::io::Error::other(dirty())));
    assert!(sentry.flush(LONG));
    let body = String::from_utf8(receiver.next()).unwrap();
    assert_clean(&body);
    assert!(body.contains("eu-west") && body.contains("io::Other"), "{body}");
}
