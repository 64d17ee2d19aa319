//! [`SharedWriter`], which several threads write to.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many texts wait for the writer; further ones are left out.
const WAITING: usize = 1024;

/// A writer for several threads, without a lock around the writing: it is somebody else's code, and may come back here.
/// A thread that finds it in use leaves the text to the thread that uses it.
pub(super) struct SharedWriter<W>(Mutex<State<W>>);

struct State<W> {
    /// `None` while it is in use.
    writer: Option<W>,
    waiting: VecDeque<String>,
}

impl<W: Write> SharedWriter<W> {
    pub(super) fn new(writer: W) -> Self {
        Self(Mutex::new(State { writer: Some(writer), waiting: VecDeque::new() }))
    }

    /// Writes a text. What cannot be written is left out.
    pub(super) fn write(&self, text: String) {
        let mut state = self.state();
        if state.waiting.len() < WAITING {
            state.waiting.push_back(text);
        }
        let mut in_use = InUse { writer: state.writer.take(), of: self };
        drop(state);
        while let Some(writer) = &mut in_use.writer {
            let mut state = self.state();
            let Some(text) = state.waiting.pop_front() else {
                state.writer = in_use.writer.take();
                return;
            };
            drop(state);
            let written = writer.write_all(text.as_bytes());
            let _ = written.and_then(|()| writer.flush());
        }
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the writer back even if it panics.
struct InUse<'a, W: Write> {
    writer: Option<W>,
    of: &'a SharedWriter<W>,
}

impl<W: Write> Drop for InUse<'_, W> {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.of.state().writer = Some(writer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::{Arc, OnceLock};
    use std::thread;

    use super::*;

    /// Writes into a text, and once something more through the place that it is in.
    struct Nested {
        place: Arc<OnceLock<SharedWriter<Nested>>>,
        text: Arc<Mutex<String>>,
    }

    impl Write for Nested {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(bytes != b"panic", "the writer has a bug");
            self.text.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            if bytes == b"first" {
                let place = Arc::clone(&self.place);
                thread::spawn(move || place.get().unwrap().write(" second".to_owned())).join().unwrap();
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn nested() -> (Arc<OnceLock<SharedWriter<Nested>>>, Arc<Mutex<String>>) {
        let (place, text) = (Arc::new(OnceLock::new()), Arc::default());
        let writer = Nested { place: Arc::clone(&place), text: Arc::clone(&text) };
        assert!(place.set(SharedWriter::new(writer)).is_ok());
        (place, text)
    }

    #[test]
    fn a_writer_may_write_to_the_same_place_from_another_thread() {
        let (place, text) = nested();
        place.get().unwrap().write("first".to_owned());
        assert_eq!(*text.lock().unwrap(), "first second");
    }

    #[test]
    fn a_writer_that_panics_is_used_again() {
        let (place, text) = nested();
        let panicked = catch_unwind(AssertUnwindSafe(|| place.get().unwrap().write("panic".to_owned())));
        assert!(panicked.is_err());
        place.get().unwrap().write("later".to_owned());
        assert_eq!(*text.lock().unwrap(), "later");
    }
}
