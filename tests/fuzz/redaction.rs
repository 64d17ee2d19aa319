//! Redaction of whole events.

use std::sync::LazyLock;

use throughline::Redaction;
use throughline::redact::Redactor;
use throughline_core::{Text, TraceEvent, redact_event};
use throughline_fuzz::{SECRETS, Target, fuzz, growth};

const EVENT: Target = Target::new("event", SECRETS);

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| {
    Redaction::standard().pseudonym_key("sixteen bytes at least").payload_limit(2_000).build().unwrap()
});

#[test]
fn any_event_is_redacted_and_then_stays_as_it_is() {
    fuzz!(EVENT, |bytes: &[u8]| {
        let Ok(mut event) = serde_json::from_slice::<TraceEvent>(bytes) else { return };
        redact_event(&REDACTOR, &mut event);
        let once = event.clone();
        redact_event(&REDACTOR, &mut event);
        assert_eq!(event, once);
    });
}

#[test]
fn redacting_an_event_takes_time_linear_in_it() {
    let seed = EVENT.seeds().remove(0).1;
    let event: TraceEvent = serde_json::from_slice(&seed).unwrap();
    growth!(EVENT, |bytes: &[u8]| {
        let whole = String::from_utf8_lossy(bytes);
        let text = |text: &str| Text::from(text.to_owned());
        let parts = || whole.split_inclusive(' ').map(text);
        let mut event = event.clone();
        event.event_type = text(&whole);
        event.correlation_id = Some(text(&whole));
        event.tags = parts().collect();
        event.attrs = parts().map(|part| (part.clone(), part)).collect();
        if let Some(error) = &mut event.error {
            error.kind = text(&whole);
            error.message = text(&whole);
            error.chain = parts().collect();
        }
        redact_event(&REDACTOR, &mut event);
    });
}
