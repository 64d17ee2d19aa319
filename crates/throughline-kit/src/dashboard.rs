//! [`Dashboard`] and [`Panel`]: one definition each, from which files and tables are made.

use crate::expr::{Expr, Series};

/// A page of panels.
#[derive(Debug)]
pub(crate) struct Dashboard {
    /// The name of its file, and part of its address.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Which question it answers.
    pub(crate) about: &'static str,
    pub(crate) panels: Vec<Panel>,
}

/// Answers to one question.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    /// What it shows, and what to make of it.
    pub(crate) why: &'static str,
    pub(crate) shape: Shape,
    pub(crate) unit: Unit,
    /// Of 24 columns.
    pub(crate) width: u8,
    /// The expressions, each with what its lines are called, by the labels of the catalogue.
    pub(crate) queries: Vec<(Expr, &'static str)>,
    /// How far it looks back, whatever else is shown.
    pub(crate) since: Option<&'static str>,
}

/// How a panel is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Graph,
    /// A number.
    Stat,
    /// A bar for each label.
    Bars,
    Heatmap,
    /// A row for each label, the greatest first.
    Table,
}

/// What a panel's numbers are, as Grafana calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    /// A ratio, shown in per cent.
    Share,
    Seconds,
    Bytes,
    PerSecond,
    PerMinute,
}

impl Unit {
    pub(crate) const fn of_grafana(self) -> &'static str {
        match self {
            Self::Count => "short",
            Self::Share => "percentunit",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::PerSecond => "cps",
            Self::PerMinute => "cpm",
        }
    }
}

impl Panel {
    fn new(shape: Shape, title: &'static str, unit: Unit, width: u8, why: &'static str) -> Self {
        Self { title, why, shape, unit, width, queries: Vec::new(), since: None }
    }

    pub(crate) fn graph(title: &'static str, unit: Unit, why: &'static str) -> Self {
        Self::new(Shape::Graph, title, unit, 12, why)
    }

    pub(crate) fn stat(title: &'static str, unit: Unit, why: &'static str) -> Self {
        Self::new(Shape::Stat, title, unit, 8, why)
    }

    pub(crate) fn bars(title: &'static str, unit: Unit, why: &'static str) -> Self {
        Self::new(Shape::Bars, title, unit, 12, why)
    }

    pub(crate) fn table(title: &'static str, unit: Unit, why: &'static str) -> Self {
        Self::new(Shape::Table, title, unit, 24, why)
    }

    pub(crate) fn heatmap(title: &'static str, unit: Unit, why: &'static str) -> Self {
        Self::new(Shape::Heatmap, title, unit, 24, why)
    }

    pub(crate) fn wide(self) -> Self {
        Self { width: 24, ..self }
    }

    pub(crate) fn since(self, time: &'static str) -> Self {
        Self { since: Some(time), ..self }
    }

    pub(crate) fn shows(mut self, expr: impl Into<Expr>, called: &'static str) -> Self {
        self.queries.push((expr.into(), called));
        self
    }

    /// The median, the 95th and the 99th percentile.
    pub(crate) fn percentiles(self, series: &Series) -> Self {
        let quantile = |quantile| series.clone().quantile(quantile);
        self.shows(quantile(0.5), "p50").shows(quantile(0.95), "p95").shows(quantile(0.99), "p99")
    }
}
