//! [`OneFile`]: what happened in runs, in one file that a browser shows from a disk and without a network.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac_sha256::Hash as Sha256;
use serde_json::{Value, json};
use throughline_core::beside::kind_of;
use throughline_core::query::{escape, is_unsafe};
use throughline_core::{RunSummary, TraceQuery};

const SCRIPT: &str = include_str!("one_file/script.js");
const STYLE: &str = include_str!("one_file/style.css");
/// How much of an id names a run that has no other name: it begins with 48 bits of time.
const SHORT_ID: usize = 16;

/// Runs as one page: verdicts, spans, compensations, decisions, and all events, one a line, which `throughline import` reads back.
///
/// The page has its script and its style in it and fetches nothing. What the runs say is in it as it is: redact it before.
#[derive(Debug, Default)]
pub struct OneFile<'a>(Vec<Told<'a>>);

/// A run, and the one that it is compared with.
#[derive(Debug)]
struct Told<'a> {
    run: RunSummary,
    query: &'a TraceQuery,
    beside: Option<Beside<'a>>,
}

#[derive(Debug)]
struct Beside<'a> {
    run: RunSummary,
    query: &'a TraceQuery,
    /// Whether somebody chose it; else it is the last good one.
    is_chosen: bool,
}

impl<'a> OneFile<'a> {
    /// What every page begins with.
    pub const BEGINNING: &'static [u8] = b"<!doctype html>";
    /// The line before the events.
    pub const BEFORE_EVENTS: &'static str = "<script type=\"application/x-ndjson\" id=\"events\">";
    /// The line after the events.
    pub const AFTER_EVENTS: &'static str = "</script>";

    /// A page about nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a run, and the last good one to compare it with. What has no events is left out.
    #[must_use]
    pub fn run(self, query: &'a TraceQuery, good: Option<&'a TraceQuery>) -> Self {
        self.add(query, good, false)
    }

    /// Adds a run, and another one of your choice to compare it with. What has no events is left out.
    #[must_use]
    pub fn run_against(self, query: &'a TraceQuery, other: &'a TraceQuery) -> Self {
        self.add(query, Some(other), true)
    }

    fn add(mut self, query: &'a TraceQuery, beside: Option<&'a TraceQuery>, is_chosen: bool) -> Self {
        if let Some(run) = query.summary() {
            let beside = beside.and_then(|query| Some(Beside { run: query.summary()?, query, is_chosen }));
            self.0.push(Told { run, query, beside });
        }
        self
    }

    /// Writes the page.
    ///
    /// # Errors
    /// When the output can't be written.
    pub fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let titles: Vec<String> = self.0.iter().map(|told| title(&told.run)).collect();
        let title = in_html(&titles.join(", "));
        let heading = match self.0.len() {
            1 => "The story of 1 run".to_owned(),
            runs => format!("The story of {runs} runs"),
        };
        // Only this script and this style may do anything, and nothing may be fetched or sent.
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
            hash(SCRIPT),
            hash(STYLE)
        );
        output.write_all(Self::BEGINNING)?;
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
        let told: Vec<Value> = self.0.iter().map(Told::as_json).collect();
        within_script(output, &told)?;
        writeln!(output, "{}\n{}", Self::AFTER_EVENTS, Self::BEFORE_EVENTS)?;
        for told in &self.0 {
            for event in told.query.spans().flat_map(|span| span.events()) {
                within_script(output, event)?;
            }
        }
        write!(output, "{}\n<script>{SCRIPT}</script>\n</body></html>\n", Self::AFTER_EVENTS)
    }
}

impl Told<'_> {
    /// What the script shows of a run.
    fn as_json(&self) -> Value {
        let explanation = self.query.explain();
        let difference = self.beside.as_ref().map(|Beside { run, query, is_chosen }| {
            let diff = self.query.diff(query);
            json!({ "title": title(run), "chosen": is_chosen, "started": run.started, "diff": diff })
        });
        json!({
            "title": title(&self.run),
            "run": self.run,
            "headline": explanation.headline,
            "statements": explanation.statements,
            "cause": explanation.cause,
            "nodes": self.query.tree().nodes,
            "sagas": self.query.compensation_ledger().sagas,
            "outcomes": self.query.decisions().outcomes,
            "difference": difference,
        })
    }
}

/// What a run is called: its kind and its key.
fn title(run: &RunSummary) -> String {
    let title = match (kind_of(run), run.correlation_id.as_deref()) {
        ("", None) => run.trace_id.to_string()[..SHORT_ID].to_owned(),
        ("", Some(key)) => key.to_owned(),
        (kind, None) => kind.to_owned(),
        (kind, Some(key)) => format!("{kind} {key}"),
    };
    escape(&title).into_owned()
}

/// Writes JSON that can't end the element it is in, in a line. What turns a text around or is not seen in it is escaped.
fn within_script<T: serde::Serialize + ?Sized>(output: &mut dyn Write, value: &T) -> io::Result<()> {
    let json = serde_json::to_string(value)?;
    let mut rest = json.as_str();
    // JSON has these signs in texts alone.
    while let Some(at) = rest.find(|sign| sign == '<' || is_unsafe(sign)) {
        output.write_all(&rest.as_bytes()[..at])?;
        let mut after = rest[at..].chars();
        if let Some(sign) = after.next() {
            for unit in sign.encode_utf16(&mut [0; 2]) {
                write!(output, "\\u{unit:04x}")?;
            }
        }
        rest = after.as_str();
    }
    output.write_all(rest.as_bytes())?;
    output.write_all(b"\n")
}

/// As a policy names a script or a style: [by its hash](https://www.w3.org/TR/CSP3/#match-element-to-source-list).
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(Sha256::hash(text.as_bytes())))
}

fn in_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_itself_is_small() {
        let mut page = Vec::new();
        OneFile::new().write(&mut page).unwrap();
        assert!(page.len() < 100 << 10, "{} bytes", page.len());
        assert!(page.starts_with(OneFile::BEGINNING));
    }

    #[test]
    fn nothing_in_json_ends_the_element_that_it_is_in() {
        let mut out = Vec::new();
        let text = "</script><!-- <script>\u{2028} \u{202e}txt.exe \u{1f600}";
        within_script(&mut out, text).unwrap();
        let written = String::from_utf8(out).unwrap();
        assert!(!written.contains(['<', '\u{2028}', '\u{202e}']), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
