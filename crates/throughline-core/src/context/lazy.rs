//! A root that is written by the first that hangs on it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Map, Value};

use super::request::{Describe, RequestDetails};
use super::span::{End, Span};
use super::spec::Details;
use crate::delivery::queue::{Dependency, Fate};
use crate::hub::{Hub, Root};
use crate::redaction;
use throughline_model::Moment;
use throughline_model::{Attrs, Link, Status, Text, TraceEvent};

/// The start of a root, until something happens under it.
///
/// No lock is held while the closure that describes the request or a sink runs: both are other people's code.
pub(crate) struct LazyRoot {
    written: AtomicBool,
    /// Whether the store has it, or there is none.
    is_stored: AtomicBool,
    describe: Option<Describe>,
    attrs: OnceLock<Attrs>,
    /// What is known while the request is being described.
    no_attrs: Attrs,
    unwritten: Mutex<Unwritten>,
}

#[derive(Default)]
struct Unwritten {
    input: Option<Map<String, Value>>,
    links: Vec<Link>,
    /// The start once it was emitted, until the store has it.
    start: Option<Arc<TraceEvent>>,
    /// Says what becomes of it, while that is not known.
    fate: Option<Arc<Fate>>,
    /// How it ended with nothing under it. What was spawned in it may still write it.
    ended: Option<Ended>,
}

/// How and when a request ended.
pub(super) struct Ended {
    pub(super) status: Status,
    pub(super) at: Moment,
    /// An attribute of its end.
    pub(super) answer: Option<(Text, Text)>,
}

thread_local! {
    /// The root whose request this thread is describing: the closure may ask for the attributes that it is to give.
    static BEING_DESCRIBED: Cell<usize> = const { Cell::new(0) };
}

impl LazyRoot {
    pub(super) fn new(describe: Option<Describe>) -> Self {
        Self {
            written: AtomicBool::new(false),
            is_stored: AtomicBool::new(false),
            describe,
            attrs: OnceLock::new(),
            no_attrs: Attrs::new(),
            unwritten: Mutex::default(),
        }
    }

    /// Whether it was emitted, and not refused.
    pub(crate) fn is_written(&self) -> bool {
        if self.is_stored.load(Ordering::Acquire) {
            return true;
        }
        self.written.load(Ordering::Acquire) && self.look(&mut self.unwritten())
    }

    /// Looks what became of the start that was emitted; answers whether it was not refused.
    fn look(&self, unwritten: &mut Unwritten) -> bool {
        let Some(fate) = &unwritten.fate else { return self.written.load(Ordering::Acquire) };
        if fate.is_stored() {
            (unwritten.start, unwritten.fate) = (None, None);
            self.is_stored.store(true, Ordering::Release);
        } else if fate.is_refused() {
            unwritten.fate = None;
            self.written.store(false, Ordering::Release);
        }
        self.written.load(Ordering::Acquire)
    }

    /// What tells whether the start is refused, while that is not known.
    pub(super) fn open_fate(&self) -> Option<Arc<Fate>> {
        if self.is_stored.load(Ordering::Acquire) {
            return None;
        }
        self.unwritten().fate.clone()
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the request, as it may be kept.
    pub(super) fn attrs(&self, hub: &Hub) -> &Attrs {
        if let Some(attrs) = self.attrs.get() {
            return attrs;
        }
        let own = std::ptr::from_ref(self).addr();
        if BEING_DESCRIBED.get() == own {
            return &self.no_attrs;
        }
        let before = BEING_DESCRIBED.replace(own);
        let mut details = self.describe();
        BEING_DESCRIBED.set(before);
        let attrs =
            redaction::attrs(&hub.redactor, &std::mem::take(&mut details.attrs).into_iter().collect());
        let mut unwritten = self.unwritten();
        // Several threads may have described it: the first one counts.
        self.attrs.get_or_init(|| {
            unwritten.input = details.input_payload();
            unwritten.links = details.links;
            attrs
        })
    }

    /// Nothing if the closure panics: the code that starts the first step in a request is not to blame for that.
    fn describe(&self) -> Details {
        let Some(describe) = &self.describe else { return Details::default() };
        let described = catch_unwind(AssertUnwindSafe(|| describe(RequestDetails(Details::default()))));
        described.map(|RequestDetails(details)| details).unwrap_or_else(|_| {
            tracing::warn!(target: "throughline", "the closure that describes a request panicked");
            Details::default()
        })
    }

    /// Writes the start of `root`, if that has not been done or it was refused. It goes into the store's queue before
    /// whatever hangs on it, so that one wait is enough for both.
    pub(super) fn ensure_written(&self, root: &Span, why: Root) {
        if self.is_written() {
            return;
        }
        let hub = &*root.run.hub;
        self.attrs(hub);
        // Held until the root is in the queue: a concurrent first step must find it there.
        let mut unwritten = self.unwritten();
        if self.written.load(Ordering::Acquire) {
            return;
        }
        let refused = unwritten.start.take();
        let was_shown = refused.is_some();
        let (start, fate) = match refused {
            Some(start) => (Arc::clone(&start), hub.store_root(start, why)),
            None => {
                let (input, links) = (unwritten.input.take(), std::mem::take(&mut unwritten.links));
                hub.emit_unshown(why, |event| root.write_start(event, input, links))
            }
        };
        match fate {
            Some(fate) => (unwritten.start, unwritten.fate) = (Some(Arc::clone(&start)), Some(fate)),
            None => self.is_stored.store(true, Ordering::Release),
        }
        self.written.store(true, Ordering::Release);
        let ended = unwritten.ended.take();
        drop(unwritten);
        if !was_shown {
            hub.show(&start);
        }
        if let Some(ended) = ended {
            root.end_request(End { status: ended.status, ..End::success() }, ended, None);
        }
    }

    /// Records an end that is not worth writing; gives it back if the start has been written, and the end must be. If it is
    /// not known yet whether the store takes the start, the end depends on that.
    pub(super) fn end_unless_written(&self, ended: Ended) -> Option<(Ended, Option<Dependency>)> {
        let mut unwritten = self.unwritten();
        if self.look(&mut unwritten) {
            return Some((ended, unwritten.fate.clone().map(Dependency::Root)));
        }
        unwritten.ended = Some(ended);
        None
    }
}
