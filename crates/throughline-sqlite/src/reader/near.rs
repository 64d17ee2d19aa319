//! Short answers on the thread that asks.

use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use throughline_model::{TraceEvent, TraceId};

use super::session::Session;

/// A connection for short answers on the thread that asks: the way to another thread and back takes longer than to read most
/// runs. What is not answered here is a question for the [threads](super::pool::Pool).
pub(super) struct Near {
    /// How long the caller's thread may be held up.
    budget: Duration,
    state: Mutex<State>,
}

struct State {
    session: Session,
    /// How many attempts in a row were in vain.
    in_vain: u32,
    /// Until then, nothing is tried.
    rests_until: Option<Instant>,
}

impl Near {
    /// As long as a task may work without a pause, by the advice of those who write runtimes.
    pub(super) const BUDGET: Duration = Duration::from_micros(100);

    /// After an attempt in vain none is made for as long as it took, and for twice as long after each further one in a row, up
    /// to 128 times: one slow answer among quick ones costs little, and long runs or a slow disk cost less than a hundredth of
    /// the caller's time.
    const LONGEST_REST: u32 = 7;

    pub(super) fn new(mut session: Session, budget: Duration) -> Self {
        session.never_waits();
        Self { budget, state: Mutex::new(State { session, in_vain: 0, rests_until: None }) }
    }

    /// The events of a run, if they can be read at once.
    pub(super) fn trace(&self, id: TraceId) -> Option<Vec<TraceEvent>> {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            // Each entry of a session's cache is complete when it is added, so a panic can't have spoiled it.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let began = Instant::now();
        if state.rests_until.is_some_and(|until| began < until) {
            return None;
        }
        let deadline = began.checked_add(self.budget)?;
        // An error may be that of this attempt alone, such as a lock that it did not wait for.
        let events = state.session.answer(|session| session.trace_before(id, deadline)).ok().flatten();
        if events.is_some() {
            (state.in_vain, state.rests_until) = (0, None);
        } else {
            let now = Instant::now();
            let times = 1 << state.in_vain.min(Self::LONGEST_REST);
            state.rests_until = now.checked_add((now - began).saturating_mul(times));
            state.in_vain = state.in_vain.saturating_add(1);
        }
        events
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
        assert_eq!(near.trace(TraceId::from_key("loan-42")), Some((0..3).map(event).collect()));
        assert_eq!(near.trace(TraceId::from_key("loan-43")), Some(Vec::new()));
    }

    #[test]
    fn a_run_that_takes_longer_than_the_budget_is_left_to_the_threads_and_the_next_ones_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let near = Near::new(Source::open(&file_with_a_run(&folder)).unwrap().1, Duration::ZERO);
        assert_eq!(near.trace(TraceId::from_key("loan-42")), None);
        let rests_until = near.state.lock().unwrap().rests_until;
        assert!(rests_until.is_some());
        // What would be answered at once is not tried, either.
        near.state.lock().unwrap().rests_until = Some(Instant::now() + AMPLE);
        assert_eq!(near.trace(TraceId::from_key("loan-43")), None);
    }

    #[test]
    fn each_attempt_in_vain_is_followed_by_a_longer_rest_until_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let near = Near::new(Source::open(&file_with_a_run(&folder)).unwrap().1, Duration::ZERO);
        for attempt in 1..40 {
            assert_eq!(near.trace(TraceId::from_key("loan-42")), None);
            let mut state = near.state.lock().unwrap();
            assert_eq!(state.in_vain, attempt);
            state.rests_until = None;
        }
        assert_eq!(near.trace(TraceId::from_key("loan-43")), Some(Vec::new()));
        let state = near.state.lock().unwrap();
        assert_eq!((state.in_vain, state.rests_until), (0, None));
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
        assert_eq!(runtime.block_on(hasty.trace(id)).unwrap(), events);
    }

    #[test]
    fn nobody_waits_for_the_question_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let near = Near::new(Source::open(&file_with_a_run(&folder)).unwrap().1, AMPLE);
        let others = near.state.lock().unwrap();
        assert_eq!(near.trace(TraceId::from_key("loan-42")), None);
        drop(others);
        assert!(near.trace(TraceId::from_key("loan-42")).is_some());
    }

    #[test]
    fn a_lock_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let near = Near::new(Source::open(&file_with_a_run(&folder)).unwrap().1, AMPLE);
        let mut state = near.state.lock().unwrap();
        let (snapshot, _) = state.session.snapshot().unwrap();
        let millis: i64 = snapshot.pragma_query_value(None, "busy_timeout", |row| row.get(0)).unwrap();
        assert_eq!(millis, 0);
    }
}
