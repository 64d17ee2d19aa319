//! Runs that are built event by event.

use std::time::Duration;

use serde_json::json;
use throughline_core::names::attrs::REQUEST_ID;
use throughline_core::testing::run;
use throughline_core::{Attrs, ErrorInfo, InstanceId, SpanId, Status, Timestamp, TraceEvent, TraceId};

/// Everything that might be mistaken for code, in every field that has a text.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=\"window.hit=1\"><svg onload=window.hit=1>{{window.hit=1}}javascript:window.hit=1'\"`${window.hit=1}";

/// A run of another writer whose every field is this text.
pub(crate) fn events_of(text: &'static str) -> (TraceId, Vec<TraceEvent>) {
    let id = TraceId::random();
    let began = Timestamp::now().minus(Duration::from_secs(1));
    let at = |micros| began.plus(Duration::from_micros(micros));
    let root = SpanId::random();
    let event = |span, seq, status, micros| {
        let mut event = TraceEvent::new(id, span, text, at(micros), text);
        (event.seq, event.status) = (seq, status);
        event.workflow = Some(text.into());
        event.correlation_id = Some(text.into());
        event.attrs = Attrs::new().with(text, text).with("dependency", text);
        event.tags = vec![text.into(), "decision".into(), "compensable".into()];
        event.data = json!({
            text: text, "input": text, "output": { text: [text] }, "choice": text,
            "reasoning": text, "decider": text, "message": text,
            "alternatives": [{ "name": text, "score": 0.5, "reason": text }],
        })
        .as_object()
        .cloned();
        event
    };
    let step = SpanId::random();
    let mut events = vec![
        event(root, 0, Status::Pending, 1),
        event(step, 0, Status::Pending, 2),
        event(step, 1, Status::Failed, 3),
        event(root, 1, Status::Failed, 4),
    ];
    for event in &mut events {
        event.parent_span_id = (event.span_id != root).then_some(root);
        if event.status == Status::Failed {
            event.error = Some(Box::new(ErrorInfo {
                kind: text.into(),
                message: text.into(),
                chain: vec![text.into()],
            }));
            event.duration_us = Some(100);
        }
    }
    (id, events)
}

/// The first event of a run.
pub(crate) fn beginning() -> TraceEvent {
    let (id, root) = (TraceId::random(), SpanId::random());
    let mut event = TraceEvent::new(id, root, "workflow:started", Timestamp::now(), "loan-service");
    event.status = Status::Pending;
    event
}

/// A run that does nothing.
pub(crate) fn short_run() -> [TraceEvent; 2] {
    let began = beginning();
    let mut ended = began.clone();
    (ended.seq, ended.status, ended.duration_us) = (1, Status::Success, Some(1));
    ended.timestamp = began.timestamp.plus(Duration::from_micros(1));
    [began, ended]
}

/// A run of three steps of a second, with an hour between them in which nothing happens.
pub(crate) fn patient_run() -> (TraceId, Vec<TraceEvent>) {
    const SECOND: u64 = 1_000_000;
    let (id, root) = (TraceId::random(), SpanId::random());
    let began = Timestamp::now().minus(Duration::from_secs(86_400));
    let event = |span, seq, status, micros, name: &'static str| {
        let mut event =
            TraceEvent::new(id, span, name, began.plus(Duration::from_micros(micros)), "mail-service");
        (event.seq, event.status) = (seq, status);
        event.parent_span_id = (span != root).then_some(root);
        event.duration_us = (seq == 1).then_some(if span == root { 7_203 * SECOND } else { SECOND });
        event
    };
    let mut events = vec![event(root, 0, Status::Pending, 0, "workflow:started")];
    for (hour, name) in ["stage:ask", "stage:remind", "stage:close"].into_iter().enumerate() {
        let (span, at) = (SpanId::random(), hour as u64 * 3_601 * SECOND);
        events.push(event(span, 0, Status::Pending, at + 1, name));
        events.push(event(span, 1, Status::Success, at + SECOND, name));
    }
    events.push(event(root, 1, Status::Success, 7_203 * SECOND, "workflow:completed"));
    (id, events)
}

