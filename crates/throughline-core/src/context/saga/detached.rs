//! Sagas whose callers are gone.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::compensate::Compensating;
use super::{Compensated, CompensationOutcome, OnCancel, Saga};
use crate::context::future::Held;
use crate::context::span::{End, Span};
use crate::hub::{Background, Hub};
use throughline_model::names;

/// The sagas of one run whose callers are gone. Those within another one are dropped first and are to be undone first; those
/// beside each other do not wait for one that takes long.
#[derive(Default)]
pub(crate) struct Detached(Mutex<Vec<(Weak<Span>, HasEnded)>>);

type HasEnded = Shared<oneshot::Receiver<()>>;

impl Detached {
    /// The ends of those within this one, and the end of this one.
    fn queue(&self, own: &Arc<Span>) -> (Vec<HasEnded>, oneshot::Sender<()>) {
        let (ends, has_ended) = oneshot::channel();
        // No code of others runs under this lock.
        let mut sagas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut within = Vec::new();
        let mut spans = Vec::new();
        sagas.retain(|(span, has_ended)| {
            let Some(span) = span.upgrade() else { return false };
            if span.descends_from(own) {
                within.push(has_ended.clone());
            }
            spans.push(span);
            true
        });
        sagas.push((Arc::downgrade(own), has_ended.shared()));
        drop(sagas);
        // The last handle of a span may be that of its emitter: not under the lock.
        drop(spans);
        (within, ends)
    }
}

/// Does some work that continues if nobody waits for it any more, where there is a tokio runtime; `None` if that ends first.
pub(super) async fn in_background<T: Send + 'static>(
    hub: &Hub,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let in_background = Background::begin(&hub.background);
    let work = async move {
        let done = work.await;
        drop(in_background);
        done
    };
    match Handle::try_current() {
        Ok(runtime) => runtime.spawn(work).await.ok(),
        Err(_) => Some(work.await),
    }
}

impl Saga {
    /// Continues where the caller left off: undoes what there is to undo, or leaves it open. Where there is nothing to undo,
    /// the saga ends as cancelled with the future that is being dropped.
    pub(super) fn continue_without_caller(
        &self,
        undoing: Option<Compensating>,
        on_cancel: OnCancel,
        runtime: Option<Handle>,
    ) {
        let span = &self.context.0;
        let compensating = match undoing {
            Some(compensating) => compensating,
            None if !self.has_something_to_undo() && !self.has_unreached_steps() => return,
            None if on_cancel == OnCancel::LeaveOpen || !self.has_something_to_undo() => {
                span.stay_open(names::SAGA_LEFT_OPEN, Some(throughline_model::InstanceId::NOBODY));
                return;
            }
            None => self.compensate_all(),
        };
        span.stay_open(names::SAGA_DETACHED, None);
        let (within, ends) = span.run.detached.queue(span);
        let in_background = Background::begin(&span.run.hub.background);
        let held = Held::new(Arc::clone(span));
        let work = async move {
            for saga in within {
                // An error says that it has ended, too.
                let _ = saga.await;
            }
            let compensations = compensating.await;
            let was_tried = |step: &Compensated| {
                use CompensationOutcome::{NotRegistered, NotStarted};
                !matches!(step.outcome, NotStarted(_) | NotRegistered)
            };
            if compensations.iter().all(was_tried) {
                held.finish(End::cancelled(None)).await;
            } else {
                // The emitter was shut down, its store is broken, or nobody said how to undo a step: the saga stays open.
                drop(held);
            }
            drop((ends, in_background));
        };
        match runtime {
            // A runtime that is shutting down drops it: then the saga stays open, and is in nobody's hand.
            Some(runtime) => drop(runtime.spawn(work)),
            None => {
                let on_its_own =
                    std::thread::Builder::new().name("throughline-saga".to_owned()).spawn(|| {
                        if let Ok(runtime) = Builder::new_current_thread().enable_time().build() {
                            runtime.block_on(work);
                        }
                    });
                if let Err(error) = on_its_own {
                    tracing::warn!(target: "throughline", %error, "no thread to undo a saga on: it stays open");
                }
            }
        }
    }
}
