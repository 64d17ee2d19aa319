//! What the options of an import say about runs.

use throughline_core::{ErrorInfo, Status, Text};

use super::reader::XesEvent;

/// The service of imported runs, unless another is named.
pub(crate) const SERVICE: &str = "import";

/// `KEY=VALUE`: an event that has this attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    key: String,
    value: String,
}

impl std::str::FromStr for Condition {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.into(), value: value.into() }),
            _ => Err("expected KEY=VALUE, as in concept:name=A_DECLINED".into()),
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl Condition {
    fn holds(&self, event: &XesEvent) -> bool {
        event.attributes.iter().any(|attribute| attribute.key == self.key && attribute.text == self.value)
    }
}

/// What the log does not say about its runs.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The workflow of runs that do not name one.
    pub(crate) workflow: Text,
    /// Whether it is that of all runs, whatever they say.
    pub(crate) overrides_workflow: bool,
    /// The service of runs that do not name one.
    pub(crate) service: Text,
    /// Whether it is that of all runs, whatever they say.
    pub(crate) overrides_service: bool,
    pub(crate) failed_when: Vec<Condition>,
    pub(crate) cancelled_when: Vec<Condition>,
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) status: Status,
    pub(super) error: Option<Box<ErrorInfo>>,
}

impl Rules {
    /// What an event says about the end of its run.
    pub(super) fn classify(&self, event: &XesEvent) -> Option<Verdict> {
        if let Some(condition) = self.failed_when.iter().find(|condition| condition.holds(event)) {
            let Condition { key, value } = condition;
            return Some(Verdict {
                status: Status::Failed,
                error: Some(Box::new(ErrorInfo {
                    kind: value.clone().into(),
                    message: format!("{key} is {value}, which counts as a failure").into(),
                    chain: Vec::new(),
                })),
            });
        }
        let cancelled = self.cancelled_when.iter().any(|condition| condition.holds(event));
        cancelled.then_some(Verdict { status: Status::Cancelled, error: None })
    }
}
