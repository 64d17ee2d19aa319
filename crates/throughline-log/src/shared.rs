//! What the layer, the sink and the handle have in common: how a line gets to the queue.

use std::cell::Cell;
use std::sync::Arc;

use throughline_core::Text;
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

    pub(crate) fn write(&self, line: &Line<'_>, service: &str) {
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
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
