//! Questions in PromQL, asked of metrics of the catalogue by their own names and labels. [`crate::render`] writes them
//! with the names that a service has.

use std::borrow::Cow;
use std::time::Duration;

use throughline_core::metrics::catalogue::{Description, Metric};
use throughline_core::metrics::{Counter, Gauge, Histogram};

/// An expression.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Series(Box<Series>),
    /// Whether Prometheus reaches the service.
    Up,
    /// How many instances it reached so long ago; no answer if it knew of none.
    WasUp(Window),
    Number(f64),
    /// What a prober says of the service, which looks at it from outside.
    Probed(&'static str),
    /// The mean of such a series, or of [`Up`](Self::Up), over a window.
    Mean {
        of: Box<Expr>,
        over: Window,
    },
    /// The time, in seconds since 1970.
    Now,
    /// What rules have recorded under this name.
    Recorded(&'static str),
    Call {
        function: &'static str,
        parameter: Option<f64>,
        of: Box<Expr>,
    },
    Binary {
        left: Box<Expr>,
        operator: &'static str,
        right: Box<Expr>,
    },
}

/// Series of one metric, added up.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) metric: &'static Description,
    pub(crate) part: Part,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) over: Option<Over>,
    /// How long ago that was.
    pub(crate) ago: Option<Window>,
    pub(crate) aggregate: &'static str,
    /// The labels that are kept apart, besides the job.
    pub(crate) by: &'static [&'static str],
    /// Whether the labels get the names of the catalogue in the answer, so that other metrics' answers fit.
    pub(crate) own_labels: bool,
}

/// What is made of a window of each series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Rate(Window),
    Increase(Window),
    /// The value of series that were not there before. To Prometheus, a counter that appears has not grown.
    Appeared(Window),
}

/// What of a metric is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The value of a counter or a gauge.
    Value,
    /// How often something was recorded into a histogram.
    Count,
    Sum,
    Buckets,
    /// How often what was recorded into a histogram was no more than this bound of a bucket.
    Within(Duration),
}

#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    pub(crate) label: &'static str,
    pub(crate) operator: &'static str,
    pub(crate) value: Cow<'static, str>,
}

/// A window to look back over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// As short as the resolution of a graph allows.
    Graph,
    Of(Duration),
}

pub(crate) const fn minutes(count: u64) -> Window {
    Window::Of(Duration::from_secs(60 * count))
}

pub(crate) const fn hours(count: u64) -> Window {
    minutes(60 * count)
}

/// A metric whose value only goes up: a counter, or a histogram by how often something was recorded.
pub(crate) trait Counts {
    const PART: Part;
}

impl Counts for Counter {
    const PART: Part = Part::Value;
}

impl Counts for Histogram {
    const PART: Part = Part::Count;
}

pub(crate) fn count<K: Counts, const N: usize>(metric: &'static Metric<K, N>) -> Series {
    Series::new(metric.description(), K::PART)
}

pub(crate) fn level<const N: usize>(metric: &'static Metric<Gauge, N>) -> Series {
    Series::new(metric.description(), Part::Value)
}

pub(crate) fn total<const N: usize>(metric: &'static Metric<Histogram, N>) -> Series {
    Series::new(metric.description(), Part::Sum)
}

pub(crate) fn buckets<const N: usize>(metric: &'static Metric<Histogram, N>) -> Series {
    Series::new(metric.description(), Part::Buckets)
}

pub(crate) fn within<const N: usize>(metric: &'static Metric<Histogram, N>, bound: Duration) -> Series {
    Series::new(metric.description(), Part::Within(bound))
}

impl Series {
    fn new(metric: &'static Description, part: Part) -> Self {
        Self {
            metric,
            part,
            matchers: Vec::new(),
            over: None,
            ago: None,
            aggregate: "sum",
            by: &[],
            own_labels: false,
        }
    }

    fn matching(
        mut self,
        label: &'static str,
        operator: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.matchers.push(Matcher { label, operator, value: value.into() });
        self
    }

    pub(crate) fn with(self, label: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.matching(label, "=", value)
    }

    pub(crate) fn without(self, label: &'static str, value: &'static str) -> Self {
        self.matching(label, "!=", value)
    }

