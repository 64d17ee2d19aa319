//! What was acknowledged is there: as it was, once, as a whole.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::oracle::ids;
use super::{StoreFixture, hold, open, shared, supported};
use crate::testing::{run, sample_log};
use crate::{
    Attrs, ErrorInfo, Filter, InstanceId, Link, Page, Relation, Scope, SpanId, Status, Timestamp, TraceEvent,
    TraceId,
};

pub fn appended_events_are_there_in_order_after_reopening<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let log = sample_log(1, 20, &[]);
        let first = open(fixture).await;
        first.append_in_groups(&log).await;
        first.close().await;

        let again = open(fixture).await;
        let found = again.events(&Filter::new()).await;
        let newest_first: Vec<_> = log.iter().rev().cloned().collect();
        assert_eq!(found, newest_first);
        for id in log.iter().map(|event| event.trace_id) {
            let trace: Vec<_> = log.iter().filter(|event| event.trace_id == id).cloned().collect();
            assert_eq!(again.reader.trace(id).await.unwrap(), trace);
        }
    });
}

pub fn an_empty_group_changes_nothing<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        store.store.append(&[]).await.unwrap();
        assert_eq!(store.events(&Filter::new()).await, []);
    });
}

pub fn appending_again_keeps_one_of_each_and_the_first<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(2, 8, &[]);
        store.append(&log).await;
        store.append(&log).await;
        let mut changed = log.clone();
        for event in &mut changed {
            event.event_type = "stage:changed".into();
            event.status = Status::Failed;
            event.timestamp = event.timestamp.plus(Duration::from_secs(1));
        }
        store.append(&changed).await;
        let found = store.events(&Filter::new()).await;
        assert_eq!(found, log.into_iter().rev().collect::<Vec<_>>());
    });
}

pub fn overlapping_groups_keep_one_of_each<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let log = sample_log(3, 8, &[]);
        let half = log.len() / 2;
        store.append(&log[..half + 5]).await;
        let with_itself: Vec<_> = log[half..].iter().chain(&log[half..]).cloned().collect();
        store.append(&with_itself).await;
        let found = store.events(&Filter::new()).await;
        assert_eq!(ids(&found), ids(&log.into_iter().rev().collect::<Vec<_>>()));
    });
}

pub fn what_is_appended_inline_is_there_at_once_and_once<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let Some(inline) = store.store.inline() else { return };
        let log = sample_log(3, 5, &[]);
        for event in shared(&log) {
            let before = store.reader.trace(event.trace_id).await.unwrap().len();
            let appended = inline.append_inline(&event);
            let trace = store.reader.trace(event.trace_id).await.unwrap();
            assert_eq!(trace.len(), before + usize::from(appended), "what it says is what it did");
        }
        // Appended again, by either way, an event is stored once.
        store.append(&log).await;
        shared(&log).iter().for_each(|event| {
            inline.append_inline(event);
        });
        let found = store.reader.events(&Filter::new(), &Page::first(usize::MAX)).await.unwrap();
        let newest_first: Vec<_> = log.iter().rev().cloned().collect();
        assert_eq!(found.items, newest_first);
    });
}

pub fn span_ids_belong_to_their_trace<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut runs = ["loan-1", "loan-2"].map(|key| run("loan-approval").key(key));
        for run in &mut runs {
            let step = run.begin("stage:sign");
            run.succeed(step);
            run.complete_run();
            store.append(&run.events()).await;
        }
        for run in runs {
            assert_eq!(store.reader.trace(run.trace_id()).await.unwrap(), run.events());
        }
    });
}

