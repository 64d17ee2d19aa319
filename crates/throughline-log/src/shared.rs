//! What the layer, the sink and the handle have in common: how a line gets to the queue.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use throughline_core::Text;
use throughline_core::log::{LogLine, LogLineSink};
use tracing::Level;

use crate::levels::CurrentLevels;
use crate::limits::{Limits, Verdict};
use crate::line::Line;
use crate::queue::Queue;
use crate::{json, text};

/// What the layer, the sink and the handle share.
pub(crate) struct Shared {
    pub(crate) service: Text,
    pub(crate) levels: CurrentLevels,
    pub(crate) limits: Limits,
    pub(crate) is_text: bool,
    pub(crate) has_colour: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) export: Export,
}

/// Who else takes the lines.
#[derive(Clone, Default)]
pub(crate) struct Export(pub(crate) Option<Arc<dyn LogLineSink>>);

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Export").field(&self.0.is_some()).finish()
    }
}

thread_local! {
    /// Where a line is put together.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer that had to hold more than this is not kept.
const KEPT: usize = 64 * 1024;

impl Shared {
    /// Whether a line of this target is to be written, as far as the limits go. What is refused is counted.
    pub(crate) fn admits(&self, target: &str, level: Level) -> bool {
        self.limits.judge(target, level) == Verdict::Admitted
    }

    /// Writes a line, and answers with what is to be [exported](Self::export) of it.
    #[must_use]
    pub(crate) fn write(&self, line: &Line<'_>, service: &str) -> Option<LogLine> {
        // A thread that ends has no buffer any more.
        let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
        buffer.clear();
        if self.is_text {
            text::write(line, self.has_colour, &mut buffer);
        } else {
            json::write(line, service, &mut buffer);
        }
        self.queue.push(&buffer);
        buffer.shrink_to(KEPT);
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
        self.exported(line)
    }
}

impl Shared {
    /// Hands a line to who exports it: foreign code, for which no lock may be held.
    pub(crate) fn export(&self, line: Option<LogLine>) {
        if let (Some(sink), Some(line)) = (&self.export.0, line) {
            sink.on_line(line);
        }
    }

    fn exported(&self, line: &Line<'_>) -> Option<LogLine> {
        self.export.0.as_ref()?;
        let ids = line.ids.beside_the_run();
        Some(LogLine {
            at: line.at,
            level: line.level,
            message: line.message.to_owned(),
            target: line.target.to_owned(),
            trace: line.ids.trace,
            span: line.ids.span,
            ids: ids.map(|(name, id)| (name, id.to_owned())).collect(),
            error: line.error.cloned(),
            metadata: line.metadata.clone(),
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