    pub(crate) fn like(self, label: &'static str, pattern: impl Into<Cow<'static, str>>) -> Self {
        self.matching(label, "=~", pattern)
    }

    /// How much it grows, each second.
    pub(crate) fn rate(mut self, window: Window) -> Self {
        self.over = Some(Over::Rate(window));
        self
    }

    /// By how much it grew.
    pub(crate) fn increase(mut self, window: Window) -> Self {
        self.over = Some(Over::Increase(window));
        self
    }

    /// By how much it grew, counting series that have just appeared: what happens rarely makes its series when it happens.
    pub(crate) fn growth(self, window: Window) -> Expr {
        let appeared = Self { over: Some(Over::Appeared(window)), ..self.clone() };
        Expr::from(self.increase(window)).above(0.0).or(Expr::from(appeared).above(0.0))
    }

    /// The same, so long ago.
    pub(crate) fn offset(mut self, ago: Window) -> Self {
        self.ago = Some(ago);
        self
    }

    pub(crate) fn by(mut self, labels: &'static [&'static str]) -> Self {
        self.by = labels;
        self
    }

    pub(crate) fn least(mut self) -> Self {
        self.aggregate = "min";
        self
    }

    pub(crate) fn most(mut self) -> Self {
        self.aggregate = "max";
        self
    }

    pub(crate) fn own_labels(mut self) -> Self {
        self.own_labels = true;
        self
    }

    /// The quantile of what histograms counted: `sum by (le)` of rates, or it would be one of each process since it started.
    pub(crate) fn quantile(self, quantile: f64) -> Expr {
        Expr::Call { function: "histogram_quantile", parameter: Some(quantile), of: Box::new(self.into()) }
    }
}

/// Which share of the whole a part is; 0 where there is none of the part, instead of no answer.
pub(crate) fn share(part: Series, whole: Series) -> Expr {
    let nothing = Expr::from(whole.clone()).binary("*", Expr::Number(0.0));
    Expr::from(part).or(nothing).over(whole)
}

impl Expr {
    fn binary(self, operator: &'static str, right: impl Into<Self>) -> Self {
        Self::Binary { left: Box::new(self), operator, right: Box::new(right.into()) }
    }

    fn call(self, function: &'static str, parameter: Option<f64>) -> Self {
        Self::Call { function, parameter, of: Box::new(self) }
    }

    pub(crate) fn over(self, right: impl Into<Self>) -> Self {
        self.binary("/", right)
    }

    pub(crate) fn plus(self, right: impl Into<Self>) -> Self {
        self.binary("+", right)
    }

    pub(crate) fn minus(self, right: impl Into<Self>) -> Self {
        self.binary("-", right)
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        self.binary("*", Self::Number(factor))
    }

    pub(crate) fn product(self, right: impl Into<Self>) -> Self {
        self.binary("*", right)
    }

    pub(crate) fn root(self) -> Self {
        self.binary("^", Self::Number(0.5))
    }

    pub(crate) fn exceeds(self, right: impl Into<Self>) -> Self {
        self.binary(">", right)
    }

    pub(crate) fn above(self, bound: f64) -> Self {
        self.binary(">", Self::Number(bound))
    }

    pub(crate) fn below(self, bound: f64) -> Self {
        self.binary("<", Self::Number(bound))
    }

    pub(crate) fn equals(self, value: f64) -> Self {
        self.binary("==", Self::Number(value))
    }

    pub(crate) fn differs_from(self, value: f64) -> Self {
        self.binary("!=", Self::Number(value))
    }

    pub(crate) fn or(self, right: impl Into<Self>) -> Self {
        self.binary("or", right)
    }

    pub(crate) fn and(self, right: impl Into<Self>) -> Self {
        self.binary("and", right)
    }

    pub(crate) fn unless(self, right: impl Into<Self>) -> Self {
        self.binary("unless", right)
    }

    pub(crate) fn top(self, count: u8) -> Self {
        self.call("topk", Some(f64::from(count)))
    }

    pub(crate) fn mean(self, over: Window) -> Self {
        Self::Mean { of: Box::new(self), over }
    }

    pub(crate) fn absent(self) -> Self {
        self.call("absent", None)
    }
}

impl From<Series> for Expr {
    fn from(series: Series) -> Self {
        Self::Series(Box::new(series))
    }
}
