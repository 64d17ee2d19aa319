//! Where in its input a parser stands, and how much it may still swallow.

use std::io::{self, BufRead, Read};

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// From 1.
    pub(crate) line: u64,
    /// In characters, from 1.
    pub(crate) column: u64,
}

/// A reader that knows its position and gives out at most a budget of bytes until the budget is set anew. The
/// XML parser gathers a tag in memory before it says anything about it; the budget keeps a tag of a gigabyte
/// from becoming a gigabyte of memory.
#[derive(Debug)]
pub(crate) struct Positioned<R> {
    inner: R,
    bytes: u64,
    position: Position,
    budget: usize,
}

impl<R: BufRead> Positioned<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, bytes: 0, position: Position { line: 1, column: 1 }, budget: usize::MAX }
    }

    /// Bytes given out so far.
    pub(crate) fn offset(&self) -> u64 {
        self.bytes
    }

    /// Where the next byte stands.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Allows this many more bytes.
    pub(crate) fn set_budget(&mut self, bytes: usize) {
        self.budget = bytes;
    }

    /// Whether the budget is used up.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.budget == 0
    }
}

impl<R: BufRead> Read for Positioned<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(to.len());
        to[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Positioned<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.budget == 0 {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let available = self.inner.fill_buf()?;
        Ok(&available[..available.len().min(self.budget)])
    }

    fn consume(&mut self, count: usize) {
        // What is consumed has been filled before, so that this neither reads nor fails.
        if let Ok(available) = self.inner.fill_buf() {
            let consumed = &available[..count.min(available.len())];
            let mut last_line = consumed;
            if let Some(newline) = memchr::memrchr(b'\n', consumed) {
                self.position.line += memchr::memchr_iter(b'\n', consumed).count() as u64;
                self.position.column = 1;
                last_line = &consumed[newline + 1..];
            }
            // Bytes that continue a character of UTF-8 are no columns.
            self.position.column += last_line.iter().filter(|&&byte| byte & 0xC0 != 0x80).count() as u64;
        }
        self.bytes += count as u64;
        self.budget = self.budget.saturating_sub(count);
        self.inner.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_characters_are_counted_from_one() {
        let mut reader = Positioned::new("ab\nçé<".as_bytes());
        reader.consume(4);
        assert_eq!(reader.position(), Position { line: 2, column: 2 });
        reader.consume(3);
        assert_eq!(reader.position(), Position { line: 2, column: 3 });
        assert_eq!(reader.offset(), 7);
    }

    #[test]
    fn a_budget_ends_the_input_with_an_error() {
        let mut reader = Positioned::new("abcdef".as_bytes());
        reader.set_budget(4);
        let mut text = String::new();
        assert_eq!(reader.read_to_string(&mut text).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(reader.is_exhausted());
    }
}
