//! [`Decisions`]: why B and not A, and what came of it.

use serde::Serialize;
use serde_json::Value;

use super::cause::Causes;
use super::index::NONE;
use super::{Problem, Span, SpanSummary, TraceQuery};
use throughline_model::fold::Found;
use throughline_model::names::data;
use throughline_model::{Relation, RunSummary, SpanId, Status, Text, Timestamp};

/// The decisions of a run and their consequences. Returned by [`TraceQuery::decisions`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Decisions {
    /// The run; `None` if there are no events.
    pub run: Option<RunSummary>,
    /// The decisions, in the order of time.
    pub outcomes: Vec<DecisionOutcome>,
    /// Data problems: what is missing or contradictory in the events.
    pub problems: Vec<Problem>,
}

/// A decision: what was chosen, among what, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// The decision's span.
    pub span_id: SpanId,
    /// What was decided, as in `ai:route`.
    pub name: Text,
    /// When.
    pub at: Timestamp,
    /// The same, in microseconds from the first event of the run.
    pub offset_us: u64,
    /// What was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<Text>,
    /// The alternatives, including the chosen one.
    pub alternatives: Vec<Alternative>,
    /// Why it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Text>,
    /// The confidence of the decision, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Who or what decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decider: Option<Text>,
}

/// One of the things that could have been chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Alternative {
    /// Its name.
    pub name: Text,
    /// Its score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The reason for or against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// Whether it was chosen.
    pub chosen: bool,
}

/// A decision and its consequences.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DecisionOutcome {
    /// The decision.
    pub decision: Decision,
    /// How its consequences were found.
    pub basis: Basis,
    /// Its consequences, in the order in which they began; at most [`DecisionOutcome::CONSEQUENCES`], including the one
    /// that contains the run's root cause.
    pub consequences: Vec<Consequence>,
    /// How many more there are.
    pub more: usize,
    /// Whether the run's root cause is among the consequences.
    pub led_to_cause: bool,
}

impl DecisionOutcome {
    /// How many consequences are listed.
    pub const CONSEQUENCES: usize = 50;
}

/// How the consequences of a decision were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Basis {
    /// They link to the decision as `decided_by`.
    Linked,
    /// They came after it, as siblings of it or of the step in which it was made.
    Followed,
    /// There are none.
    Nothing,
}

/// A consequence of a decision: a span and all its descendants.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Consequence {
    /// The span, and how it ended.
    pub span: SpanSummary,
    /// How many spans there are, itself included.
    pub spans: usize,
    /// How many of them failed.
    pub failed: usize,
    /// Whether the run's root cause is one of them.
    pub holds_cause: bool,
}

impl Decision {
    pub(super) fn of(span: Span<'_>) -> Self {
        let text = |key| span.data(key).map(text);
        let choice = text(data::CHOICE);
        let alternatives = span.data(data::ALTERNATIVES).and_then(Value::as_array);
        let alternatives = alternatives.into_iter().flatten().map(|item| {
            let name = item.get("name").map_or_else(|| self::text(item), self::text);
            Alternative {
                chosen: choice.as_ref() == Some(&name),
                score: item.get("score").and_then(Value::as_f64),
                reason: item.get("reason").map(self::text),
                name,
            }
        });
        Self {
            span_id: span.id(),
            name: span.name().into_owned().into(),
            at: span.started(),
            offset_us: span.query.offset_us(span.first_event()),
            alternatives: alternatives.collect(),
            choice,
            reasoning: text(data::REASONING),
            confidence: span.data(data::CONFIDENCE).and_then(Value::as_f64),
            decider: text(data::DECIDER),
        }
    }
}

/// A text as it is, anything else as its JSON: decisions come from everywhere.
fn text(value: &Value) -> Text {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).into()
}

