//! Measures redaction on texts that have nothing to hide: how many lines it damages, and how fast it is.
//!
//! `cargo run --release -p throughline-redact --example measure -- FILE…` reads the files as lines, as texts of 50 lines and as
//! payloads, and prints a row for each. With `--show` it prints what it damaged, with `--damage` it measures no speed.

use std::time::Instant;

use serde_json::{Map, Value};
use throughline_redact::{Redaction, Redactor};

const LINES: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let redactor = Redaction::standard().build()?;
    let (flags, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let show = flags.iter().any(|flag| flag == "--show");
    println!(
        "{:<16} {:>7} {:>9} {:>9} {:>6} {:>6} {:>8}",
        "file", "lines", "damaged", "in texts", "MB/s", "texts", "payloads"
    );
    for file in files {
        let bytes = std::fs::read(&file).map_err(|error| format!("cannot read {file}: {error}"))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let texts: Vec<String> = lines.chunks(LINES).map(|lines| lines.join("\n")).collect();
        let damaged = lines.iter().filter(|line| is_damaged(&redactor, line, show)).count();
        let in_texts: usize = texts.iter().map(|text| damaged_lines(&redactor, text, show)).sum();
        let name = file.rsplit('/').next().unwrap_or(&file);
        if flags.iter().any(|flag| flag == "--damage") {
            println!("{name:<16} {:>7} {damaged:>9} {in_texts:>9}", lines.len());
            continue;
        }
        let rates = [
            rate(text.len(), || {
                lines.iter().for_each(|line| drop(std::hint::black_box(redactor.text(line))));
            }),
            rate(text.len(), || {
                texts.iter().for_each(|text| drop(std::hint::black_box(redactor.text(text))));
            }),
            payload_rate(&redactor, &lines),
        ];
        let [by_line, as_texts, as_payloads] = rates;
        println!(
            "{name:<16} {:>7} {damaged:>9} {in_texts:>9} {by_line:>6.0} {as_texts:>6.0} {as_payloads:>8.0}",
            lines.len()
        );
    }
    Ok(())
}

fn is_damaged(redactor: &Redactor, line: &str, show: bool) -> bool {
    let redacted = redactor.text(line);
    let damaged = redacted != line;
    if damaged && show {
        println!("- {line}\n+ {redacted}");
    }
    damaged
}

/// How many lines of a text are no longer what they were, counted from both ends.
fn damaged_lines(redactor: &Redactor, text: &str, show: bool) -> usize {
    let redacted = redactor.text(text);
    if redacted == text {
        return 0;
    }
    let kept: std::collections::HashSet<&str> = redacted.lines().collect();
    let lost: Vec<&str> = text.lines().filter(|line| !kept.contains(line)).collect();
    if show {
        lost.iter().filter(|line| redactor.text(line) == **line).for_each(|line| println!("~ {line}"));
    }
    lost.len()
}

fn rate(bytes: usize, work: impl Fn()) -> f64 {
    let best = (0..5)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed()
        })
        .min()
        .unwrap_or_default();
    bytes as f64 / best.as_secs_f64() / 1e6
}

/// Payloads of about 10 KB, with a line in each field.
fn payload_rate(redactor: &Redactor, lines: &[&str]) -> f64 {
    let payload = |lines: &[&str]| -> Map<String, Value> {
        lines.iter().enumerate().map(|(n, line)| (format!("line_{n}"), Value::from(*line))).collect()
    };
    let payloads: Vec<_> = lines.chunks(200).map(payload).collect();
    let bytes: usize = lines.iter().map(|line| line.len()).sum();
    let best = (0..5)
        .map(|_| {
            let mut copies = payloads.clone();
            let started = Instant::now();
            copies.iter_mut().for_each(|fields| redactor.payload(fields));
            started.elapsed()
        })
        .min()
        .unwrap_or_default();
    bytes as f64 / best.as_secs_f64() / 1e6 * f64::from(u8::from(bytes > 0))
}
