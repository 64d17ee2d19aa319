//! The formats of a scrape, and which one a client wants.

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExpositionFormat {
    /// Prometheus'
    /// [text format 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format): what
    /// every scraper reads. It has no exemplars.
    #[default]
    Text,
    /// [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), with exemplars.
    OpenMetrics,
}

impl ExpositionFormat {
    /// The value of the `Content-Type` header that says so.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that a client wants by its `Accept` header
    /// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#name-accept)): OpenMetrics if it is named and liked no less
    /// than text, else text, which is also what a client gets that likes neither.
    pub fn accepted(accept: &str) -> Self {
        // OpenMetrics has to be asked for by name: who accepts anything is a browser or curl.
        let open = accept.split(',').filter_map(|range| quality(range, &["application/openmetrics-text"]));
        let text = accept.split(',').filter_map(|range| quality(range, &["text/plain", "text/*", "*/*"]));
        let (open, text) = (open.fold(0.0, f64::max), text.fold(0.0, f64::max));
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// How much a range is liked, if it is one of these types.
fn quality(range: &str, types: &[&str]) -> Option<f64> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?;
    if !types.iter().any(|known| media.eq_ignore_ascii_case(known)) {
        return None;
    }
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some(
        weight.map_or(1.0, |weight| {
            weight.parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0)
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_gets_what_it_likes_best_and_can_read() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let cases = [
            (prometheus_2, ExpositionFormat::OpenMetrics),
            (prometheus_3, ExpositionFormat::OpenMetrics),
            ("application/openmetrics-text", ExpositionFormat::OpenMetrics),
            ("text/plain, application/openmetrics-text;q=0.5", ExpositionFormat::Text),
            ("application/openmetrics-text;q=0", ExpositionFormat::Text),
            ("application/openmetrics-text;q=nonsense", ExpositionFormat::Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", ExpositionFormat::Text),
            ("application/json", ExpositionFormat::Text),
            ("*/*", ExpositionFormat::Text),
            ("", ExpositionFormat::Text),
        ];
        for (accept, format) in cases {
            assert_eq!(ExpositionFormat::accepted(accept), format, "{accept}");
        }
    }
}
