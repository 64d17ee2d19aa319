//! What is added to an explanation by those that know more than the events of the run.

use super::{Certainty, Explanation, Says, Statement};
use crate::duration::duration;
use crate::explain::headline::one_line;
use throughline_model::{InstanceId, Process, RunSummary, Text};

impl Explanation {
    /// Says in which process the run was interrupted.
    pub fn add_process(&mut self, instance: InstanceId, process: &Process) {
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
        let open = self.cause.iter().map(|cause| cause.span.span_id);
        self.statements.push(Statement {
            says: Says::Process,
            certainty: Certainty::Recorded,
            text,
            events: open.clone().map(|span| Text::from(format!("{}:{span}:0", run.trace_id))).collect(),
            spans: open.collect(),
        });
    }

    /// Says what went wrong in a run that this one caused; `name` is what to call it, and `ask` the command that explains it.
    pub fn add_child(&mut self, child: &RunSummary, name: &str, ask: &str) {
        let what = match &child.cause {
            Some(cause) => {
                let error =
                    cause.error.as_ref().map_or_else(String::new, |error| format!(" {}", one_line(error)));
                format!("{}{error}", cause.event_type)
            }
            None => child.state.to_string(),
        };
        let span = child.cause.as_ref().map(|cause| cause.span_id);
        self.statements.push(Statement {
            says: Says::Child,
            certainty: Certainty::Linked,
            text: format!("in child {name}: {what} › {ask}"),
            spans: span.into_iter().collect(),
            events: span.map(|span| Text::from(format!("{}:{span}:1", child.trace_id))).into_iter().collect(),
        });
    }
}
