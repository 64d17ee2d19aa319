//! A page of metrics, in the text format of Prometheus or in OpenMetrics, read line by line: no page is too large.

use std::borrow::Cow;
use std::io::{self, BufRead, Read as _};

use memchr::memchr2;

/// The longest line that is read; a longer one is malformed.
const LONGEST: u64 = 1 << 20;

/// A line that says something.
#[derive(Debug, PartialEq)]
pub(crate) enum Said<'a> {
    /// `# TYPE name kind`
    Type {
        name: &'a str,
        kind: Kind,
    },
    Sample(Sample<'a>),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(crate) value: f64,
}

/// What a family of series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only grows, until its process starts again.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
    /// Has percentiles that the service computed.
    Summary,
    /// The page does not say.
    Unknown,
}

/// What is known of a page once it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) samples: u64,
    /// How many lines could not be read.
    pub(crate) malformed: u64,
}

/// Reads a page to its end.
pub(crate) fn read(mut page: impl BufRead, mut each: impl FnMut(Said<'_>)) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut line = Vec::with_capacity(256);
    loop {
        line.clear();
        if page.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(summary);
        }
        if !line.ends_with(b"\n") && line.len() as u64 == LONGEST {
            summary.malformed += 1;
            skip_line(&mut page)?;
            continue;
        }
        match std::str::from_utf8(&line).ok().map(|line| parse(line.trim())) {
            Some(Ok(Some(said))) => {
                summary.samples += u64::from(matches!(said, Said::Sample(_)));
                each(said);
            }
            Some(Ok(None)) => {}
            Some(Err(Malformed)) | None => summary.malformed += 1,
        }
    }
}

fn skip_line(page: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = page.fill_buf()?;
        let (used, is_end) = match memchr::memchr(b'\n', buffer) {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        page.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

#[derive(Debug, PartialEq)]
struct Malformed;

/// What a line says; comments say nothing.
fn parse(line: &str) -> Result<Option<Said<'_>>, Malformed> {
    if let Some(comment) = line.strip_prefix('#') {
        return Ok(comment.trim_start().strip_prefix("TYPE").and_then(kind_of));
    }
    if line.is_empty() { Ok(None) } else { sample(line).map(|sample| Some(Said::Sample(sample))) }
}

fn kind_of(declared: &str) -> Option<Said<'_>> {
    if !declared.starts_with([' ', '\t']) {
        return None;
    }
    let (name, kind) = declared.trim().rsplit_once([' ', '\t'])?;
    let kind = match kind {
        "counter" => Kind::Counter,
        "gauge" | "info" | "stateset" => Kind::Gauge,
        "histogram" | "gaugehistogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        _ => Kind::Unknown,
    };
    Some(Said::Type { name: name.trim().trim_matches('"'), kind })
}

/// `name{label="value",…} 1.5 1700000000 # {trace_id="…"} 0.2`, of which what follows the value is left out.
fn sample(line: &str) -> Result<Sample<'_>, Malformed> {
    let end = line.find(['{', ' ', '\t']).ok_or(Malformed)?;
    let mut name = Cow::Borrowed(&line[..end]);
    let mut labels = Vec::new();
    let mut rest = &line[end..];
    if let Some(inner) = rest.trim_start().strip_prefix('{') {
        rest = read_labels(inner, &mut name, &mut labels)?;
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Malformed);
    }
    let value = rest.split_ascii_whitespace().next().ok_or(Malformed)?;
    let value = value.parse().map_err(|_| Malformed)?;
    Ok(Sample { name, labels, value })
}

/// Reads labels up to the brace that ends them; gives what follows it.
fn read_labels<'a>(
    mut rest: &'a str,
    name: &mut Cow<'a, str>,
    labels: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
) -> Result<&'a str, Malformed> {
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        // A name that has other letters than ASCII ones is in quotes, that of the metric within the braces.
        let label = if let Some(inner) = rest.strip_prefix('"') {
            let (label, after) = quoted(inner)?;
            rest = after.trim_start();
            label
        } else {
            let end = rest.find(['=', '}', '"', ' ']).ok_or(Malformed)?;
            let label = &rest[..end];
            rest = rest[end..].trim_start();
            Cow::Borrowed(label)
        };
        let Some(value) = rest.strip_prefix('=') else {
            if !name.is_empty() || label.is_empty() {
                return Err(Malformed);
            }
            *name = label;
            continue;
        };
        let value = value.trim_start().strip_prefix('"').ok_or(Malformed)?;
        let (value, after) = quoted(value)?;
        labels.push((label, value));
        rest = after;
    }
}