/// What is known about spans as consequences.
pub(super) struct Consequences<'q> {
    pub(super) causes: Causes<'q>,
    /// What went wrong, and where.
    pub(super) found: Option<&'q Found>,
    /// The decisions that led to the cause, in order: those that are linked by what holds it or, if there are none, the last
    /// after which it followed.
    led: Vec<u32>,
    following: Following,
}

/// What came after what, as far as it is asked of decisions: empty where there are none.
#[derive(Default)]
struct Following {
    /// The spans that link each decision, sorted by decision.
    linked: Vec<(u32, u32)>,
    /// For each span how many forward siblings begin after it.
    later: Vec<u32>,
    /// For each span the innermost span around it, or itself, that forward siblings begin after, not looking
    /// beyond the workflow or the saga.
    origin: Vec<u32>,
    /// For each row of the outline how many spans failed before it.
    failed_before: Vec<u32>,
}

impl TraceQuery {
    /// The decisions of the run, each with what was weighed, why it was chosen, and its consequences: the spans
    /// that link it as `decided_by` with all below them. Where none does, whatever came after it beside it, or
    /// beside the step in which it was taken; compensations are no consequences of a decision.
    pub fn decisions(&self) -> Decisions {
        let known = Consequences::new(self);
        Decisions {
            run: self.summary(),
            outcomes: self.spans().filter(Span::is_decision).map(|span| known.outcome(span)).collect(),
            problems: self.problems().to_vec(),
        }
    }
}

impl Following {
    fn new(query: &TraceQuery, causes: &Causes<'_>) -> Self {
        let mut linked = Vec::new();
        for span in query.spans() {
            let decisions = span.linked(Relation::DecidedBy).filter_map(|id| query.index.find(id));
            linked.extend(decisions.map(|decision| (decision, span.index)));
        }
        linked.sort_unstable();
        linked.dedup();

        let mut later = vec![0; query.index.len() as usize];
        let siblings = |parent| query.index.children_of(parent);
        for siblings in (0..query.index.len()).map(siblings).chain([query.index.tops.as_slice()]) {
            let mut count = 0;
            for &sibling in siblings.iter().rev() {
                later[sibling as usize] = count;
                count += u32::from(is_forward(causes, sibling));
            }
        }
        let mut origin = vec![NONE; later.len()];
        let mut failed_before = vec![0];
        for &span in &query.index.outline().rows {
            let view = query.at(span);
            let around = view.parent().filter(|parent| !parent.is_workflow() && !parent.is_saga());
            origin[span as usize] = match around {
                _ if later[span as usize] > 0 => span,
                Some(parent) => origin[parent.index as usize],
                None => NONE,
            };
            let failed = u32::from(view.status() == Status::Failed);
            failed_before.push(failed_before.last().copied().unwrap_or(0) + failed);
        }
        Self { linked, later, origin, failed_before }
    }
}

impl<'q> Consequences<'q> {
    pub(super) fn new(query: &'q TraceQuery) -> Self {
        let causes = Causes::new(query);
        let found = query.find_cause_with(|| causes.find());
        let decisions: Vec<Span<'q>> = query.spans().filter(Span::is_decision).collect();
        let following = match decisions.is_empty() {
            true => Following::default(),
            false => Following::new(query, &causes),
        };
        let mut consequences = Self { found, led: Vec::new(), causes, following };
        let holding =
            decisions.into_iter().filter(|span| consequences.consequence_with_cause(*span).is_some());
        let (linked, followed): (Vec<_>, Vec<_>) =
            holding.partition(|span| !consequences.linked_to(*span).is_empty());
        let led =
            if linked.is_empty() { followed.into_iter().next_back().into_iter().collect() } else { linked };
        consequences.led = led.iter().map(|span| span.index).collect();
        consequences
    }

