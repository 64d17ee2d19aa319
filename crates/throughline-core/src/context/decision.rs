//! [`DecisionDraft`], a choice between alternatives.

use std::future::IntoFuture;

use serde_json::{Map, Value, json};

use super::failure::NotRecorded;
use super::{EventDraft, TraceContext};
use throughline_model::BoxFuture;
use throughline_model::names::{data, tags};
use throughline_model::{SpanId, Text};

/// A decision; it is recorded when awaited.
///
/// ```
/// # use throughline_core::TraceContext;
/// # async fn example(ctx: TraceContext) -> Result<(), Box<dyn std::error::Error>> {
/// let decision = ctx
///     .decision("ai:route")
///     .consider("auto-approve", 0.31)
///     .consider("manual-review", 0.64)
///     .consider("decline", 0.05)
///     .choose("manual-review")
///     .reasoning("income is stated but not verified")
///     .confidence(0.64)
///     .decider("risk-rules-7")
///     .await?;
///
/// let step = ctx.step("stage:manual-review").decided_by(&decision);
/// # Ok(())
/// # }
/// ```
#[must_use = "a decision is not recorded unless it is awaited"]
#[derive(Debug)]
pub struct DecisionDraft {
    event: EventDraft,
    fields: Fields,
}

#[derive(Default)]
struct Fields {
    alternatives: Vec<Value>,
    rest: Map<String, Value>,
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // They have not been redacted yet.
        write!(f, "{} alternatives", self.alternatives.len())
    }
}

impl DecisionDraft {
    pub(super) fn new(context: TraceContext, event_type: Text) -> Self {
        let event = EventDraft::new(context, event_type, None).tag(tags::DECISION);
        Self { event, fields: Fields::default() }
    }

    /// An alternative and how well it scored.
    pub fn consider(mut self, name: impl Into<String>, score: f64) -> Self {
        self.fields.alternatives.push(json!({ "name": name.into(), "score": score }));
        self
    }

    /// An alternative, how well it scored, and why.
    pub fn consider_because(
        mut self,
        name: impl Into<String>,
        score: f64,
        reason: impl Into<String>,
    ) -> Self {
        let (name, reason) = (name.into(), reason.into());
        self.fields.alternatives.push(json!({ "name": name, "score": score, "reason": reason }));
        self
    }

    /// What was chosen.
    pub fn choose(self, name: impl Into<String>) -> Self {
        self.field(data::CHOICE, name.into())
    }

    /// Why.
    pub fn reasoning(self, why: impl Into<String>) -> Self {
        self.field(data::REASONING, why.into())
    }

    /// How sure, from 0 to 1.
    pub fn confidence(self, confidence: f64) -> Self {
        self.field(data::CONFIDENCE, confidence)
    }

    /// Who or what decided: a model's or a rule set's name.
    pub fn decider(self, name: impl Into<String>) -> Self {
        self.field(data::DECIDER, name.into())
    }

    /// An additional field of the payload: what the decision was based on, a `gen_ai.*` field.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.rest.insert(name.into(), value.into());
        self
    }

    /// A tag, to filter by.
    pub fn tag(mut self, tag: impl Into<Text>) -> Self {
        self.event = self.event.tag(tag);
        self
    }

    async fn record(self) -> Result<Decision, NotRecorded> {
        let mut fields = self.fields.rest;
        fields.insert(data::ALTERNATIVES.to_owned(), Value::Array(self.fields.alternatives));
        self.event.data(fields).await.map(Decision)
    }
}

impl IntoFuture for DecisionDraft {
    type Output = Result<Decision, NotRecorded>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.record())
    }
}

/// A recorded decision; steps that follow from it link to it with [`decided_by`](crate::Step::decided_by).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decision(SpanId);

impl Decision {
    /// The decision's span.
    pub fn span_id(self) -> SpanId {
        self.0
    }
}