/// A text up to its closing quote, and what follows that.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), Malformed> {
    let mut unescaped: Option<String> = None;
    let mut start = 0;
    loop {
        let at = start + memchr2(b'"', b'\\', &text.as_bytes()[start..]).ok_or(Malformed)?;
        let piece = &text[start..at];
        if text.as_bytes()[at] == b'"' {
            let whole = match unescaped {
                Some(beginning) => Cow::Owned(beginning + piece),
                None => Cow::Borrowed(piece),
            };
            return Ok((whole, &text[at + 1..]));
        }
        let unescaped = unescaped.get_or_insert_default();
        unescaped.push_str(piece);
        let escaped = text[at + 1..].chars().next().ok_or(Malformed)?;
        match escaped {
            'n' => unescaped.push('\n'),
            '"' | '\\' => unescaped.push(escaped),
            // No other escapes are known: it is a backslash.
            other => unescaped.extend(['\\', other]),
        }
        start = at + 1 + escaped.len_utf8();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples(page: &str) -> (Vec<String>, Summary) {
        let mut said = Vec::new();
        let summary = read(page.as_bytes(), |line| {
            said.push(match line {
                Said::Type { name, kind } => format!("{name}: {kind:?}"),
                Said::Sample(Sample { name, labels, value }) => format!("{name} {labels:?} {value}"),
            });
        });
        (said, summary.unwrap())
    }

    #[test]
    fn both_formats_are_read() {
        let page = r#"
# HELP http_requests_total Requests. With \\ and "quotes"
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{ method = "post" , path="C:\\DIR\\\"x\"\n", } 3
metric_without_labels 12.47
  spaced	{a="}"}	+Inf
something_weird{problem="division by zero"} NaN -3982045
# TYPE acme_latency histogram
acme_latency_bucket{le="0.1"} 8 # {trace_id="abc",x="}"} 0.067 1520879607.7
acme_latency_count 17
# TYPE "http.requests" counter
{"http.requests","http.method"="get",plain="ü"} 1e3
# UNIT acme_latency seconds
# EOF
"#;
        let (said, summary) = samples(page);
        insta::assert_snapshot!(said.join("\n"));
        assert_eq!(summary, Summary { samples: 8, malformed: 0 });
    }

    #[test]
    fn lines_that_cannot_be_read_are_counted_and_the_others_are_read() {
        let page = "good 1\n1bad 2\nno_value\nbad{a=\"1\" 2\nbad{a=1} 2\nbad{a} 2\nbad 1x\n{} 1\n{\"a\",\"b\"} 1\ngood 2";
        let (said, summary) = samples(page);
        assert_eq!(said, ["good [] 1", "good [] 2"]);
        assert_eq!(summary, Summary { samples: 2, malformed: 8 });
        let bytes = [b"good 1\nbad{a=\"\xff\"} 1\n", &[b'x'; 3 << 20][..], b"\ngood 2\n"].concat();
        let mut count = 0;
        let summary = read(&*bytes, |_| count += 1).unwrap();
        assert_eq!((count, summary.malformed), (2, 2));
    }

    proptest! {
        #[test]
        fn any_labels_are_read_as_they_were_written(
            labels in proptest::collection::vec(("[a-z_][a-z0-9_]{0,8}", "\\PC{0,12}|[\"\\\\\n}{,=]{0,6}"), 0..5),
            value in any::<f64>().prop_filter("of numbers", |value| !value.is_nan()),
        ) {
            let escape = |text: &str| text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let written: Vec<_> = labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escape(text))).collect();
            let line = format!("metric{{{}}} {value:e}", written.join(","));
            let mut found = Vec::new();
            read(line.as_bytes(), |said| if let Said::Sample(sample) = said {
                found = sample.labels.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
                assert_eq!(sample.value, value);
            }).unwrap();
            prop_assert_eq!(found, labels);
        }

        #[test]
        fn no_page_is_too_odd_to_be_read(page in "(\\PC|[\"\\\\\n{}=# ,]){0,200}") {
            read(page.as_bytes(), |_| ()).unwrap();
        }
    }
}
