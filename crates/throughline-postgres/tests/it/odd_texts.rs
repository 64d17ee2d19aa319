//! Texts that Postgres can't hold, or not in an index, and numbers beyond its own.

use std::collections::BTreeSet;

use throughline_model::names::{attrs, data, tags};
use throughline_model::testing::run;
use throughline_model::{Filter, JobKey, Page, Scope, SpanId, Status, Text, Timestamp, TraceEvent, TraceId};

use crate::server::Database;
use crate::{open, shared};

fn odd_event(text: &str) -> TraceEvent {
    let (trace, span) = (TraceId::from_key(text), SpanId::from_u64(u64::MAX).unwrap());
    let mut event = TraceEvent::new(trace, span, text.to_owned(), Timestamp::from_micros(7), text.to_owned());
    event.workflow = Some(Text::from(text.to_owned()));
    event.correlation_id = Some(Text::from(text.to_owned()));
    event.tags = vec![Text::from(text.to_owned()), tags::DECISION.into(), tags::DETACHED.into()];
    event.attrs = event.attrs.with(attrs::JOB_ID, text.to_owned()).with(attrs::QUEUE, text.to_owned());
    event.attrs = event.attrs.with(text.to_owned(), text.to_owned());
    let choice = (data::CHOICE.to_owned(), text.into());
    event.data = Some([choice, (text.to_owned(), text.into())].into_iter().collect());
    (event.seq, event.n, event.duration_us) = (u32::MAX, u64::MAX, Some(u64::MAX));
    event.status = Status::Failed;
    event
}

#[tokio::test]
async fn every_text_is_kept_and_found() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    let readers = store.readers();
    let long = "é".repeat(20_000);
    let texts = ["a\0b", "\0", "\u{10FFFF}0", "\\u0000", "'; DROP TABLE event; --", "100%_", &long];
    for text in texts {
        let event = odd_event(text);
        store.append(&shared(std::slice::from_ref(&event))).await.unwrap();
        assert_eq!(readers.reader.trace(event.trace_id).await.unwrap(), std::slice::from_ref(&event));
        let workflow = Filter::new().scope(Scope::all().workflow(text.to_owned()));
        let filters = [
            workflow,
            Filter::new().correlation_id(text.to_owned()),
            Filter::new().service(text.to_owned()),
            Filter::new().tag(text.to_owned()),
            Filter::new().attr(text.to_owned(), text.to_owned()),
            Filter::new().event_type(text),
        ];
        for filter in filters {
            let found = readers.reader.events(&filter, &Page::first(10)).await.unwrap().items;
            assert_eq!(found, std::slice::from_ref(&event), "{filter:?}");
            let found = readers.reader.runs(&filter, &Page::first(10)).await.unwrap().items;
            let found: Vec<_> = found.iter().map(|run| (run.trace_id, run.workflow.as_deref())).collect();
            assert_eq!(found, [(event.trace_id, Some(text))], "{filter:?}");
        }
        let job = JobKey::new(text.to_owned(), text.to_owned(), text.to_owned());
        let attempt = readers.reader.last_attempt(event.trace_id, &job).await.unwrap();
        assert_eq!(attempt.map(|attempt| attempt.span_id), Some(event.span_id));
    }
    let of = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
    let wanted = of(texts.map(str::to_owned).to_vec());
    let rates = readers.analytics.failure_rate_by_type(&Scope::all()).await.unwrap();
    assert_eq!(of(rates.iter().map(|rate| rate.event_type.to_string()).collect()), wanted);
    let choices = readers.analytics.decision_outcomes(&Scope::all()).await.unwrap();
    assert_eq!(of(choices.iter().map(|choice| choice.choice.to_string()).collect()), wanted);
    let stages = readers.analytics.slowest_stages(&Scope::all(), 99).await.unwrap();
    assert!(stages.iter().all(|stage| stage.max_us == u64::MAX), "{stages:?}");
    let spans = readers.analytics.slowest_spans(&Scope::all(), 99).await.unwrap();
    assert!(spans.len() == texts.len() && spans.iter().all(|span| span.duration_us == u64::MAX), "{spans:?}");
}

#[tokio::test]
async fn tables_and_views_read_well_in_the_shell() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    let mut loan = run("loan-approval").key("loan-1");
    let score = loan.begin("stage:score");
    loan.fail(score, "BureauError::Timeout", "no answer");
    loan.fail_run("BureauError::Timeout", "no answer");
    store.append(&shared(&loan.events())).await.unwrap();
    store.append(&shared(&[odd_event("a\0b")])).await.unwrap();

    let of_loan = "WHERE correlation_id = 'loan-1'";
    let types = format!(
        "SELECT string_agg(event_type, ' ' ORDER BY timestamp, seq) FROM throughline.failures {of_loan}"
    );
    assert!(database.psql(&types).contains("stage:score"), "{}", database.psql(&types));
    let run = format!("SELECT state, workflow, trace_id FROM throughline.runs {of_loan}");
    assert_eq!(database.psql(&run), format!("failed|loan-approval|{}", loan.trace_id()));
    let started = format!(
        "SELECT to_char(started AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM throughline.runs {of_loan}"
    );
    assert_eq!(database.psql(&started), loan.events()[0].timestamp.to_string());
    let error = format!("SELECT DISTINCT event -> 'error' ->> 'type' FROM throughline.failures {of_loan}");
    assert_eq!(database.psql(&error), "BureauError::Timeout");
    assert_eq!(
        database.psql("SELECT count(*) FROM throughline.events"),
        (loan.events().len() + 1).to_string()
    );
}
