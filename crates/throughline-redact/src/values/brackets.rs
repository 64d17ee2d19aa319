//! Which bracket closes which, of keys without quotes: such keys may be nested, and what was read for one is not read again for
//! the next.

use std::ops::Range;

use super::NESTS;
use crate::tokens::run_end;

/// A reading is given up after so many bytes, so that it stays small.
const LONGEST_READING: usize = 1024;

/// Where the brackets of one text close. Whether a byte is in a string depends on where the reading began: there are two
/// readings at most that differ for long.
#[derive(Debug, Default)]
pub(super) struct Brackets([Reading; 2]);

impl Brackets {
    /// From this bracket to the one that closes it, or to the limit.
    pub(super) fn from(&mut self, bytes: &[u8], start: usize, limit: usize) -> Range<usize> {
        let [one, other] = &mut self.0;
        let (reading, place) = match (one.place(start), other.place(start)) {
            (Some(place), _) => (one, Some(place)),
            (None, Some(place)) => (other, Some(place)),
            (None, None) if one.at <= other.at => (one, None),
            (None, None) => (other, None),
        };
        let place = place.filter(|_| start - reading.from <= LONGEST_READING);
        let place = place.unwrap_or_else(|| reading.begin(start));
        reading.read(&bytes[..limit]);
        let end = reading.brackets.get(place).and_then(|(_, end)| *end);
        start..end.filter(|end| *end <= limit).unwrap_or(limit)
    }
}

/// What was read from some bracket on.
#[derive(Debug, Default)]
struct Reading {
    from: usize,
    at: usize,
    in_string: bool,
    /// The brackets that open, in order, and the places behind those that close them.
    brackets: Vec<(usize, Option<usize>)>,
    /// Which of them are open still.
    open: Vec<usize>,
}

impl Reading {
    /// Begins anew with a bracket, which is the first one then.
    fn begin(&mut self, start: usize) -> usize {
        (self.from, self.at, self.in_string) = (start, start, false);
        self.brackets.clear();
        self.open.clear();
        0
    }

    fn place(&self, start: usize) -> Option<usize> {
        self.brackets.binary_search_by_key(&start, |(start, _)| *start).ok()
    }

    fn read(&mut self, bytes: &[u8]) {
        // What is escaped may stand at the end of what is read.
        while self.at < bytes.len() {
            self.at = run_end(bytes, self.at, |byte| !NESTS[usize::from(byte)]);
            let Some(byte) = bytes.get(self.at) else { return };
            match byte {
                b'\\' => self.at += usize::from(self.in_string),
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'[' | b'{' | b'(' => {
                    self.open.push(self.brackets.len());
                    self.brackets.push((self.at, None));
                }
                _ => {
                    if let Some(place) = self.open.pop() {
                        self.brackets[place].1 = Some(self.at + 1);
                    }
                }
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bracketed;
    use super::*;

    #[test]
    fn brackets_close_where_they_do_when_each_is_read_alone() {
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for _ in 0..200 {
            let text: Vec<u8> = (0..3000).map(|_| b"[]{}()\"\"\\\\x. "[random(13)]).collect();
            let mut brackets = Brackets::default();
            let mut start = 0;
            while start < text.len() {
                if matches!(text[start], b'[' | b'{' | b'(') {
                    let limit = text.len().min(start + 200);
                    let expected = bracketed(&text[..limit], start);
                    let range = brackets.from(&text, start, limit);
                    assert_eq!(range, expected, "{}", String::from_utf8_lossy(&text[expected.clone()]));
                }
                start += 1 + random(20);
            }
        }
    }
}
