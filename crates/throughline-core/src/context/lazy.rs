//! A root that is written by the first that hangs on it.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Map, Value};

use super::opening::Details;
use super::request::{Describe, RequestDetails};
use super::span::{End, Span};
use crate::hub::{Delivery, Hub};
use crate::redaction;
use throughline_model::Moment;
use throughline_model::{Attrs, Link, Status, Text};

/// The start of a root, until something happens under it.
pub(crate) struct LazyRoot {
    written: AtomicBool,
    attrs: OnceLock<Attrs>,
    unwritten: Mutex<Unwritten>,
}

#[derive(Default)]
struct Unwritten {
    describe: Option<Describe>,
    input: Option<Map<String, Value>>,
    links: Vec<Link>,
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
    /// The root that this thread is writing: a sink that sees it may use its context, and must not write it again.
    static BEING_WRITTEN: Cell<usize> = const { Cell::new(0) };
}

impl LazyRoot {
    pub(super) fn new(describe: Option<Describe>) -> Self {
        Self {
            written: AtomicBool::new(false),
            attrs: OnceLock::new(),
            unwritten: Mutex::new(Unwritten { describe, ..Unwritten::default() }),
        }
    }

    pub(crate) fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire)
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the request, as it may be kept.
    pub(super) fn attrs(&self, hub: &Hub) -> &Attrs {
        self.attrs.get_or_init(|| {
            let describe = self.unwritten().describe.take();
            let Some(describe) = describe else { return Attrs::new() };
            let RequestDetails(mut details) = describe(RequestDetails(Details::default()));
            let mut unwritten = self.unwritten();
            unwritten.input = details.input_payload();
            unwritten.links = details.links;
            drop(unwritten);
            redaction::attrs(&hub.redactor, &details.attrs.into_iter().collect())
        })
    }

    /// Writes the start of `root`, if that has not been done. It goes into the store's queue before whatever hangs on it,
    /// so that one wait is enough for both.
    pub(super) fn ensure_written(&self, root: &Span) {
        let own = std::ptr::from_ref(self).addr();
        if self.is_written() || BEING_WRITTEN.get() == own {
            return;
        }
        let hub = &*root.run.hub;
        self.attrs(hub);
        // Held while the root is emitted: a concurrent first step must find it in the queue.
        let mut unwritten = self.unwritten();
        if self.is_written() {
            return;
        }
        let before = BEING_WRITTEN.replace(own);
        let (input, links) = (unwritten.input.take(), std::mem::take(&mut unwritten.links));
        hub.emit(root.start_event(input, links), Delivery::Kept);
        BEING_WRITTEN.set(before);
        self.written.store(true, Ordering::Release);
        if let Some(ended) = unwritten.ended.take() {
            root.end_request(End { status: ended.status, error: None, output: None }, ended);
        }
    }

    /// Takes note of an end that is not worth writing; gives it back if the start has been written, and the end must be.
    pub(super) fn end_unless_written(&self, ended: Ended) -> Option<Ended> {
        let mut unwritten = self.unwritten();
        if self.is_written() {
            return Some(ended);
        }
        unwritten.ended = Some(ended);
        None
    }
}
