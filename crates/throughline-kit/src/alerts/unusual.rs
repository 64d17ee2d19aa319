//! What is unusual: compared with the day before, and with the same hour of it.

use throughline_core::metrics::Histogram;
use throughline_core::metrics::catalogue::{
    HTTP_SERVER_REQUEST_DURATION, Metric, STEP_DURATION, WORKFLOW_DURATION,
};

use crate::alert::Severity::{Info, Warning};
use crate::alert::{Alert, Group, for_minutes};
use crate::expr::{Expr, Series, Window, buckets, count, hours, minutes, share};

const NOW: Window = minutes(10);
const DAY: Window = hours(24);
const HOUR: Window = hours(1);

/// By how many standard deviations more have to fail: less is chance once in 100,000 times. Where few fail, chance is less
/// even-handed; the correction of Cornish and Fisher says by how many failures.
const DEVIATIONS: f64 = 4.3;
const CORRECTION: f64 = 2.9;
/// How much greater a share or a time has to be.
const TIMES_AS_MANY: f64 = 1.5;
const TIMES_AS_LONG: f64 = 2.0;
/// The share of failures below which nothing is unusual: of much traffic, improbably many can still be very few.
const LEAST_SHARE: f64 = 0.001;
/// What little data is.
const LEAST_FAILED: f64 = 4.5;
/// The 95th percentile of fewer is twice as long by chance every few days.
const LEAST_NOW: f64 = 100.0;
const LEAST_BEFORE: f64 = 200.0;

/// One kind of thing: its series, and those of it that failed.
struct Of {
    all: fn() -> Series,
    failed: fn() -> Series,
    times: fn() -> Series,
}

const ALL: [Of; 3] = [
    Of {
        all: || by(&WORKFLOW_DURATION, count, &["workflow"]),
        failed: || by(&WORKFLOW_DURATION, count, &["workflow"]).with("status", "failed"),
        times: || by(&WORKFLOW_DURATION, buckets, &["workflow"]),
    },
    Of {
        all: || by(&STEP_DURATION, count, &["step_type"]),
        failed: || by(&STEP_DURATION, count, &["step_type"]).with("status", "failed"),
        times: || by(&STEP_DURATION, buckets, &["step_type"]),
    },
    Of {
        all: || by(&HTTP_SERVER_REQUEST_DURATION, count, &["http_route"]),
        failed: || {
            by(&HTTP_SERVER_REQUEST_DURATION, count, &["http_route"]).like("http_response_status_code", "5..")
        },
        times: || by(&HTTP_SERVER_REQUEST_DURATION, buckets, &["http_route"]),
    },
];

fn by<const N: usize>(
    metric: &'static Metric<Histogram, N>,
    of: fn(&'static Metric<Histogram, N>) -> Series,
    labels: &'static [&'static str],
) -> Series {
    of(metric).by(labels)
}

/// The share that failed, where it is too great for chance, for yesterday's share and for that of yesterday's same hour.
fn failures(of: &Of) -> Expr {
    let Of { all, failed, .. } = of;
    let ended = || Expr::from(all().increase(NOW));
    let now = || share(failed().increase(NOW), all().increase(NOW));
    let share_of = |window: Window, ago: Window| {
        share(failed().rate(window).offset(ago), all().rate(window).offset(ago))
    };
    // By the estimate of Krichevsky and Trofimov: that nothing failed in a day says that little does, not that nothing may.
    let usual = || {
        let ended = || Expr::from(all().increase(DAY).offset(HOUR));
        let none = ended().times(0.0);
        let failed = Expr::from(failed().increase(DAY).offset(HOUR)).or(none);
        failed.plus(Expr::Number(0.5)).over(ended().plus(Expr::Number(1.0)))
    };
    let same_hour = || share_of(HOUR, DAY);
    // By how many deviations more failed than such a share of them.
    let deviations = |share: &dyn Fn() -> Expr| {
        let deviation = share().product(Expr::Number(1.0).minus(share())).over(ended()).root();
        let beyond_chance = Expr::from(failed().increase(NOW)).minus(Expr::Number(CORRECTION)).over(ended());
        beyond_chance.minus(share()).over(deviation)
    };
    now()
        .exceeds(usual().times(TIMES_AS_MANY))
        .and(now().above(LEAST_SHARE))
        .and(deviations(&usual).above(DEVIATIONS))
        .and(Expr::from(failed().increase(NOW)).above(LEAST_FAILED))
        .and(Expr::from(all().increase(DAY).offset(HOUR)).above(LEAST_BEFORE))
        .unless(same_hour().times(TIMES_AS_MANY).exceeds(now()))
        // Where nothing failed in that hour, this is without end, and nothing is left out.
        .unless(deviations(&same_hour).below(DEVIATIONS))
}

/// The 95th percentile, where it is much longer than yesterday and than in the same hour of yesterday.
fn durations(of: &Of) -> Expr {
    let Of { all, times, .. } = of;
    let now = || times().rate(NOW).quantile(0.95);
    let before = |window, ago| times().rate(window).offset(ago).quantile(0.95).times(TIMES_AS_LONG);
    now()
        .exceeds(before(DAY, HOUR))
        .and(Expr::from(all().increase(NOW)).above(LEAST_NOW))
        .and(Expr::from(all().increase(DAY).offset(HOUR)).above(LEAST_BEFORE))
        .unless(before(HOUR, DAY).exceeds(now()))
}

/// What is so of any of them.
fn any(of: fn(&Of) -> Expr) -> Expr {
    let [workflows, steps, routes] = ALL.each_ref().map(of);
    workflows.or(steps).or(routes)
}

pub(super) fn unusual() -> Group {
    let alerts = vec![
        Alert {
            name: "UnusualFailures",
            severity: Warning,
            expr: any(failures),
            lasting: for_minutes(0),
            summary: "{{ or $labels.workflow $labels.step_type $labels.http_route \"What matches no route\" }} fails {{ $value | humanizePercentage }}, which is unusual",
            description: "Of the runs of a workflow, the steps of a type or the requests to a route, one and a half times the share of the day before failed in 10 minutes, and more than in the same hour of it, which is unlikely to be chance. Less than 1 in 1,000 is never unusual.",
            dashboard: "overview",
        },
        Alert {
            name: "UnusualDuration",
            severity: Info,
            expr: any(durations),
            lasting: for_minutes(5),
            summary: "{{ or $labels.workflow $labels.step_type $labels.http_route \"What matches no route\" }} takes {{ $value | humanizeDuration }} for 1 in 20, which is unusual",
            description: "The 95th percentile of the time of runs of a workflow, steps of a type or requests to a route is twice that of the day before, and of the same hour of it.",
            dashboard: "overview",
        },
    ];
    Group { name: "unusual", alerts }
}
