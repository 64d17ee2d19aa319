//! Helpers for tests: those of the model, and a look for secrets.

use std::collections::BTreeMap;

pub use throughline_model::testing::{
    CallFaults, Faults, FaultyFeed, FaultySpool, FaultyStore, FeedFaults, MemorySpool, RemoteStore,
    RunBuilder, SpoolFaults, broken_run, conformance, run, sample_log, tree,
};
use throughline_redact::Redaction;

use crate::memory::MemoryStore;
use crate::redaction::redact_event_counted;

/// Fails if there is anything in a store that [`Redaction::standard`] would hide: for the tests of a service, whose events may
/// have been made without redaction, with a narrower one, or by somebody else.
///
/// ```
/// use throughline_core::testing::assert_no_secrets;
/// use throughline_core::{MemoryStore, Throughline};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let store = MemoryStore::new();
/// let throughline = Throughline::builder("loan-service").store(store.clone()).build()?;
/// throughline.workflow("loan-approval").attr("mail", "ada@example.org").run(async |_| Ok::<_, std::io::Error>(())).await??;
/// assert_no_secrets(&store);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If there is. The message says in which events and of what kind, and repeats nothing of it.
#[track_caller]
pub fn assert_no_secrets(store: &MemoryStore) {
    assert_no_secrets_with(store, Redaction::standard());
}

/// As [`assert_no_secrets`], of what these rules would hide: with the keys, patterns, sets and exceptions of the service. Their
/// [limit of payloads](Redaction::payload_limit) does not matter.
///
/// ```
/// use throughline_core::testing::assert_no_secrets_with;
/// use throughline_core::{MemoryStore, Redaction, Throughline};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let redaction = Redaction::standard().key("loan officer").pattern("loan-number", r"\bLN-\d+\b");
/// let store = MemoryStore::new();
/// let throughline =
///     Throughline::builder("loan-service").store(store.clone()).redaction(redaction.clone()).build()?;
/// throughline.workflow("loan-approval").attr("loan", "LN-42").run(async |_| Ok::<_, std::io::Error>(())).await??;
/// assert_no_secrets_with(&store, redaction);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If there is anything that they would hide, or if they are invalid.
#[track_caller]
#[expect(clippy::panic, reason = "it fails a test")]
pub fn assert_no_secrets_with(store: &MemoryStore, redaction: Redaction) {
    let redactor = redaction.payload_limit(usize::MAX).build();
    let redactor = redactor.unwrap_or_else(|error| panic!("the redaction is invalid: {error}"));
    let secrets: Vec<String> = store
        .events()
        .into_iter()
        .filter_map(|mut event| {
            let before = event.clone();
            let mut kinds = BTreeMap::new();
            redact_event_counted(&redactor, &mut event, &mut kinds);
            let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} x {kind}")).collect();
            (event != before)
                .then(|| format!("{} {}: {}", event.trace_id, event.event_type, kinds.join(", ")))
        })
        .collect();
    assert!(
        secrets.is_empty(),
        "{} of the events have secrets in them:\n{}",
        secrets.len(),
        secrets.join("\n")
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Throughline;

    async fn events_with(redaction: Redaction) -> MemoryStore {
        let store = MemoryStore::new();
        let throughline =
            Throughline::builder("test").store(store.clone()).redaction(redaction).build().unwrap();
        let run = throughline.workflow("loan").run(async |ctx| {
            ctx.event("mail:sent", serde_json::json!({ "to": "ada@example.org", "pin": 1234 })).await
        });
        run.await.unwrap().unwrap();
        store
    }

    #[tokio::test]
    async fn redacted_events_have_no_secrets() {
        assert_no_secrets(&events_with(Redaction::standard()).await);
    }

    #[tokio::test]
    async fn a_service_looks_for_what_its_own_rules_would_hide() {
        let store = events_with(Redaction::standard()).await;
        assert_no_secrets_with(&store, Redaction::standard().key("colour"));
        let found = |redaction: Redaction| {
            let failure = std::panic::catch_unwind(|| assert_no_secrets_with(&store, redaction)).unwrap_err();
            crate::describe_panic(&*failure).message
        };
        let said = found(Redaction::standard().pattern("event", "mail:sent"));
        assert!(said.contains("1 x event"), "{said}");
        let said = found(Redaction::standard().pattern("event", "("));
        assert!(said.contains("the redaction is invalid"), "{said}");
        // An exception of the service is none of the standard.
        let store = events_with(Redaction::standard().keep_key("pin")).await;
        assert_no_secrets_with(&store, Redaction::standard().keep_key("pin"));
        let said = std::panic::catch_unwind(|| assert_no_secrets(&store)).unwrap_err();
        assert!(crate::describe_panic(&*said).message.contains("1 x key"));
    }

    #[tokio::test]
    async fn what_was_left_is_named_by_its_kind_and_not_repeated() {
        let store = events_with(Redaction::off()).await;
        let failure = std::panic::catch_unwind(|| assert_no_secrets(&store)).unwrap_err();
        let said = crate::describe_panic(&*failure).message;
        assert!(said.contains("mail:sent: 1 x email, 1 x key"), "{said}");
        assert!(!said.contains("ada@") && !said.contains("1234"), "{said}");
    }
}
