//! Writes families as text.
//!
//! Both formats have the same series: counters end in `_total`, and bounds are written as OpenMetrics wants them.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use throughline_core::metrics::catalogue::Kind;

use crate::ExpositionFormat;
use crate::family::{Count, Family, Level};
use crate::histogram::{Bucket, Histogram, Sample};
use crate::name;
use crate::registry::{AnyFamily, Described, Registry};

/// Every metric that is there.
pub(crate) fn render(registry: &Registry, format: ExpositionFormat, size_hint: usize) -> String {
    let mut page = Page { out: String::with_capacity(size_hint), format };
    for family in registry.families() {
        let described = registry.described(family.name());
        match &family {
            AnyFamily::Counter(family) => page.counters(family, described),
            AnyFamily::Gauge(family) => page.gauges(family, described),
            AnyFamily::Histogram(family) => page.histograms(family, described),
        }
    }
    if format == ExpositionFormat::OpenMetrics {
        page.out.push_str("# EOF\n");
    }
    page.out
}

struct Page {
    out: String,
    format: ExpositionFormat,
}

impl Page {
    fn counters(&mut self, family: &Family<Arc<Count>>, described: Option<Described>) {
        self.head(Kind::Counter, &family.name, described);
        for (labels, count) in &*family.series() {
            self.sample(&family.name, name::TOTAL, labels, None);
            match count.parts() {
                (whole, 0.0) => self.put(format_args!("{whole}")),
                (whole, read) => self.number(whole as f64 + read),
            }
            self.out.push('\n');
        }
    }

    fn gauges(&mut self, family: &Family<Arc<Level>>, described: Option<Described>) {
        self.head(Kind::Gauge, &family.name, described);
        for (labels, level) in &*family.series() {
            self.sample(&family.name, "", labels, None);
            self.number(f64::from_bits(level.load(Ordering::Relaxed)));
            self.out.push('\n');
        }
    }

    fn histograms(&mut self, family: &Family<Arc<Histogram>>, described: Option<Described>) {
        self.head(Kind::Histogram, &family.name, described);
        for (labels, histogram) in &*family.series() {
            let (buckets, sum) = histogram.read();
            for Bucket { le, cumulative, exemplar } in &buckets {
                self.sample(&family.name, "_bucket", labels, Some(*le));
                self.put(format_args!("{cumulative}"));
                if let Some(sample) =
                    exemplar.as_ref().filter(|_| self.format == ExpositionFormat::OpenMetrics)
                {
                    self.exemplar(sample);
                }
                self.out.push('\n');
            }
            // OpenMetrics has no sum that may fall, and no count without a sum.
            if histogram.is_signed() && self.format == ExpositionFormat::OpenMetrics {
                continue;
            }
            self.sample(&family.name, "_sum", labels, None);
            self.number(sum);
            self.out.push('\n');
            self.sample(&family.name, "_count", labels, None);
            self.put(format_args!("{}", buckets.last().map_or(0, |bucket| bucket.cumulative)));
            self.out.push('\n');
        }
    }

    fn head(&mut self, kind: Kind, family: &str, described: Option<Described>) {
        let open = self.format == ExpositionFormat::OpenMetrics;
        let suffix = if kind == Kind::Counter && !open { name::TOTAL } else { "" };
        let (unit, help) = match &described {
            Some(Described { unit, help }) => (unit.map(|unit| unit.as_str()), &**help),
            None => (None, "Not described by the code that records it."),
        };
        self.put(format_args!("# HELP {family}{suffix} "));
        name::escape(&mut self.out, help, open);
        self.put(format_args!("\n# TYPE {family}{suffix} {}\n", kind.as_str()));
        // OpenMetrics has a unit only where the name says so too.
        let named = |unit: &&str| family.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'));
        if let Some(unit) = unit.filter(named).filter(|_| open) {
            self.put(format_args!("# UNIT {family} {unit}\n"));
        }
    }

    fn sample(&mut self, family: &str, suffix: &str, labels: &str, le: Option<f64>) {
        self.out.push_str(family);
        self.out.push_str(suffix);
        if le.is_some() || !labels.is_empty() {
            self.out.push('{');
            self.out.push_str(labels);
            if let Some(le) = le {
                self.out.push_str(if labels.is_empty() { "le=\"" } else { ",le=\"" });
                self.bound(le);
                self.out.push('"');
            }
            self.out.push('}');
        }
        self.out.push(' ');
    }

    fn exemplar(&mut self, sample: &Sample) {
        let (trace, span) = (sample.run.trace_id, sample.run.span_id);
        self.put(format_args!(" # {{trace_id=\"{trace}\",span_id=\"{span}\"}} "));
        self.number(sample.value);
        let micros = sample.at.as_micros();
        self.put(format_args!(" {}.{:03}", micros / 1_000_000, micros % 1_000_000 / 1000));
    }

    /// A bound: `0.005`, `1.0`, `1e+06`, `+Inf`. OpenMetrics prescribes how, for a bound is part of a series' name.
    fn bound(&mut self, bound: f64) {
        let start = self.out.len();
        self.number(bound);
        if !self.out[start..].contains(['.', 'e', 'I']) {
            self.out.push_str(".0");
        }
    }

    /// A number as Go writes it with `%g`: large and small ones with an exponent of at least two digits.
    fn number(&mut self, number: f64) {
        if number.is_nan() {
            return self.out.push_str("NaN");
        }
        if number.is_infinite() {
            return self.out.push_str(if number > 0.0 { "+Inf" } else { "-Inf" });
        }
        if number == 0.0 || (1e-4..1e6).contains(&number.abs()) {
            return self.put(format_args!("{number}"));
        }
        let scientific = format!("{number:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        self.put(format_args!("{mantissa}e{sign}{digits:0>2}"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f64) -> String {
        let mut page = Page { out: String::new(), format: ExpositionFormat::OpenMetrics };
        page.number(number);
        page.out
    }

    fn written_as_bound(number: f64) -> String {
        let mut page = Page { out: String::new(), format: ExpositionFormat::OpenMetrics };
        page.bound(number);
        page.out
    }

    #[test]
    fn numbers_are_written_as_go_does() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (1_048_576.0, "1.048576e+06"),
            (1e100, "1e+100"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (number, text) in cases {
            assert_eq!(written(number), text);
        }
    }

    #[test]
    fn bounds_are_written_as_openmetrics_wants_them() {
        let cases = [(0.005, "0.005"), (1.0, "1.0"), (10.0, "10.0"), (1e6, "1e+06"), (f64::INFINITY, "+Inf")];
        for (bound, text) in cases {
            assert_eq!(written_as_bound(bound), text);
        }
    }
}
