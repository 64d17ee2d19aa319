//! Where each field of an event is stored.

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};
use throughline_model::names::tags;
use throughline_model::{
    ErrorInfo, InstanceId, Link, Relation, SpanId, Status, Timestamp, TraceEvent, TraceId, TraceReader,
};

use crate::Place;

fn full_event() -> TraceEvent {
    let (trace, span) = (TraceId::from_key("loan-42"), SpanId::from_u64(7).unwrap());
    let time = Timestamp::from_micros(1_790_000_000_000_001);
    let mut event = TraceEvent::new(trace, span, "stage:score", time, "loan-service");
    event.v = 2;
    event.seq = 1;
    event.parent_span_id = SpanId::from_u64(6);
    event.parent_trace_id = Some(TraceId::from_key("parent"));
    event.correlation_id = Some("loan-42".into());
    event.instance = InstanceId::from_u64(9);
    event.n = 10;
    event.status = Status::Failed;
    event.duration_us = Some(1500);
    event.error = Some(Box::new(ErrorInfo {
        kind: "Timeout".into(),
        message: "no answer".into(),
        chain: vec!["connection reset".into()],
    }));
    event.attrs = event.attrs.with("tenant", "acme");
    event.data = json!({ "input": { "amount": 250 } }).as_object().cloned();
    event.tags = vec![tags::COMPENSABLE.into()];
    event.links = vec![Link {
        rel: Relation::CausedBy,
        trace_id: Some(TraceId::from_key("cause")),
        span_id: SpanId::from_u64(5).unwrap(),
    }];
    event.workflow = Some("loan-approval".into());
    event.attempt = Some(2);
    (event.step_index, event.step_total) = (Some(4), Some(10));
    event.extra = json!({ "colour": "green" }).as_object().cloned().unwrap();
    event
}

#[tokio::test]
async fn every_field_of_an_event_has_its_place() {
    let place = Place::new();
    // The first event of the run has other attributes and another correlation id, so that those of the second are its own.
    let mut first = full_event();
    (first.seq, first.attrs, first.correlation_id) = (0, first.attrs.with("tenant", "other"), None);
    let mut importer = place.store().open_importer().unwrap();
    importer.append(&[first, full_event()]).unwrap();
    importer.finish().unwrap();
    let shell = Connection::open(place.path()).unwrap();
    let column = |name: &str| -> Sql {
        let sql = format!(
            "SELECT {name} FROM event e JOIN run r ON r.id = e.run JOIN instance i ON i.id = e.instance \
             JOIN name t ON t.id = e.type JOIN name s ON s.id = e.service JOIN name w ON w.id = e.workflow \
             WHERE e.id = 2"
        );
        shell.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let number = |value: i64| Sql::Integer(value);
    let text = |text: &str| Sql::Text(text.to_owned());
    let json_of = |name: &str| -> Value {
        match column(name) {
            Sql::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?} in {name}"),
        }
    };

    // Without `..`: a new field does not compile until somebody has said where it is stored.
    let TraceEvent {
        v,
        trace_id,
        span_id,
        seq,
        parent_span_id,
        parent_trace_id,
        correlation_id,
        event_type,
        timestamp,
        instance,
        n,
        status,
        duration_us,
        error,
        attrs,
        data,
        tags,
        links,
        service,
        workflow,
        attempt,
        step_index,
        step_total,
        extra,
    } = full_event();
    assert_eq!(column("r.trace_id"), Sql::Blob(trace_id.to_bytes().to_vec()));
    assert_eq!(column("e.span"), number(span_id.to_u64() as i64));
    assert_eq!(column("e.seq"), number(seq.into()));
    assert_eq!(column("e.parent"), number(parent_span_id.unwrap().to_u64() as i64));
    assert_eq!(column("e.ts"), number(timestamp.as_micros()));
    assert_eq!(column("i.key"), number(instance.to_u64() as i64));
    assert_eq!(column("e.n"), number(n as i64));
    assert_eq!(column("t.text"), text(&event_type));
    assert_eq!((status, column("e.status")), (Status::Failed, number(2)));
    assert_eq!(column("s.text"), text(&service));
    assert_eq!(column("w.text"), text(&workflow.unwrap()));
    assert_eq!(column("e.duration"), number(duration_us.unwrap() as i64));
    assert_eq!(column("e.attempt"), number(attempt.unwrap().into()));
    assert_eq!(column("e.step_index"), number(step_index.unwrap().into()));
    assert_eq!(column("e.step_total"), number(step_total.unwrap().into()));
    assert_eq!(column("r.correlation_id"), text(&correlation_id.unwrap()));
    assert_eq!(json_of("e.attrs"), serde_json::to_value(attrs).unwrap());
    assert_eq!(json_of("e.tags"), serde_json::to_value(tags).unwrap());
    assert_eq!(json_of("e.data"), Value::from(data.unwrap()));
    let ErrorInfo { kind, message, chain } = *error.unwrap();
    assert_eq!(json_of("e.error"), json!({ "type": kind, "message": message, "chain": chain }));
    let Link { rel, trace_id, span_id } = links[0].clone();
    assert_eq!(
        json_of("e.rest"),
        json!({
            "v": v,
            "parent_trace_id": parent_trace_id,
            "links": [{ "rel": rel, "trace_id": trace_id, "span_id": span_id }],
            "extra": extra,
        })
    );
    let reader = place.store().open_reader().unwrap();
    assert_eq!(reader.trace(full_event().trace_id).await.unwrap()[1], full_event());
}
