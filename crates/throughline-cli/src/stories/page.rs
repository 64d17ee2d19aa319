//! One file that a browser shows, from a disk and without a network: what happened in runs, and their events.
//!
//! The viewer writes it. The events are JSON lines within the page, which [`events`] finds again: an import reads the page as it
//! was exported.

use std::io::{self, BufRead, Read, Write};

use throughline_viewer::OneFile;

use super::Story;

/// What every page begins with.
pub(crate) const BEGINNING: &[u8] = OneFile::BEGINNING;
/// The lines around the events.
const BEGIN: &str = OneFile::BEFORE_EVENTS;
const END: &str = OneFile::AFTER_EVENTS;

/// Writes a page about runs, compared with a chosen one or each with its last good one.
pub(crate) fn write(stories: &[Story], chosen: Option<&Story>, output: &mut dyn Write) -> io::Result<()> {
    let page = stories.iter().fold(OneFile::new(), |page, story| match chosen {
        Some(chosen) if chosen.run.trace_id != story.run.trace_id => {
            page.run_against(&story.query, &chosen.query)
        }
        _ => page.run(&story.query, story.good.as_deref().map(|good| &good.query)),
    });
    page.write(output)
}

/// The events in a page, as JSON lines.
pub(crate) fn events(page: impl BufRead) -> impl Read {
    Events { page, line: Vec::new(), at: 0, place: Place::Before }
}

/// Where in a page it is read.
#[derive(PartialEq)]
enum Place {
    Before,
    Within,
    After,
}

struct Events<R> {
    page: R,
    line: Vec<u8>,
    at: usize,
    place: Place,
}

impl<R: BufRead> Read for Events<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.line.len() && self.place != Place::After {
            self.line.clear();
            self.at = 0;
            if self.page.read_until(b'\n', &mut self.line)? == 0 {
                let (kind, what) = match self.place {
                    Place::Before => (
                        io::ErrorKind::InvalidData,
                        "this page has no events; one by `throughline export --format html` has",
                    ),
                    _ => (io::ErrorKind::UnexpectedEof, "the page was cut off within its events"),
                };
                return Err(io::Error::new(kind, what));
            }
            let text = self.line.trim_ascii_end();
            match self.place {
                Place::Before => {
                    if text == BEGIN.as_bytes() {
                        self.place = Place::Within;
                    }
                    self.line.clear();
                }
                Place::Within if text == END.as_bytes() => {
                    self.place = Place::After;
                    self.line.clear();
                }
                Place::Within | Place::After => {}
            }
        }
        let left = &self.line[self.at..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_between_their_lines_alone() {
        let page = format!("<!doctype html>\n{{}}\n{BEGIN}\n{{\"a\":1}}\n{{\"b\":2}}\n{END}\n{{}}\n");
        let mut found = String::new();
        events(page.as_bytes()).read_to_string(&mut found).unwrap();
        assert_eq!(found, "{\"a\":1}\n{\"b\":2}\n");
        for (page, said) in [
            ("<!doctype html>\n<p>\n".to_owned(), "has no events"),
            (format!("<!doctype html>\n{BEGIN}\n{{\"a\":1}}\n"), "was cut off"),
        ] {
            let error = events(page.as_bytes()).read_to_string(&mut String::new()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
