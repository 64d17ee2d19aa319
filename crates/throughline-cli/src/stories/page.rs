//! One file that a browser shows, from a disk and without a network: what happened in runs, and their events.
//!
//! The events are JSON lines within the page, which [`events`] finds again: an import reads the page as it was exported.

use std::io::{self, BufRead, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac_sha256::Hash as Sha256;
use serde_json::{Value, json};
use throughline_core::TraceEvent;

use super::Story;
use crate::output::{clean, count, write_json};

const SCRIPT: &str = include_str!("page/script.js");
const STYLE: &str = include_str!("page/style.css");
/// What every page begins with.
pub(crate) const BEGINNING: &[u8] = b"<!doctype html>";
/// The lines around the events.
const BEGIN: &str = "<script type=\"application/x-ndjson\" id=\"events\">";
const END: &str = "</script>";

/// Writes a page about runs.
pub(crate) fn write(stories: &[Story], output: &mut dyn Write) -> io::Result<()> {
    let title: Vec<String> = stories.iter().map(Story::title).collect();
    let title = escape(&clean(&title.join(", ")));
    let heading = format!("The story of {}", count(stories.len() as u64, "run"));
    // Only this script and this style may do anything, and nothing may be fetched or sent.
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    output.write_all(BEGINNING)?;
    write!(
        output,
        "\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body><h1>{heading}</h1>\n\
         <main id=\"main\"><p>This page shows its contents by a script, which is switched off. The events are in its source, one a \
         line; <code>throughline import</code> reads them.</p></main>\n\
         <script type=\"application/json\" id=\"stories\">"
    )?;
    let told: Vec<Value> = stories.iter().map(told).collect();
    within_script(output, &told)?;
    writeln!(output, "{END}\n{BEGIN}")?;
    for story in stories {
        for event in story.query.spans().flat_map(|span| span.events()) {
            within_script::<TraceEvent>(output, event)?;
        }
    }
    write!(output, "{END}\n<script>{SCRIPT}</script>\n</body></html>\n")
}

/// What the script shows of a run.
fn told(story: &Story) -> Value {
    let explanation = story.query.explain();
    let difference = story.good.as_deref().map(|good| {
        json!({ "good": clean(&good.title()), "started": good.run.started, "diff": story.query.diff(&good.query) })
    });
    json!({
        "title": clean(&story.title()),
        "run": story.run,
        "headline": explanation.headline,
        "statements": explanation.statements,
        "cause": explanation.cause,
        "nodes": story.query.tree().nodes,
        "sagas": story.query.compensation_ledger().sagas,
        "outcomes": story.query.decisions().outcomes,
        "difference": difference,
    })
}

/// Writes JSON that can't end the element it is in, in a line.
fn within_script<T: serde::Serialize + ?Sized>(output: &mut dyn Write, value: &T) -> io::Result<()> {
    let mut line = Vec::new();
    write_json(&mut line, &value, false)?;
    // JSON has this sign in texts alone.
    for part in line.split_inclusive(|byte| *byte == b'<') {
        match part.strip_suffix(b"<") {
            Some(before) => {
                output.write_all(before)?;
                output.write_all(b"\\u003c")?;
            }
            None => output.write_all(part)?,
        }
    }
    Ok(())
}

/// As a policy names a script or a style: [by its hash](https://www.w3.org/TR/CSP3/#match-element-to-source-list).
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(Sha256::hash(text.as_bytes())))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
    fn the_page_itself_is_small() {
        let mut page = Vec::new();
        write(&[], &mut page).unwrap();
        assert!(page.len() < 100 << 10, "{} bytes", page.len());
        assert!(page.starts_with(BEGINNING));
    }

    #[test]
    fn nothing_in_json_ends_the_element_that_it_is_in() {
        let mut out = Vec::new();
        let text = "</script><!-- <script>\u{2028}";
        within_script(&mut out, text).unwrap();
        let written = String::from_utf8(out).unwrap();
        assert!(!written.contains('<'), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

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
