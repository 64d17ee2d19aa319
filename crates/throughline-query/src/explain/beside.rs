//! What is added to an explanation by those that know more than the events of the run.

use super::{Certainty, Explanation, Says, Statement, Verdict};
use crate::duration::duration;
use crate::explain::headline::{position, with_sources};
use throughline_model::{EventId, InstanceId, Process, RunState, RunSummary, Timestamp};

impl Explanation {
    /// Says for how long a run, and each step that it is in, has been at work at this moment. Without it an explanation knows
    /// no clock.
    pub fn add_moment(&mut self, now: Timestamp) {
        let Some(run) = self.run.as_ref().filter(|_| self.verdict == Verdict::Running) else { return };
        let since = |start| duration(u64::try_from(now.since(start).as_micros()).unwrap_or(u64::MAX));
        self.headline = format!("{}; it has been running for {}", self.headline, since(run.started));
        for span in self.open.iter().filter(|span| span.state == RunState::Running).take(Self::AT_WORK) {
            let text = format!("{} has been at work for {}", position(span), since(span.started));
            self.statements.push(Statement {
                says: Says::AtWork,
                certainty: Certainty::Recorded,
                text,
                spans: vec![span.span_id],
                events: vec![format!("{}:{}:0", run.trace_id, span.span_id).into()],
            });
        }
    }

    /// Says in which process the run was interrupted; `last` is the last event of the span in which it was.
    pub fn add_process(&mut self, last: EventId, instance: InstanceId, process: &Process) {
        let Some(run) = &self.run else { return };
        let lasted = u64::try_from(process.last_seen.since(run.started).as_micros()).unwrap_or(u64::MAX);
        let mut who = format!("instance {instance}");
        let facts = [
            process.host.as_ref().map(|host| format!("host {host}")),
            process.pid.map(|pid| format!("pid {pid}")),
            process.version.as_ref().map(|version| format!("version {version}")),
        ];
        facts.into_iter().flatten().for_each(|fact| who.push_str(&format!(", {fact}")));
        let how = if run.can_be_resumed() { "; it can be resumed" } else { "" };
        let text = format!("its process died about {} into it ({who}){how}", duration(lasted));
        self.statements.push(Statement {
            says: Says::Process,
            certainty: Certainty::Recorded,
            text,
            spans: vec![last.span_id],
            events: vec![last.to_string().into()],
        });
    }

    /// Says what went wrong in a run that this one caused; `last` is the event with which its cause ended, `name` what to call
    /// it, and `ask` the command that explains it.
    pub fn add_child(&mut self, child: &RunSummary, last: Option<EventId>, name: &str, ask: &str) {
        let what = match &child.cause {
            Some(cause) => {
                let error = cause
                    .error
                    .as_ref()
                    .map_or_else(String::new, |error| format!(" {}", with_sources(error)));
                format!("{}{error}", cause.name)
            }
            None => child.state.to_string(),
        };
        // What the run itself says of it is less.
        if let Some(root) = &child.root {
            self.statements.retain(|other| other.says != Says::Child || !other.spans.contains(&root.span_id));
        }
        let span = child.cause.as_ref().map(|cause| cause.span_id);
        self.statements.push(Statement {
            says: Says::Child,
            certainty: Certainty::Linked,
            text: format!("in child {name}: {what} › {ask}"),
            spans: span.into_iter().collect(),
            events: last.map(|event| event.to_string().into()).into_iter().collect(),
        });
    }
}