/// A run of so many spans, of which one in the middle failed.
pub(crate) fn large_run(spans: u64) -> (TraceId, Vec<TraceEvent>) {
    let (id, root) = (TraceId::random(), SpanId::random());
    let began = Timestamp::now().minus(Duration::from_secs(3_600));
    let event = |span, seq, status, micros, name: String| {
        let at = began.plus(Duration::from_micros(micros));
        let mut event = TraceEvent::new(id, span, name, at, "loan-service");
        (event.seq, event.status) = (seq, status);
        event.workflow = Some("batch".into());
        event
    };
    let mut events = vec![event(root, 0, Status::Pending, 0, "workflow:started".to_owned())];
    for number in 0..spans.saturating_sub(1) {
        let span = SpanId::from_u64(number + 1).unwrap();
        let status = if number == spans / 2 { Status::Failed } else { Status::Success };
        for (seq, status, micros) in [(0, Status::Pending, 1), (1, status, 800)] {
            let mut event = event(span, seq, status, number * 1_000 + micros, format!("stage:item-{number}"));
            event.parent_span_id = Some(root);
            if seq == 1 {
                event.duration_us = Some(799);
            }
            events.push(event);
        }
    }
    events.push(event(root, 1, Status::Failed, spans * 1_000, "workflow:failed".to_owned()));
    for event in &mut events {
        if event.status == Status::Failed {
            let (kind, message) = ("ItemError".into(), "this item is broken".into());
            event.error = Some(Box::new(ErrorInfo { kind, message, chain: Vec::new() }));
        }
    }
    (id, events)
}

/// Runs of a stage that takes 50 ms by air and 5 s by post; every fourth goes by post.
pub(crate) fn shipped_runs(count: u64) -> Vec<TraceEvent> {
    let began = Timestamp::now().minus(Duration::from_secs(3_600));
    let ship = |number: u64| {
        let by_post = number % 4 == 3;
        let (id, root) = (TraceId::random(), SpanId::random());
        let took = if by_post { 5_000_000 } else { 50_000 + number * 100 };
        let event = |span, seq, micros: u64, name: &'static str| {
            let at = began.plus(Duration::from_micros(number * 10_000_000 + micros));
            let mut event = TraceEvent::new(id, span, name, at, "shop");
            (event.seq, event.workflow) = (seq, Some("order".into()));
            event.status = if seq == 0 { Status::Pending } else { Status::Success };
            event.attrs = Attrs::new().with("carrier", if by_post { "post" } else { "air" });
            event.attrs = event.attrs.clone().with("order", format!("o-{number}"));
            event.duration_us = (seq == 1).then_some(took);
            event.parent_span_id = (span != root).then_some(root);
            event
        };
        let step = SpanId::random();
        [
            event(root, 0, 0, "workflow:started"),
            event(step, 0, 1, "stage:ship"),
            event(step, 1, took, "stage:ship"),
            event(root, 1, took + 1, "workflow:completed"),
        ]
    };
    (0..count).flat_map(ship).collect()
}

/// A run of ten seconds: a decision against the scores, a quick step, a slow one with a shorter one beside it, and a result.
pub(crate) fn uneven_run() -> (TraceId, Vec<TraceEvent>) {
    let mut run = run("shop").key("order-88").at(Timestamp::now().minus(Duration::from_secs(3_600)));
    let data = |data: serde_json::Value| data.as_object().cloned();
    run.point("ai:carrier");
    run.edit(|event| {
        event.tags = vec!["decision".into()];
        event.status = Status::Success;
        event.data = data(json!({
            "choice": "post",
            "alternatives": [
                { "name": "post", "score": 0.3, "reason": "a parcel of 4 kg" }, { "name": "air", "score": 0.7 },
            ],
        }));
    });
    let quick = run.begin("stage:quick");
    run.pass(Duration::from_millis(1));
    run.succeed(quick);
    let beside = run.begin("stage:beside");
    let slow = run.begin("stage:slow");
    run.edit(|event| {
        event.attrs = Attrs::new().with("carrier", "post");
        event.tags = vec!["expensive".into()];
        event.data = data(json!({ "input": { "parcel": "p-1" }, "depot": "north" }));
    });
    run.pass(Duration::from_secs(2));
    run.succeed(beside);
    run.pass(Duration::from_secs(7));
    run.succeed(slow);
    run.edit(|event| event.data = data(json!({ "output": { "track": "t-99" } })));
    run.pass(Duration::from_secs(1));
    run.complete_run();
    run.edit(|event| event.data = data(json!({ "output": { "parcels": vec!["p-1"; 100] } })));
    (run.trace_id(), run.events())
}

