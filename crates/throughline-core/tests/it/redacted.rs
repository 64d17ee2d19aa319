//! Whatever text code gives a context is redacted before anybody sees it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use throughline_core::{
    EventSink, MemoryStore, NotRecorded, Redaction, Relation, SpanId, Status, Throughline, TraceContext,
    TraceEvent, redact_event,
};

/// Keeps what it is shown.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<TraceEvent>>>);

impl EventSink for Seen {
    fn name(&self) -> &str {
        "seen"
    }
    fn on_event(&self, event: &Arc<TraceEvent>) {
        self.0.lock().unwrap().push(TraceEvent::clone(event));
    }
}

const MAIL: &str = "ada@example.org";

fn with_mail(what: &str) -> String {
    format!("{what} {MAIL}")
}

async fn say_all(ctx: TraceContext) -> Result<(), NotRecorded> {
    let no_mail = || std::io::Error::other(with_mail("no mail to"));
    let step = ctx.step(with_mail("stage:send")).tag(MAIL).tag("urgent").attr("to", MAIL).input(&MAIL);
    let step = step.link(Relation::Other(with_mail("copies").into()), SpanId::random()).capture_output();
    let sent = step.run(|ctx| async move {
        ctx.annotate("cc", MAIL);
        ctx.event(with_mail("mail:sent"), json!({ "to": MAIL })).tag(MAIL).attr(MAIL, MAIL).await?;
        ctx.trace_infallible(with_mail("stage:wait"), async {}).await?;
        Ok::<_, NotRecorded>(MAIL)
    });
    sent.await?.unwrap();
    ctx.trace("stage:plain", async { Ok::<_, NotRecorded>(()) }).await?.unwrap();
    let failed = ctx.trace(with_mail("stage:fail"), async { Err::<(), _>(no_mail()) }).await?;
    ctx.fallback(with_mail("nothing sent to"), &failed.unwrap_err()).await?;
    ctx.decision(with_mail("ai:decision")).choose(with_mail("write to")).await?;
    let call = ctx.dependency(&with_mail("mail"), with_mail("smtp"), async { Ok::<_, NotRecorded>(()) });
    call.await?.unwrap();
    ctx.compensate(&with_mail("stage:send"), SpanId::random(), async { Ok::<_, NotRecorded>(()) })
        .await?
        .unwrap();
    let saga = ctx.saga(with_mail("sending")).run(|_| async { Ok::<_, NotRecorded>(()) });
    saga.await.unwrap().unwrap();
    let child = ctx.child_workflow(with_mail("child")).key(MAIL).tag(MAIL).attr("to", MAIL);
    child.run_infallible(|_| async {}).await?;
    // What ends without a word: it is cancelled.
    let never = ctx.trace_infallible(with_mail("stage:never"), std::future::pending::<()>());
    tokio::time::timeout(Duration::ZERO, never).await.unwrap_err();
    Ok(())
}

#[tokio::test]
async fn no_text_that_a_context_is_given_reaches_anybody_unredacted() {
    for has_store in [false, true] {
        let (seen, store) = (Seen::default(), MemoryStore::new());
        let builder = Throughline::builder(with_mail("service")).sink(seen.clone());
        let builder = if has_store { builder.store(store.clone()) } else { builder };
        let throughline = builder.build().unwrap();
        let run = throughline.workflow(with_mail("mailing")).key(MAIL).tag(MAIL).attr("to", MAIL);
        run.run(say_all).await.unwrap().unwrap();

        let redactor = Redaction::standard().build().unwrap();
        let events: Vec<TraceEvent> = seen.0.lock().unwrap().drain(..).collect();
        assert!(events.len() > 20, "{}", events.len());
        for event in &events {
            let json = serde_json::to_string(event).unwrap();
            assert!(!json.contains("example.org"), "{json}");
            // There is nothing left to redact.
            let mut again = event.clone();
            redact_event(&redactor, &mut again);
            assert_eq!(&again, event);
        }
        assert_eq!(store.events(), if has_store { events } else { Vec::new() });
    }
}

#[tokio::test]
async fn an_event_has_nothing_of_the_one_that_was_in_its_place_before() {
    let seen = Seen::default();
    let throughline = Throughline::builder("test").sink(seen.clone()).build().unwrap();
    // Without a key and attributes, after a run that says all that there is to say.
    let loud = throughline.workflow("loud").key("loan-42").attr("tenant", "acme").tag("urgent");
    loud.run(say_all).await.unwrap().unwrap();
    seen.0.lock().unwrap().clear();
    let quiet = throughline.workflow("quiet").run(async |ctx| {
        ctx.trace("stage:a", async { Ok::<_, NotRecorded>(()) }).await?.unwrap();
        ctx.event("business:b", json!({})).await
    });
    quiet.await.unwrap().unwrap();
    let events = seen.0.lock().unwrap();
    assert_eq!(events.len(), 5);
    for event in &*events {
        assert!(event.correlation_id.is_none() && event.attrs.is_empty() && event.tags.is_empty());
        assert!(event.links.is_empty() && event.data.is_none() && event.error.is_none());
        assert!(event.extra.is_empty() && event.attempt.is_none() && event.step_index.is_none());
        assert_eq!(event.workflow.as_deref(), Some("quiet"));
        let ends = event.status != Status::Pending && event.event_type != "business:b";
        assert_eq!((event.duration_us.is_some(), event.seq > 0), (ends, ends), "{event:?}");
        assert!(event.parent_trace_id.is_none() && event.step_total.is_none());
    }
}
