//! Short answers on the thread that asks.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use throughline_model::{TraceEvent, TraceId};

use super::session::Session;

/// A connection for short answers on the thread that asks: the way to another thread and back takes longer than to read most
/// runs. What is not answered here is a question for the [threads](super::pool::Pool).
pub(super) struct Near {
    /// How long the caller's thread may be held up.
    budget: Duration,
    session: Mutex<Session>,
    /// Whether the last run could be read within the budget, here or by one of the threads.
    is_worthwhile: AtomicBool,
}

/// What became of a question.
#[derive(Debug, PartialEq)]
pub(super) enum Attempt {
    Read(Vec<TraceEvent>),
    /// It took too long, or failed.
    InVain,
    NotMade,
}

impl Near {
    /// As long as a task may work without a pause, by the advice of those who write runtimes.
    pub(super) const BUDGET: Duration = Duration::from_micros(100);

    pub(super) fn new(mut session: Session, budget: Duration) -> Self {
        session.never_waits();
        Self { budget, session: Mutex::new(session), is_worthwhile: AtomicBool::new(true) }
    }

    /// The events of a run, if they can be read at once.
    pub(super) fn trace(&self, id: TraceId) -> Attempt {
        if !self.is_worthwhile.load(Relaxed) {
            return Attempt::NotMade;
        }
        let mut session = match self.session.try_lock() {
            Ok(session) => session,
            // Each entry of a session's cache is complete when it is added, so a panic can't have spoiled it.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Attempt::NotMade,
        };
        let Some(deadline) = Instant::now().checked_add(self.budget) else { return Attempt::NotMade };
        // An error may be that of this attempt alone, such as a lock that it did not wait for.
        match session.answer(|session| session.trace_before(id, deadline)).ok().flatten() {
            Some(events) => Attempt::Read(events),
            None => {
                self.is_worthwhile.store(false, Relaxed);
                Attempt::InVain
            }
        }
    }

    /// One of the threads took so long to read a run that was not tried here: whether the next one is worth an attempt. A run that
    /// was tried in vain says nothing of that: much of it is in memory since.
    pub(super) fn note(&self, took: Duration) {
        self.is_worthwhile.store(took <= self.budget, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use futures_util::FutureExt as _;
    use throughline_model::{SpanId, Timestamp, TraceReader as _};

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::reader::SqliteReader;
    use crate::reader::session::Source;
    use crate::writer::Writer;

    /// Long enough for any machine.
    const AMPLE: Duration = Duration::from_secs(600);

    fn event(number: u64) -> TraceEvent {
        let span = SpanId::from_u64(number + 1).unwrap();
        let moment = Timestamp::from_micros(number as i64);
        TraceEvent::new(TraceId::from_key("loan-42"), span, "stage:score", moment, "loan-service")
    }

    fn file_with_a_run(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("x.db");
        let place = Place { path: path.clone(), synchronous: Synchronous::Off, busy_timeout: Duration::ZERO };
        let events: Vec<_> = (0..3).map(event).collect();
        Writer::new(STORE_FILE.open(&place).unwrap()).append(&events).unwrap();
        path
    }

    #[test]
    fn a_run_is_read_in_its_order_within_the_budget() {
        let folder = tempfile::tempdir().unwrap();
        let near = Near::new(Source::open(&file_with_a_run(&folder)).unwrap().1, AMPLE);
        assert_eq!(near.trace(TraceId::from_key("loan-42")), Attempt::Read((0..3).map(event).collect()));
        assert_eq!(near.trace(TraceId::from_key("loan-43")), Attempt::Read(Vec::new()));
    }

    #[test]
    fn after_an_attempt_in_vain_none_is_made_until_a_thread_reads_a_run_within_the_budget() {
        let folder = tempfile::tempdir().unwrap();
        let near = Near::new(Source::open(&file_with_a_run(&folder)).unwrap().1, Duration::ZERO);
        let id = TraceId::from_key("loan-42");
        assert_eq!(near.trace(id), Attempt::InVain);
        assert_eq!(near.trace(id), Attempt::NotMade);
        // What would be answered at once is not tried, either.
        assert_eq!(near.trace(TraceId::from_key("loan-43")), Attempt::NotMade);
        near.note(Duration::from_micros(1));
        assert_eq!(near.trace(id), Attempt::NotMade);
        near.note(Duration::ZERO);
        assert_eq!(near.trace(id), Attempt::InVain);
    }

    #[test]
    fn nothing_is_tried_after_a_thread_took_longer_than_the_budget() {
        let folder = tempfile::tempdir().unwrap();
        let near = Near::new(Source::open(&file_with_a_run(&folder)).unwrap().1, AMPLE);
        near.note(2 * AMPLE);
        assert_eq!(near.trace(TraceId::from_key("loan-42")), Attempt::NotMade);
    }

    #[test]
    fn a_reader_answers_at_once_where_it_can_and_otherwise_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_with_a_run(&folder);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let events: Vec<_> = (0..3).map(event).collect();
        let id = TraceId::from_key("loan-42");
        let patient = SqliteReader::holding_up(&path, AMPLE).unwrap();
        for _ in 0..1_000 {
            let at_once = patient.trace(id).now_or_never().expect("no other thread is needed");
            assert_eq!(at_once.unwrap(), events);
        }
        let hasty = SqliteReader::holding_up(&path, Duration::ZERO).unwrap();
        for _ in 0..3 {
            assert_eq!(runtime.block_on(hasty.trace(id)).unwrap(), events);
        }
    }

    #[test]
    fn nobody_waits_for_the_question_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let near = Near::new(Source::open(&file_with_a_run(&folder)).unwrap().1, AMPLE);
        let others = near.session.lock().unwrap();
        assert_eq!(near.trace(TraceId::from_key("loan-42")), Attempt::NotMade);
        drop(others);
        assert!(matches!(near.trace(TraceId::from_key("loan-42")), Attempt::Read(_)));
    }

    #[test]
    fn a_lock_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let near = Near::new(Source::open(&file_with_a_run(&folder)).unwrap().1, AMPLE);
        let mut session = near.session.lock().unwrap();
        let (snapshot, _) = session.snapshot().unwrap();
        let millis: i64 = snapshot.pragma_query_value(None, "busy_timeout", |row| row.get(0)).unwrap();
        assert_eq!(millis, 0);
    }
}