/// The run of a request.
pub(crate) fn asked_run(key: &str, request: &'static str) -> (TraceId, Vec<TraceEvent>) {
    let mut run = run("mail").key(key).at(Timestamp::now().minus(Duration::from_secs(60)));
    run.root();
    run.edit(|event| event.attrs = Attrs::new().with(REQUEST_ID, request));
    run.complete_run();
    (run.trace_id(), run.events())
}

/// A run that is urgent, and one that is of a customer, too.
pub(crate) fn tagged_runs() -> Vec<TraceEvent> {
    let tagged = |(key, tags): (&str, &[&str])| {
        let mut run = run("mail").key(key).at(Timestamp::now().minus(Duration::from_secs(60)));
        run.root();
        run.edit(|event| event.tags = tags.iter().map(|tag| (*tag).to_owned().into()).collect());
        run.complete_run();
        run.events()
    };
    [("letter-2", &["urgent"][..]), ("letter-3", &["urgent", "of-acme"])]
        .into_iter()
        .flat_map(tagged)
        .collect()
}

/// Runs that failed, with as much to say about it as is usual.
pub(crate) fn failed_runs(count: usize) -> Vec<TraceEvent> {
    let began = Timestamp::now().minus(Duration::from_secs(600));
    let failed = |number: usize| {
        let mut run = run("invoice")
            .key(&format!("invoice-{number}"))
            .at(began.plus(Duration::from_secs(number as u64)));
        let step = run.begin("stage:render");
        let why = format!("line {number}: {}", "no price is known for this article and day; ".repeat(8));
        run.fail(step, "billing::render::RenderError::NoPrice", &why);
        run.fail_run("billing::InvoiceError::Render", &why);
        run.events()
    };
    (0..count).flat_map(failed).collect()
}

/// A run whose step was tried three times, each time with a call in it, of which the first two failed.
pub(crate) fn called_run() -> (TraceId, Vec<TraceEvent>) {
    let mut run = run("shop").key("order-89").at(Timestamp::now().minus(Duration::from_secs(60)));
    for attempt in 1..=3 {
        run.pass(Duration::from_millis(200));
        let step = run.begin("stage:ask");
        run.edit(|event| event.attempt = Some(attempt));
        let call = run.begin_in(step, "http:bureau");
        run.edit(|event| event.attrs = Attrs::new().with("peer", format!("bureau-{attempt}")));
        run.pass(Duration::from_millis(300));
        if attempt < 3 {
            run.fail(call, "Timeout", "no answer");
            run.fail(step, "Timeout", "no answer");
        } else {
            run.succeed(call);
            run.succeed(step);
        }
    }
    run.complete_run();
    (run.trace_id(), run.events())
}

/// Runs of a living process in which nothing has happened for an hour, and one of a process that is gone.
pub(crate) fn runs_that_stand_still(alive: InstanceId, gone: InstanceId, count: usize) -> Vec<TraceEvent> {
    let began = Timestamp::now().minus(Duration::from_secs(3_600));
    let standing = |number: usize| {
        let at = began.plus(Duration::from_secs(number as u64));
        let mut run = run("mail").key(&format!("stuck-{number}")).instance(alive).at(at);
        run.begin("stage:wait");
        run.events()
    };
    let mut left = run("mail").key("left-1").instance(gone).at(began);
    left.begin("stage:wait");
    (0..count).flat_map(standing).chain(left.events()).collect()
}
