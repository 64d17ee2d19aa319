//! Bytes, as lines of bounded length.

use std::io;
use std::path::Path;

use memchr::memchr_iter;

use crate::found::FoundLine;

/// How much of a line is kept; what is longer is cut.
pub(crate) const LONGEST: usize = 1 << 20;

/// What some programs begin a file of UTF-8 with.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What is called with each line.
pub(crate) type Each<'a> = &'a mut dyn FnMut(FoundLine<'_>) -> io::Result<()>;

/// The line that is not complete yet.
#[derive(Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
    /// How many bytes of it were not kept.
    cut: u64,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Hands over each line that ends in these bytes, and keeps the rest.
    pub(crate) fn take(&mut self, bytes: &[u8], path: &Path, each: Each<'_>) -> io::Result<()> {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            let piece = &bytes[start..end];
            start = end + 1;
            if self.begun.is_empty() && self.cut == 0 {
                hand_over(piece, 0, path, each)?;
            } else {
                self.keep(piece);
                self.end(path, each)?;
            }
        }
        self.keep(&bytes[start..]);
        Ok(())
    }

    /// Hands over what has no line end and will get none.
    pub(crate) fn end(&mut self, path: &Path, each: Each<'_>) -> io::Result<()> {
        if !self.begun.is_empty() {
            hand_over(&self.begun, self.cut, path, each)?;
        }
        self.begun.clear();
        // What one long line took is not held for ever.
        self.begun.shrink_to(LONGEST / 16);
        self.cut = 0;
        Ok(())
    }

    fn keep(&mut self, piece: &[u8]) {
        // A file that was truncated under a writer that has not noticed begins with a hole.
        let piece = if self.begun.is_empty() { without_hole(piece) } else { piece };
        let room = LONGEST - self.begun.len();
        let kept = &piece[..piece.len().min(room)];
        self.begun.extend_from_slice(kept);
        self.cut += (piece.len() - kept.len()) as u64;
    }
}

fn hand_over(bytes: &[u8], cut: u64, path: &Path, each: Each<'_>) -> io::Result<()> {
    let bytes = without_hole(bytes);
    // Files that begin with such a mark may have been put together.
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    each(FoundLine { path, bytes, cut })
}

fn without_hole(bytes: &[u8]) -> &[u8] {
    let hole = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[hole..]
}
