//! The dashboards, a file for each area.

mod api;
mod business;
mod calls;
mod library;
mod overview;
mod sessions;
mod uptime;
mod work;

use crate::dashboard::Dashboard;
use crate::settings::Settings;

/// Every dashboard.
pub(crate) fn all() -> Vec<Dashboard> {
    vec![
        overview::overview(),
        overview::service_health(),
        overview::objectives(),
        api::api(),
        work::workflows(),
        work::workers(),
        work::sagas(),
        work::decisions(),
        calls::transport(),
        calls::functions(),
        sessions::sessions(),
        library::library(),
        uptime::uptime(),
        business::business(),
    ]
}

/// The dashboards of a service.
pub(crate) fn of(settings: &Settings) -> Vec<Dashboard> {
    let mut all = all();
    if let [first, ..] = &*settings.funnel {
        let business = all.iter_mut().filter(|dashboard| dashboard.name == "business");
        business.for_each(|dashboard| dashboard.panels.push(business::conversion(first, &settings.funnel)));
    }
    all
}

#[cfg(test)]
mod tests {
    use throughline_core::metrics::catalogue;

    use super::all;
    use crate::dashboard::{Shape, Unit};
    use crate::expr::{Expr, Over, Part, Series};

    fn of_metric(series: &Series) -> Unit {
        match series.metric.unit {
            catalogue::Unit::Seconds => Unit::Seconds,
            catalogue::Unit::Bytes => Unit::Bytes,
            _ => Unit::Count,
        }
    }

    /// What the numbers of an expression are; nothing if a constant decides that.
    fn unit(expr: &Expr) -> Option<Unit> {
        match expr {
            Expr::Series(series) => Some(match (series.part, series.over, of_metric(series)) {
                (Part::Sum, ..) => of_metric(series),
                // Seconds in a second are a number.
                (Part::Value, Some(Over::Rate(_)), Unit::Seconds) => Unit::Count,
                (_, Some(Over::Rate(_)), _) => Unit::PerSecond,
                (_, Some(_), _) | (Part::Count, None, _) => Unit::Count,
                (_, None, unit) => unit,
            }),
            Expr::Call { function: "histogram_quantile", of, .. } => match &**of {
                Expr::Series(series) => Some(of_metric(series)),
                _ => None,
            },
            Expr::Call { of, .. } => unit(of),
            Expr::Binary { left, operator, right } => match (unit(left)?, *operator, &**right) {
                (Unit::PerSecond, "*", Expr::Number(60.0)) => Some(Unit::PerMinute),
                (left, "*", Expr::Number(0.0)) => Some(left),
                (left, by, right) if by.starts_with('/') => match unit(right)? {
                    right if right == left => Some(Unit::Share),
                    Unit::PerSecond => Some(left),
                    _ => None,
                },
                (left, ..) => unit(right).filter(|right| *right == left),
            },
            _ => None,
        }
    }

    #[test]
    fn panels_have_the_unit_of_what_they_show() {
        let mut judged = 0;
        for dashboard in all() {
            for panel in &dashboard.panels {
                for (expr, _) in &panel.queries {
                    let Some(unit) = unit(expr) else { continue };
                    // A heatmap counts, and its axis has the unit.
                    let unit = if panel.shape == Shape::Heatmap { Unit::Seconds } else { unit };
                    assert_eq!(panel.unit, unit, "{}: {}", dashboard.name, panel.title);
                    judged += 1;
                }
            }
        }
        assert!(judged > 80, "the units of {judged} queries are known");
    }

    #[test]
    fn what_lines_are_called_is_in_the_answers() {
        for dashboard in all() {
            for panel in &dashboard.panels {
                for (expr, called) in &panel.queries {
                    for label in called.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
                        let known = label == "le" || labels(expr).contains(&label);
                        assert!(known, "{}: {}: {label}", dashboard.name, panel.title);
                    }
                }
            }
        }
    }

    /// The labels that the answers to an expression have.
    fn labels(expr: &Expr) -> Vec<&'static str> {
        match expr {
            Expr::Series(series) => series.by.to_vec(),
            Expr::Call { of, .. } => labels(of),
            Expr::Binary { left, .. } => labels(left),
            Expr::Mean { of, .. } => labels(of),
            Expr::Up => vec!["instance"],
            Expr::Probed(_) => vec!["instance", "phase"],
            _ => Vec::new(),
        }
    }
}
