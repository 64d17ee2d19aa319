//! Names and labels as Prometheus takes them.
//!
//! The [data model](https://prometheus.io/docs/concepts/data_model/) of Prometheus and
//! [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/) allow the same letters.

use std::borrow::Cow;
use std::collections::BTreeMap;

use metrics::Label;

/// What a counter's name ends with.
pub(crate) const TOTAL: &str = "_total";

/// A name with every letter that a metric's name may not have replaced by `_`.
pub(crate) fn metric(name: &str) -> Cow<'_, str> {
    clean(name, |letter| letter.is_ascii_alphanumeric() || letter == b'_' || letter == b':')
}

/// The same for a label. Two underscores in front are Prometheus' own, so one of them goes.
fn label(name: &str) -> Cow<'_, str> {
    let clean = clean(name, |letter| letter.is_ascii_alphanumeric() || letter == b'_');
    if clean.starts_with("__") { Cow::Owned(format!("_{}", clean.trim_start_matches('_'))) } else { clean }
}

fn clean(name: &str, allowed: impl Fn(u8) -> bool) -> Cow<'_, str> {
    let starts_well = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if starts_well && name.bytes().all(&allowed) {
        return Cow::Borrowed(name);
    }
    let keep = |letter: char| u8::try_from(letter).is_ok_and(&allowed);
    let letters = name.chars().map(|letter| if keep(letter) { letter } else { '_' });
    Cow::Owned(if starts_well { letters.collect() } else { std::iter::once('_').chain(letters).collect() })
}

/// The labels of a series in the order of their names, as they are exposed: `code="200",method="GET"`.
///
/// Of two labels of one name the last counts. `reserved` is the label that the type has for itself; one of that name
/// is exposed as `exported_…`, as Prometheus does with labels that clash.
pub(crate) fn labels<'a>(
    labels: impl Iterator<Item = &'a Label>,
    reserved: Option<&str>,
    value: impl Fn(&'a Label) -> &'a str,
) -> String {
    let mut sorted = BTreeMap::new();
    for given in labels {
        let name = match label(given.key()) {
            name if Some(&*name) == reserved => Cow::Owned(format!("exported_{name}")),
            name => name,
        };
        // An empty value is no label.
        match value(given) {
            "" => sorted.remove(&name),
            value => sorted.insert(name, value),
        };
    }
    let mut text = String::new();
    for (name, value) in sorted {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&name);
        text.push_str("=\"");
        escape(&mut text, value, true);
        text.push('"');
    }
    text
}

/// The labels that [`labels`] has written.
pub(crate) fn read_labels(text: &str) -> Vec<(String, String)> {
    let (mut labels, mut rest) = (Vec::new(), text.chars());
    loop {
        let name: String = rest.by_ref().take_while(|letter| *letter != '=').collect();
        // Then a quote, the value up to the next one that is not escaped, and a comma.
        if rest.next().is_none() {
            return labels;
        }
        let mut value = String::new();
        while let Some(letter) = rest.next() {
            match letter {
                '"' => break,
                '\\' => value.extend(rest.next().map(|escaped| if escaped == 'n' { '\n' } else { escaped })),
                letter => value.push(letter),
            }
        }
        labels.push((name, value));
        rest.next();
    }
}

/// Writes a text with the three escapes that the formats know; a quote is one of them where `quotes` says so.
pub(crate) fn escape(out: &mut String, text: &str, quotes: bool) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(pairs: &[(&'static str, &'static str)]) -> String {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| Label::new(*key, *value)).collect();
        labels(pairs.iter(), Some("le"), Label::value)
    }

    #[test]
    fn names_that_are_right_stay_and_others_are_made_right() {
        let cases = [
            ("http_requests_total", "http_requests_total"),
            ("job:latency:p99", "job:latency:p99"),
            ("http.server.requests", "http_server_requests"),
            ("2xx", "_2xx"),
            ("größe", "gr__e"),
            ("", "_"),
        ];
        for (given, expected) in cases {
            assert_eq!(metric(given), expected);
        }
    }

    #[test]
    fn labels_are_sorted_escaped_and_unique() {
        assert_eq!(shown(&[("b", "2"), ("a", "1")]), r#"a="1",b="2""#);
        assert_eq!(shown(&[("path", "C:\\x\n\"y\"")]), r#"path="C:\\x\n\"y\"""#);
        assert_eq!(shown(&[("http.route", "/a"), ("http_route", "/b")]), r#"http_route="/b""#);
        assert_eq!(shown(&[("__name__", "x"), ("a:b", "y")]), r#"_name__="x",a_b="y""#);
        assert_eq!(shown(&[("le", "1"), ("empty", "")]), r#"exported_le="1""#);
    }

    proptest! {
        #[test]
        fn any_name_is_made_valid(name in any::<String>()) {
            let valid = |name: &str, colon: bool| {
                name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || colon && first == ':')
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || colon && c == ':')
            };
            prop_assert!(valid(&metric(&name), true));
            let label = label(&name);
            prop_assert!(valid(&label, false) && !label.starts_with("__"), "{label}");
        }

        #[test]
        fn labels_are_read_as_they_were_written(pairs in prop::collection::btree_map("[a-d]{1,3}", ".{1,8}|[\\\\\"\n,=]{1,4}", 0..4)) {
            let given: Vec<_> = pairs.iter().map(|(key, value)| Label::new(key.clone(), value.clone())).collect();
            let read = read_labels(&labels(given.iter(), None, Label::value));
            prop_assert_eq!(read, pairs.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_label_value_stays_on_its_line_and_in_its_quotes(value in any::<String>()) {
            let mut text = String::new();
            escape(&mut text, &value, true);
            prop_assert!(!text.contains('\n'));
            let unescaped = text.replace("\\\\", "").replace("\\\"", "");
            prop_assert!(!unescaped.contains('"'));
        }
    }
}
