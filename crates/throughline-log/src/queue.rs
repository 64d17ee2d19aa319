//! Lines on their way to the output: a bounded buffer that a thread of its own empties.
//!
//! The code that logs copies a line into the buffer and waits for nothing; where there is no room, the line is dropped and
//! counted. The thread takes all that is there and writes it in one call.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An output that fails is not tried more often than this, however much is logged: each try costs a system call.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
/// How long a stream is left alone that takes nothing at the moment and does not block.
const PAUSE_WHILE_BUSY: Duration = Duration::from_millis(5);
/// A buffer that grew larger than this is given back once it was written.
const KEPT: usize = 256 * 1024;

/// What became of the lines so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) accepted: u64,
    pub(crate) written: u64,
    pub(crate) pending: u64,
    pub(crate) full: u64,
    pub(crate) failed: u64,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// There is something to write, or nobody will log any more.
    filled: Condvar,
    /// Something was written or given up.
    settled: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// How many lines the buffer holds.
    buffered: u64,
    /// How many bytes and lines the thread is writing right now.
    writing: (usize, u64),
    is_abandoned: bool,
    figures: Figures,
    last_failure: Option<String>,
}

impl Queue {
    /// Starts the thread that writes to `output`.
    pub(crate) fn start(output: Box<dyn Write + Send>, capacity: usize) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            settled: Condvar::new(),
            capacity,
        });
        let of_thread = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("throughline-log".to_owned())
            .spawn(move || of_thread.write_to(Output { output, is_torn: false }))?;
        Ok(queue)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line, which ends with a line break, if there is room for it.
    pub(crate) fn push(&self, line: &[u8]) {
        let mut state = self.state();
        state.figures.accepted += 1;
        if state.lines.len() + state.writing.0 + line.len() > self.capacity {
            state.figures.full += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        state.buffered += 1;
        let is_first = state.buffered == 1;
        drop(state);
        if is_first {
            self.filled.notify_one();
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let state = self.state();
        Figures { pending: state.buffered + state.writing.1, ..state.figures }
    }

    /// What the output said when it failed last, if it has not worked since.
    pub(crate) fn last_failure(&self) -> Option<String> {
        self.state().last_failure.clone()
    }

    /// Waits until all that was accepted before is written or given up, but no longer than this.
    pub(crate) fn wait(&self, timeout: Duration) {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state();
        let settled = |figures: &Figures| figures.written + figures.failed;
        let until = state.figures.accepted - state.figures.full;
        while settled(&state.figures) < until {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.unwrap_or(Duration::MAX);
            if left.is_zero() {
                return;
            }
            state = self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state();
        state.buffered == 0 && state.writing.1 == 0
    }

    /// Nobody will log any more: the thread writes what is left and ends.
    pub(crate) fn abandon(&self) {
        self.state().is_abandoned = true;
        self.filled.notify_one();
    }

    fn write_to(&self, mut output: Output) {
        let mut batch = Vec::new();
        while self.next_batch(&mut batch) {
            let written = output.write(&batch);
            let pause = written.error.is_some().then_some(PAUSE_AFTER_FAILURE);
            let mut state = self.state();
            let (_, lines) = std::mem::take(&mut state.writing);
            state.figures.written += written.lines;
            state.figures.failed += lines.saturating_sub(written.lines);
            state.last_failure = written.error;
            drop(state);
            self.settled.notify_all();
            if let Some(pause) = pause {
                std::thread::sleep(pause);
            }
            batch.clear();
            batch.shrink_to(KEPT);
        }
    }

    /// Exchanges the empty batch for what is there; `false` when nothing will come any more.
    fn next_batch(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.state();
        while state.buffered == 0 {
            if state.is_abandoned {
                return false;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(batch, &mut state.lines);
        state.writing = (batch.len(), std::mem::take(&mut state.buffered));
        true
    }
}

struct Output {
    output: Box<dyn Write + Send>,
    /// Whether what was written last ends within a line.
    is_torn: bool,
}

#[derive(Default)]
struct Written {
    lines: u64,
    error: Option<String>,
}

impl Output {
    /// Writes a batch as far as that is possible. An output that panics is one that fails.
    fn write(&mut self, batch: &[u8]) -> Written {
        let mut written = Written::default();
        let mut from = 0;
        if self.is_torn {
            match self.write_some(b"\n") {
                Ok(_) => self.is_torn = false,
                Err(error) => return Written { error: Some(error), ..written },
            }
        }
        while from < batch.len() {
            match self.write_some(&batch[from..]) {
                Ok(count) => {
                    let done = &batch[from..(from + count).min(batch.len())];
                    written.lines += done.iter().filter(|byte| **byte == b'\n').count() as u64;
                    from += count;
                    self.is_torn = done.last() != Some(&b'\n');
                }
                Err(error) => {
                    written.error = Some(error);
                    break;
                }
            }
        }
        let flushed = catch_unwind(AssertUnwindSafe(|| self.output.flush()));
        if written.error.is_none() {
            written.error = said(flushed).err();
        }
        written
    }

    fn write_some(&mut self, bytes: &[u8]) -> Result<usize, String> {
        loop {
            let wrote = catch_unwind(AssertUnwindSafe(|| self.output.write(bytes)));
            match wrote {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares the stream made it so. It is slow, as a blocking one would be.
                Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(PAUSE_WHILE_BUSY);
                }
                Ok(Ok(0)) => return Err("the output takes no more bytes".to_owned()),
                wrote => return said(wrote),
            }
        }
    }
}

fn said<T>(outcome: std::thread::Result<io::Result<T>>) -> Result<T, String> {
    match outcome {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(panic) => {
            Err(format!("the output panicked: {}", throughline_core::describe_panic(&*panic).message))
        }
    }
}

#[cfg(test)]
mod tests;
