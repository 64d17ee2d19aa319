//! How much of a pipe is read together: a secret may stand lines below its name, and nobody who watches a log should have to wait.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use memchr::{memchr_iter, memmem, memrchr, memrchr_iter};

/// So many bytes are read together at most, unless a single line has more.
const MOST: usize = 1 << 20;
/// A line that has more is cut.
const LONGEST_LINE: usize = 1 << 24;
/// Where nothing follows for so long, what was read is all that belongs together.
const PAUSE: Duration = Duration::from_millis(200);
/// Of input without pauses, nothing waits for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A private key has no more lines than this: a first line without a last one holds nothing back for longer.
const KEY_LINES: usize = 200;
/// Nor more bytes.
const KEY_BYTES: usize = 1 << 14;

/// What is read at once.
const CHUNK: usize = 1 << 16;

/// The pieces of an input, one after the other.
pub(super) struct Pieces {
    chunks: Receiver<io::Result<Vec<u8>>>,
    held: Vec<u8>,
    /// Since when something is held.
    since: Instant,
    /// Whether nothing came for a while: then what is held waits for more.
    paused: bool,
}

impl Pieces {
    pub(super) fn of(mut input: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = sync_channel(2);
        // It ends with the input, or with the process.
        thread::spawn(move || {
            loop {
                let mut chunk = vec![0; CHUNK];
                let read = match input.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(len) => {
                        chunk.truncate(len);
                        Ok(chunk)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = read.is_err();
                if sender.send(read).is_err() || failed {
                    return;
                }
            }
        });
        Self { chunks, held: Vec::new(), since: Instant::now(), paused: false }
    }

    /// The next lines that belong together; nothing at the end of the input.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let waited = self.since.elapsed();
            let is_due = !self.held.is_empty() && (self.held.len() >= MOST || waited >= LONGEST_WAIT);
            if let Some(len) = is_due.then(|| seam(&self.held)).flatten() {
                return Ok(Some(self.take(len)));
            }
            let wait = if is_due { PAUSE } else { PAUSE.min(LONGEST_WAIT.saturating_sub(waited)) };
            let chunk = if self.held.is_empty() || self.paused {
                self.chunks.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.chunks.recv_timeout(wait)
            };
            match chunk {
                Ok(chunk) => {
                    if self.held.is_empty() {
                        self.since = Instant::now();
                    }
                    self.held.append(&mut chunk?);
                    self.paused = false;
                }
                Err(RecvTimeoutError::Timeout) if wait < PAUSE => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.paused = true;
                    let len = whole_lines(&self.held);
                    if len > 0 {
                        return Ok(Some(self.take(len)));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let len = self.held.len();
                    return Ok((len > 0).then(|| self.take(len)));
                }
            }
        }
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let rest = self.held.split_off(len);
        self.since = Instant::now();
        std::mem::replace(&mut self.held, rest)
    }
}

/// How much there is of whole lines, without a private key whose last line is still to come.
fn whole_lines(held: &[u8]) -> usize {
    let end = memrchr(b'\n', held).map_or(0, |at| at + 1);
    open_key(&held[..end]).unwrap_or(end)
}

/// Where a private key begins whose last line is not there yet.
fn open_key(held: &[u8]) -> Option<usize> {
    let from = held.len().saturating_sub(KEY_BYTES);
    let near = &held[from..];
    let begin = memmem::rfind(near, b"-----BEGIN")?;
    if memmem::find(&near[begin..], b"-----END").is_some() {
        return None;
    }
    let lines = memchr_iter(b'\n', &near[begin..]).count();
    let start = memrchr(b'\n', &near[..begin]).map_or(0, |at| at + 1);
    (lines < KEY_LINES).then_some(from + start)
}

/// Where a text may be cut in two: best where something new begins, as late as may be; nowhere within a line.
fn seam(held: &[u8]) -> Option<usize> {
    let mut starts = memrchr_iter(b'\n', held).map(|at| at + 1).take(KEY_LINES);
    let best = starts.find(|at| begins_something(held, *at));
    let any = || memrchr(b'\n', held).map(|at| at + 1);
    best.or_else(any).or_else(|| (held.len() >= LONGEST_LINE).then_some(held.len()))
}

/// Whether the line that starts here does not go on with what stands before: it is not indented, closes nothing, is no item of a
/// list, and no key stands on the line above without its value.
fn begins_something(held: &[u8], at: usize) -> bool {
    let before = held[..at].trim_ascii_end();
    let goes_on =
        matches!(before.last(), Some(b':' | b'=' | b',' | b'\\' | b'|' | b'>' | b'{' | b'[' | b'('));
    let is_new = match &held[at..] {
        [] | [b'-', b' ', ..] => false,
        [first, ..] => !first.is_ascii_whitespace() && !b"}])|\"".contains(first),
    };
    is_new && !goes_on && open_key(&held[..at]).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_something_new_begins() {
        for (text, kept) in [
            ("one: 1\ntwo: 2\nthree", "one: 1\ntwo: 2\n"),
            ("one: 1\ntwo:\n  2\n  3", "one: 1\n"),
            ("{\n  \"a\": 1\n}\n{\n  \"b\": 2\n}\n", "{\n  \"a\": 1\n}\n"),
            ("password:\n- hunter2\n- x\nport: 80\nhost: x\n", "password:\n- hunter2\n- x\nport: 80\n"),
            ("at 1\n-----BEGIN PRIVATE KEY-----\nabc\ndef\n", "at 1\n"),
            // Where nothing begins it is cut behind the last whole line.
            ("a:\n  b:\n    c: 1\n    d: 2\n    e", "a:\n  b:\n    c: 1\n    d: 2\n"),
        ] {
            let cut = seam(text.as_bytes());
            assert_eq!(cut.map(|at| &text[..at]), Some(kept), "{text}");
        }
        assert_eq!(seam(b"half a line"), None);
    }

    #[test]
    fn of_what_was_read_before_a_pause_whole_lines_are_taken() {
        for (text, len) in [
            ("", 0),
            ("half", 0),
            ("one\nhalf", 4),
            ("one\n-----BEGIN PRIVATE KEY-----\nabc\n", 4),
            ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n", 58),
        ] {
            assert_eq!(whole_lines(text.as_bytes()), len, "{text}");
        }
        let cut = format!("-----BEGIN PRIVATE KEY-----\n{}", "x\n".repeat(KEY_LINES));
        assert_eq!(whole_lines(cut.as_bytes()), cut.len(), "a key that never ends holds nothing back");
    }

    #[test]
    fn an_input_is_read_in_pieces_that_are_not_too_large_and_lose_nothing() {
        let text = "a line of a log\n".repeat(200_000);
        let mut pieces = Pieces::of(io::Cursor::new(text.clone().into_bytes()));
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().unwrap() {
            assert!(piece.len() <= MOST + CHUNK, "{}", piece.len());
            assert!(piece.ends_with(b"\n"));
            all.extend(piece);
        }
        assert!(all == text.as_bytes());
    }
}
