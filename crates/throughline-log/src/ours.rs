//! What our own spans say: whose the lines in them are.

use std::fmt;
use std::io::Write as _;

use throughline_core::{SpanId, Text, TraceId};
use tracing::field::{Field, Visit};

/// The ids that a span of ours has. They are redacted already.
///
/// Each step opens such a span, whether anything is logged in it or not: so they are kept as they are, and written out with a line.
#[derive(Debug, Default)]
pub(crate) struct OurIds {
    pub(crate) trace: Option<TraceId>,
    pub(crate) span: Option<SpanId>,
    pub(crate) workflow: Option<Text>,
    pub(crate) correlation: Option<Text>,
    pub(crate) request: Option<Text>,
    pub(crate) session: Option<Text>,
    pub(crate) user: Option<Text>,
}

impl OurIds {
    /// Takes over what became known later.
    pub(crate) fn learn(&mut self, later: Self) {
        let Self { trace, span, workflow, correlation, request, session, user } = later;
        self.trace = trace.or(self.trace);
        self.span = span.or(self.span);
        for (known, later) in [
            (&mut self.workflow, workflow),
            (&mut self.correlation, correlation),
            (&mut self.request, request),
            (&mut self.session, session),
            (&mut self.user, user),
        ] {
            if later.is_some() {
                *known = later;
            }
        }
    }
}

impl Visit for OurIds {
    fn record_str(&mut self, field: &Field, value: &str) {
        let id = match field.name() {
            "workflow" => &mut self.workflow,
            "correlation_id" => &mut self.correlation,
            "request_id" => &mut self.request,
            "session_id" => &mut self.session,
            "user_id" => &mut self.user,
            _ => return,
        };
        *id = Some(value.to_owned().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "trace_id" => self.trace = Hex::of(value).text().and_then(|hex| hex.parse().ok()),
            "span_id" => self.span = Hex::of(value).text().and_then(|hex| hex.parse().ok()),
            _ => {}
        }
    }
}

/// The digits of an id.
struct Hex {
    digits: [u8; 32],
    length: usize,
}

impl Hex {
    fn of(id: &dyn fmt::Debug) -> Self {
        let mut digits = [0; 32];
        let mut rest = &mut digits[..];
        // What does not fit is no id, and one that is cut off does not parse.
        let _ = write!(rest, "{id:?}");
        let left = rest.len();
        Self { digits, length: digits.len() - left }
    }

    fn text(&self) -> Option<&str> {
        str::from_utf8(self.digits.get(..self.length)?).ok()
    }
}