/// An event in which no field is empty.
pub(super) fn full_event() -> TraceEvent {
    let mut event = TraceEvent::new(
        TraceId::from_key("loan-42"),
        SpanId::from_u64(0x00f0_67aa_0ba9_02b7).unwrap(),
        "stage:credit-check",
        Timestamp::from_micros(1_772_323_200_123_456),
        "loan-service",
    );
    event.seq = 1;
    event.parent_span_id = SpanId::from_u64(7);
    event.parent_trace_id = Some(TraceId::from_key("loan-42"));
    event.correlation_id = Some("loan-42".into());
    event.instance = InstanceId::from_u64(0x0123_4567_89ab_cdef);
    event.n = 17;
    event.status = Status::Failed;
    event.duration_us = Some(0);
    event.error = Some(Box::new(ErrorInfo {
        kind: "BureauError::Timeout".into(),
        message: "no answer\nwithin 3 s".into(),
        chain: vec!["connection reset".into(), "".into()],
    }));
    event.attrs = Attrs::new().with("tenant", "acme").with("", "empty key").with("empty value", "");
    event.data = Some(object(json!({
        "input": { "amount": 12.5, "nested": [1, [2, { "deep": null }], "three", true] },
        "large": u64::MAX,
        "small": i64::MIN,
        "fraction": 0.1,
        "empty": {},
    })));
    event.tags = vec!["expensive".into(), "a tag, with a comma".into(), "expensive".into()];
    event.links = vec![
        Link::to(Relation::DecidedBy, SpanId::from_u64(9).unwrap()),
        Link {
            rel: Relation::CausedBy,
            trace_id: Some(TraceId::from_key("other")),
            span_id: SpanId::from_u64(10).unwrap(),
        },
    ];
    event.workflow = Some("loan-approval".into());
    event.attempt = Some(2);
    event.step_index = Some(4);
    event.step_total = Some(10);
    event.v = 2;
    event.extra = object(json!({ "colour": "green", "from_a_later_version": { "x": [1] } }));
    event
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

pub fn every_field_of_an_event_survives<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let full = full_event();
        let mut bare = run("loan-approval").key("bare").events();
        bare.push(TraceEvent::new(
            TraceId::from_key("bare"),
            SpanId::from_u64(1).unwrap(),
            "bare",
            Timestamp::from_micros(0),
            "s",
        ));
        let mut with_empty_data = bare[0].clone();
        with_empty_data.seq = 1;
        with_empty_data.data = Some(Map::new());
        bare.push(with_empty_data);
        let first = open(fixture).await;
        first.append(std::slice::from_ref(&full)).await;
        first.append(&bare).await;
        first.close().await;
        let again = open(fixture).await;
        assert_eq!(again.reader.trace(full.trace_id).await.unwrap(), std::slice::from_ref(&full));
        assert_eq!(again.reader.trace(bare[0].trace_id).await.unwrap(), bare);
        let found = again.events(&Filter::new().tag("expensive")).await;
        assert_eq!(found, [full], "an event that was found is as whole as one of a trace");
    });
}

pub fn text_of_any_script_and_a_large_payload_survive<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let text = "Zürich 東京 \u{1F469}\u{200D}\u{1F692} \u{202E}rtl \0 \u{FFFF} ' \" \\ % _ ; -- \r\n\t";
        let mut builder = run(text).key(text).service(text);
        builder.begin(text);
        builder.edit(|event| {
            event.tags.push(text.into());
            event.attrs = event.attrs.with(text, text);
            event.data = Some(object(json!({ text: text, "large": "é".repeat(300_000) })));
        });
        let step = builder.begin(text);
        builder.fail(step, text, text);
        store.append(&builder.events()).await;
        assert_eq!(store.reader.trace(builder.trace_id()).await.unwrap(), builder.events());
        let everything = Filter::new()
            .tag(text)
            .attr(text, text)
            .scope(Scope::all().workflow(text))
            .service(text)
            .correlation_id(text)
            .event_type(text);
        let found = store.events(&everything).await;
        assert_eq!(ids(&found), ids(&builder.events()[1..2]));
        assert_eq!(store.runs(&everything).await.len(), 1);
    });
}

pub fn numbers_at_their_limits_survive<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let store = open(fixture).await;
        let mut event = full_event();
        event.trace_id = TraceId::from_bytes([0xff; 16]).unwrap();
        event.parent_trace_id = Some(event.trace_id);
        event.span_id = SpanId::from_u64(u64::MAX).unwrap();
        event.parent_span_id = SpanId::from_u64(1 << 63);
        event.seq = u32::MAX;
        event.instance = InstanceId::from_u64(u64::MAX);
        event.n = u64::MAX;
        event.duration_us = Some(u64::MAX);
        event.attempt = Some(u32::MAX);
        event.step_index = Some(u32::MAX);
        event.step_total = Some(u32::MAX);
        store.append(std::slice::from_ref(&event)).await;
        assert_eq!(store.reader.trace(event.trace_id).await.unwrap(), std::slice::from_ref(&event));
        let spans = store.analytics.slowest_spans(&Scope::all(), 1).await;
        if let Some(spans) = supported("slowest_spans", spans) {
            assert_eq!(spans[0].duration_us, u64::MAX);
        }
        let summary = store.reader.run(event.trace_id).await.unwrap().unwrap();
        assert_eq!(summary.started, event.timestamp);
    });
}

pub fn several_instances_append_at_once<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let mut tasks = Vec::new();
        let mut all = 0;
        for seed in 0..4 {
            let store = open(fixture).await;
            let log = sample_log(100 + seed, 15, &[store.id]);
            all += log.len();
            tasks.push(tokio::spawn(async move {
                for group in log.chunks(13) {
                    store.append(group).await;
                }
                (store, log)
            }));
        }
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap());
        }
        for (store, log) in &done {
            let found = store.events(&Filter::new()).await;
            assert_eq!(found.len(), all);
            let last = log.last().unwrap();
            let trace: Vec<_> = log.iter().filter(|event| event.trace_id == last.trace_id).cloned().collect();
            assert_eq!(store.reader.trace(last.trace_id).await.unwrap(), trace);
        }
    });
}
