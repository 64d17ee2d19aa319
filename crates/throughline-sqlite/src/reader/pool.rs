//! The threads that questions are answered on.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use throughline_model::ReadError;
use tokio::sync::oneshot;

use super::session::{Session, Source};
use crate::error::Fault;

/// Gets an error where no session could be had.
type Job = Box<dyn FnOnce(Result<&mut Session, ReadError>) + Send>;

/// A few threads, each with a connection of its own. They are started when they are needed, and end with the pool.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    source: Source,
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    /// The session that was opened with the reader, for the first thread.
    first: Option<Session>,
    threads: usize,
    idle: usize,
    ended: bool,
}

impl Pool {
    const THREADS: usize = 3;

    pub(super) fn new(source: Source, first: Session) -> Self {
        let state = State { jobs: VecDeque::new(), first: Some(first), threads: 0, idle: 0, ended: false };
        Self { shared: Arc::new(Shared { source, state: Mutex::new(state), work: Condvar::new() }) }
    }

    /// For a caller that asks on its own thread, with the session that was opened with the reader if no thread has that.
    pub(super) fn in_place(&self) -> InPlace {
        InPlace { source: self.shared.source.clone(), session: Mutex::new(self.shared.lock().first.take()) }
    }

    pub(super) fn source(&self) -> &Source {
        &self.shared.source
    }

    /// Has a question answered by the first thread that is free.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Session) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (tx, rx) = oneshot::channel();
        self.submit(Box::new(move |session| {
            let answer = session.map_err(Fault::from).and_then(|session| session.answer(question));
            // If nobody waits for the answer any more, it is dropped.
            let _ = tx.send(answer);
        }))?;
        match rx.await {
            Ok(answer) => answer.map_err(|fault| fault.into_read_error(&self.shared.source.path)),
            Err(_) => Err(self.unavailable("the question panicked")),
        }
    }

    fn submit(&self, job: Job) -> Result<(), ReadError> {
        let mut state = self.shared.lock();
        let busy = state.idle <= state.jobs.len();
        if busy && state.threads < Self::THREADS {
            let shared = Arc::clone(&self.shared);
            let spawned = std::thread::Builder::new()
                .name("throughline-reader".to_owned())
                .spawn(move || shared.serve());
            match spawned {
                Ok(_) => state.threads += 1,
                Err(_) if state.threads > 0 => {}
                Err(_) => {
                    return Err(self.unavailable("the operating system can't start a thread to read with"));
                }
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    fn unavailable(&self, what: &str) -> ReadError {
        ReadError::Unavailable {
            reason: format!("{}: {what}", self.shared.source.path.display()),
            source: None,
        }
    }
}

/// A connection for the thread that asks.
pub(super) struct InPlace {
    source: Source,
    session: Mutex<Option<Session>>,
}

impl InPlace {
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&mut Session) -> Result<T, Fault>,
    ) -> Result<T, ReadError> {
        // Each entry of a session's cache is complete when it is added, so a panic can't have spoiled it.
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match &mut *session {
            Some(session) => session,
            none => none.insert(self.source.session_to_ask()?),
        };
        session.answer(question).map_err(|fault| fault.into_read_error(&self.source.path))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut session = self.lock().first.take();
        while let Some(job) = self.next_job() {
            let opened = session.take().map_or_else(|| self.source.session_to_ask(), Ok);
            // A panic must not cost the thread: once all were gone, every question would wait for ever. The caller learns of it
            // because the job is dropped, and the panic hook has reported it.
            session = catch_unwind(AssertUnwindSafe(|| match opened {
                Ok(mut opened) => {
                    job(Ok(&mut opened));
                    Some(opened)
                }
                Err(error) => {
                    job(Err(error));
                    None
                }
            }))
            .unwrap_or_default();
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        state.idle += 1;
        while state.jobs.is_empty() && !state.ended {
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle -= 1;
        state.jobs.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};

    fn pool(folder: &tempfile::TempDir) -> Pool {
        let path = folder.path().join("x.db");
        let place = Place { path, synchronous: Synchronous::Off, busy_timeout: Duration::ZERO };
        drop(STORE_FILE.open(&place).unwrap());
        let (source, first) = Source::open(&place.path).unwrap();
        Pool::new(source, first)
    }

    #[tokio::test]
    async fn questions_that_panic_are_errors_and_do_not_keep_others_from_their_answers() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(&folder);
        for _ in 0..3 * Pool::THREADS {
            let error = pool.ask::<()>(|_| panic!("a question that panics")).await.unwrap_err();
            assert!(error.is_retryable() && error.to_string().contains("panicked"), "{error}");
        }
        let answered = tokio::time::timeout(Duration::from_secs(30), pool.ask(|session| session.secret()));
        answered.await.expect("a thread is there to answer").unwrap();
    }

    #[tokio::test]
    async fn a_question_that_panics_in_the_middle_leaves_no_transaction_open() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(&folder);
        let in_the_middle = |session: &mut Session| -> Result<(), Fault> {
            let _snapshot = session.snapshot()?;
            panic!("in the middle of a question")
        };
        pool.ask(in_the_middle).await.unwrap_err();
        pool.ask(|session| session.snapshot().map(drop)).await.unwrap();
    }
}
