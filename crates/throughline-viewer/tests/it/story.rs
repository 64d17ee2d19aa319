//! The runs that the tests look at: a loan that was refused and not undone, and others beside it.

use std::time::Duration;

use serde_json::json;
use throughline_core::names::attrs::REQUEST_ID;
use throughline_core::query::CompensationState;
use throughline_core::testing::run;
use throughline_core::{
    Attrs, BoxError, ErrorInfo, InstanceId, MemoryFeed, MemoryStore, Redaction, SagaFailed, SpanId, Status,
    Throughline, Timestamp, TraceEvent, TraceId,
};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::http::until;

#[derive(Debug, thiserror::Error)]
pub(crate) enum LoanError {
    #[error("the registry refuses the collateral")]
    CollateralRefused(#[source] RegistryError),
    #[error("the treasury has frozen the reservation")]
    ReservationFrozen,
    #[error(transparent)]
    Other(#[from] throughline_core::NotRecorded),
}

#[derive(Debug, thiserror::Error)]
#[error("no register is kept for a boat")]
pub(crate) struct RegistryError;

/// A service with a store and a feed.
pub(crate) fn service() -> Throughline {
    service_with(MemoryStore::new())
}

pub(crate) fn service_with(store: MemoryStore) -> Throughline {
    let redaction = Redaction::standard().pseudonym_key("only for these tests");
    Throughline::builder("loan-service")
        .store(store)
        .feed(MemoryFeed::new())
        .redaction(redaction)
        .build()
        .unwrap()
}

/// A loan whose collateral was refused after money had been reserved, which then could not be released.
pub(crate) async fn refused_loan(throughline: &Throughline, key: &str) -> TraceId {
    let mut id = None;
    let loan = throughline.workflow("loan-approval").key(key.to_owned()).run(|ctx| {
        id = Some(ctx.trace_id());
        async move {
            let saga = ctx.saga("loan-approval").steps(4);
            let outcome = saga.run(|saga| async move {
                saga.step("stage:open-file")
                    .input(json!({ "loan": "loan-1036", "note": "needle in the payload" }))
                    .resource("file loan-1036")
                    .compensate(|_, _| async { Ok::<_, LoanError>(()) })
                    .run(|_, _| async { Ok::<_, LoanError>(()) })
                    .await??;
                let decision = saga
                    .decision("ai:collateral")
                    .consider("unsecured", 0.38)
                    .consider("secured", 0.57)
                    .consider("manual-review", 0.05)
                    .choose("secured")
                    .reasoning("a loan of 1.2 incomes, bureau score 690, boat")
                    .confidence(0.57)
                    .decider("rules-7")
                    .await?;
                saga.step("stage:reserve-funds")
                    .input(json!({ "amount": 71_500 }))
                    .resource("reservation r-loan-1036")
                    .compensate(|_, _| async { Err::<(), _>(LoanError::ReservationFrozen) })
                    .run(|_, _| async { Ok::<_, LoanError>(()) })
                    .await??;
                saga.step("stage:register-collateral")
                    .input(json!({ "collateral": "boat" }))
                    .decided_by(&decision)
                    .run(|_, _| async { Err::<(), _>(LoanError::CollateralRefused(RegistryError)) })
                    .await??;
                Ok::<_, LoanError>(())
            });
            match outcome.await {
                Ok(outcome) => outcome,
                Err(not_started) => Err(SagaFailed::before_anything(not_started.into())),
            }
        }
    });
    loan.await.unwrap().unwrap_err();
    id.unwrap()
}

/// A loan that was granted, at the second attempt to ask the bureau.
pub(crate) async fn granted_loan(throughline: &Throughline, key: &str) -> TraceId {
    let mut id = None;
    let loan = throughline.workflow("loan-approval").key(key.to_owned()).run(|ctx| {
        id = Some(ctx.trace_id());
        async move {
            ctx.step("stage:credit-score")
                .retry(3, |_, attempt| async move {
                    if attempt == 1 {
                        Err::<(), BoxError>("the bureau did not answer".into())
                    } else {
                        Ok(())
                    }
                })
                .await?
        }
    });
    loan.await.unwrap().unwrap();
    id.unwrap()
}

/// A run that stays in a step until this is dropped.
pub(crate) struct Waiting {
    pub(crate) id: TraceId,
    task: JoinHandle<()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn waiting_loan(throughline: &Throughline, key: &str) -> Waiting {
    let (entered, in_step) = oneshot::channel();
    let run = throughline.workflow("loan-approval").key(key.to_owned()).run_infallible(|ctx| async move {
        let id = ctx.trace_id();
        let step = ctx.step("stage:manual-review").run_infallible(|_| async move {
            entered.send(id).unwrap();
            std::future::pending::<()>().await;
        });
        step.await.unwrap();
    });
    let task = tokio::spawn(async move { run.await.unwrap() });
    Waiting { id: in_step.await.unwrap(), task }
}

/// A loan whose manual review is quick.
pub(crate) async fn reviewed_loan(throughline: &Throughline, key: &str) {
    let run = throughline.workflow("loan-approval").key(key.to_owned()).run_infallible(|ctx| async move {
        ctx.step("stage:manual-review").run_infallible(|_| async {}).await.unwrap();
    });
    run.await.unwrap();
}

/// A loan that asks the bureau a second time, and waits before it does.
pub(crate) async fn retrying_loan(throughline: &Throughline, key: &str, wait: Duration) -> Waiting {
    let (entered, in_step) = oneshot::channel();
    let run = throughline.workflow("loan-approval").key(key.to_owned()).run(move |ctx| async move {
        let (id, mut entered) = (ctx.trace_id(), Some(entered));
        let asked = ctx.step("stage:credit-score").retry(3, |ctx, attempt| {
            let entered = if attempt == 2 { entered.take() } else { None };
            async move {
                let Some(entered) = entered else {
                    return Err::<(), BoxError>("the bureau did not answer".into());
                };
                ctx.retry_in(wait).await?;
                entered.send(id).unwrap();
                std::future::pending().await
            }
        });
        asked.await?
    });
    let task = tokio::spawn(async move { run.await.unwrap().unwrap() });
    Waiting { id: in_step.await.unwrap(), task }
}

/// An order that began a bill of its own, which was declined; first the order, then the bill.
pub(crate) async fn order_with_bill(throughline: &Throughline) -> [TraceId; 2] {
    let (mut order, mut bill) = (None, None);
    let run = throughline.workflow("order").key("order-7").input(&json!({ "items": 3 })).run(|ctx| {
        order = Some(ctx.trace_id());
        let bill = &mut bill;
        async move {
            let billing = ctx.step("stage:bill").run(|ctx| async move {
                let run = ctx.child_workflow("billing").key("bill-7").run(|ctx| {
                    *bill = Some(ctx.trace_id());
                    async move {
                        ctx.step("stage:charge")
                            .run(|_| async { Err::<(), BoxError>("the card was declined".into()) })
                            .await?
                    }
                });
                run.await?
            });
            billing.await?
        }
    });
    run.await.unwrap().unwrap_err();
    [order.unwrap(), bill.unwrap()]
}

/// Everything that might be mistaken for code, in every field that has a text.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=\"window.hit=1\"><svg onload=window.hit=1>{{window.hit=1}}javascript:window.hit=1'\"`${window.hit=1}";

/// A run of another writer whose every field is an injection.
pub(crate) fn hostile_events() -> (TraceId, Vec<TraceEvent>) {
    let id = TraceId::random();
    let began = Timestamp::now().minus(Duration::from_secs(1));
    let at = |micros| began.plus(Duration::from_micros(micros));
    let root = SpanId::random();
    let event = |span, seq, status, micros| {
        let mut event = TraceEvent::new(id, span, HOSTILE, at(micros), HOSTILE);
        (event.seq, event.status) = (seq, status);
        event.workflow = Some(HOSTILE.into());
        event.correlation_id = Some(HOSTILE.into());
        event.attrs = Attrs::new().with(HOSTILE, HOSTILE).with("dependency", HOSTILE);
        event.tags = vec![HOSTILE.into(), "decision".into(), "compensable".into()];
        event.data = json!({
            HOSTILE: HOSTILE, "input": HOSTILE, "output": { HOSTILE: [HOSTILE] }, "choice": HOSTILE,
            "reasoning": HOSTILE, "decider": HOSTILE, "message": HOSTILE,
            "alternatives": [{ "name": HOSTILE, "score": 0.5, "reason": HOSTILE }],
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
                kind: HOSTILE.into(),
                message: HOSTILE.into(),
                chain: vec![HOSTILE.into()],
            }));
            event.duration_us = Some(100);
        }
    }
    (id, events)
}

/// Writes to a file what a service logs in a loan that was refused: a line of the run, one of the step that failed, a hostile one, and
/// one of another run.
pub(crate) async fn log_of(throughline: &Throughline, run: TraceId, folder: &std::path::Path) {
    let events = throughline.reader().unwrap().trace(run).await.unwrap();
    let step = events.iter().find(|event| event.event_type == "stage:register-collateral").unwrap();
    let at = step.timestamp;
    let line = |level: &str, message: &str, run: TraceId, more: serde_json::Value| {
        let mut line = json!({
            "timestamp": at.to_string(), "level": level, "message": message, "service": "loan-service",
            "target": "loans::registry", "trace_id": run.to_string(),
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    };
    let error = json!({ "type": "Refused", "message": "mail from ada@example.org", "chain": [HOSTILE] });
    let of_step = json!({ "span_id": step.span_id.to_string(), "error": error, "metadata": { "tries": 3 } });
    let lines = [
        line("info", "the file is open", run, json!({})),
        line("error", "the registry answered", run, of_step),
        line("debug", HOSTILE, run, json!({ "metadata": { HOSTILE: HOSTILE } })),
        line("error", "of another run", TraceId::random(), json!({})),
    ];
    std::fs::write(folder.join("loans.2026-03-01.jsonl"), lines.join("\n") + "\n").unwrap();
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

/// A loan that was dropped in its second step: what that did is in doubt, and the first is undone without its caller.
pub(crate) async fn doubtful_loan(throughline: &Throughline, key: &str) -> TraceId {
    let (entered, in_step) = oneshot::channel();
    let run = throughline.workflow("loan-approval").key(key.to_owned()).run(|ctx| async move {
        let id = ctx.trace_id();
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            saga.step("stage:open-file")
                .resource("file of the loan")
                .compensate(|_, _| async { Ok::<_, LoanError>(()) })
                .run(|_, _| async { Ok::<_, LoanError>(()) })
                .await??;
            saga.step("stage:reserve-funds")
                .resource("reservation of the loan")
                .compensate(|_, _| async { Ok::<_, LoanError>(()) })
                .run(|_, _| async {
                    entered.send(id).unwrap();
                    std::future::pending::<Result<(), LoanError>>().await
                })
                .await??;
            Ok::<_, LoanError>(())
        });
        match saga.await {
            Ok(outcome) => outcome,
            Err(not_started) => Err(SagaFailed::before_anything(not_started.into())),
        }
    });
    let task = tokio::spawn(async move { run.await.unwrap().unwrap_err() });
    let id = in_step.await.unwrap();
    task.abort();
    until(
        async || {
            // A store in memory answers at once, and the task that undoes it needs its turn.
            tokio::task::yield_now().await;
            throughline.query(id).await.unwrap().compensation_ledger()
        },
        |ledger| {
            let mut entries = ledger.sagas.iter().flat_map(|saga| &saga.entries);
            entries.any(|entry| entry.state == CompensationState::Compensated)
        },
    )
    .await;
    id
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