    fn outcome(&self, decision: Span<'q>) -> DecisionOutcome {
        let linked = self.linked_to(decision);
        let (basis, spans, total): (_, Box<dyn Iterator<Item = u32>>, _) = if linked.is_empty() {
            match self.origin_of_what_followed(decision) {
                Some(at) => {
                    let later = decision.query.index.later_siblings(at).iter().copied();
                    let later = later.filter(|span| is_forward(&self.causes, *span));
                    (Basis::Followed, Box::new(later), self.following.later[at as usize] as usize)
                }
                None => (Basis::Nothing, Box::new(std::iter::empty()), 0),
            }
        } else {
            (Basis::Linked, Box::new(linked.iter().map(|(_, span)| *span)), linked.len())
        };
        let outline = decision.query.index.outline();
        let holds_cause =
            |span: u32| self.found.as_ref().is_some_and(|found| outline.is_within(found.cause, span));
        let mut listed: Vec<u32> = spans.take(DecisionOutcome::CONSEQUENCES).collect();
        if !listed.iter().any(|span| holds_cause(*span))
            && let Some(late) = self.consequence_with_cause(decision)
        {
            listed.pop();
            listed.push(late);
        }
        let consequences: Vec<Consequence> =
            listed.iter().map(|span| self.consequence(*span, holds_cause(*span))).collect();
        DecisionOutcome {
            decision: Decision::of(decision),
            basis,
            more: total - consequences.len(),
            led_to_cause: self.led_to_cause(decision),
            consequences,
        }
    }

    /// Whether a decision led to the cause.
    pub(super) fn led_to_cause(&self, decision: Span<'_>) -> bool {
        self.led.binary_search(&decision.index).is_ok()
    }

    /// Whether spans link a decision, whatever they hold.
    pub(super) fn is_linked(&self, decision: Span<'_>) -> bool {
        !self.linked_to(decision).is_empty()
    }

    /// The spans that link a decision, each with the decision before it.
    fn linked_to(&self, decision: Span<'_>) -> &[(u32, u32)] {
        let from = self.following.linked.partition_point(|(of, _)| *of < decision.index);
        let to = self.following.linked.partition_point(|(of, _)| *of <= decision.index);
        &self.following.linked[from..to]
    }

    /// The consequence that holds the cause, wherever among many it stands.
    fn consequence_with_cause(&self, decision: Span<'q>) -> Option<u32> {
        let linked = self.linked_to(decision);
        let (index, cause) = (&decision.query.index, self.found.as_ref()?.cause);
        let outline = index.outline();
        let holds_cause = |span: &u32| outline.is_within(cause, *span);
        if !linked.is_empty() {
            return linked.iter().map(|(_, span)| *span).find(holds_cause);
        }
        // Siblings stand in the outline in their own order: the last one above the cause is the only candidate.
        let later = index.later_siblings(self.origin_of_what_followed(decision)?);
        let above = later.partition_point(|span| outline.row[*span as usize] <= outline.row[cause as usize]);
        let candidate = later.get(above.checked_sub(1)?)?;
        (holds_cause(candidate) && is_forward(&self.causes, *candidate)).then_some(*candidate)
    }

    /// The decision itself, or the step in which it was taken: the innermost with work that came after it, within
    /// the workflow or the saga.
    fn origin_of_what_followed(&self, decision: Span<'q>) -> Option<u32> {
        Some(self.following.origin[decision.index as usize]).filter(|origin| *origin != NONE)
    }

    fn consequence(&self, span: u32, holds_cause: bool) -> Consequence {
        let outline = self.causes.query.index.outline();
        let (row, end) = (outline.row[span as usize] as usize, outline.end[span as usize] as usize);
        Consequence {
            span: self.causes.at(span).summary(),
            spans: end - row,
            failed: (self.following.failed_before[end] - self.following.failed_before[row]) as usize,
            holds_cause,
        }
    }
}

/// Whether a span is forward work, neither a compensation nor a decision of its own nor an attempt that was made
/// again.
fn is_forward(causes: &Causes<'_>, span: u32) -> bool {
    let view = causes.at(span);
    !causes.is_in_compensation(view)
        && !causes.is_retried(view)
        && !view.is_compensating()
        && !view.is_decision()
}
