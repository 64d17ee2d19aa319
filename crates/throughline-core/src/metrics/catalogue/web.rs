//! What browsers measure: the [Core Web Vitals](https://web.dev/articles/vitals). The vital that measured the first
//! input alone has been replaced by INP.

use super::{Alias, Counter, Description, Histogram, Kind, Metric, Unit, catalogue, label};

/// Around the thresholds 1.8 s and 3 s.
const FCP_SECONDS: &[f64] = &[0.25, 0.5, 1.0, 1.4, 1.8, 2.4, 3.0, 5.0, 10.0];
/// Around 0.8 s and 1.8 s.
const TTFB_SECONDS: &[f64] = &[0.05, 0.1, 0.2, 0.4, 0.8, 1.2, 1.8, 3.0, 6.0];
/// Around the thresholds 2.5 s (good) and 4 s (poor).
const LCP_SECONDS: &[f64] = &[0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0];
/// Around 0.2 s and 0.5 s.
const INP_SECONDS: &[f64] = &[0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 1.0, 2.0];
/// Around 0.1 and 0.25.
const CLS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0];

catalogue! {
    WEB:

    WEB_LCP: Histogram[] = "throughline_web_lcp_seconds", Seconds,
        "Largest Contentful Paint: when the main content was visible.",
        buckets: LCP_SECONDS, aliases: [Alias::histogram("{prefix}_web_lcp_seconds", &[])];
    WEB_INP: Histogram[] = "throughline_web_inp_seconds", Seconds,
        "Interaction to Next Paint: how long a page took to react.",
        buckets: INP_SECONDS, aliases: [Alias::histogram("{prefix}_web_inp_seconds", &[])];
    WEB_CLS: Histogram[] = "throughline_web_cls", Count,
        "Cumulative Layout Shift: how much the layout of a page moved.",
        buckets: CLS, aliases: [Alias::histogram("{prefix}_web_cls", &[])];
    WEB_FCP: Histogram[] = "throughline_web_fcp_seconds", Seconds,
        "First Contentful Paint: when the first content was visible.",
        buckets: FCP_SECONDS, aliases: [Alias::histogram("{prefix}_web_fcp_seconds", &[])];
    WEB_TTFB: Histogram[] = "throughline_web_ttfb_seconds", Seconds,
        "Time to First Byte: when the first byte of a page came.",
        buckets: TTFB_SECONDS, aliases: [Alias::histogram("{prefix}_web_ttfb_seconds", &[])];
    WEB_ERRORS: Counter["kind"] = "throughline_web_errors_total", Count,
        "Errors in browsers: of scripts (error), unhandled rejections of promises (rejection), and what was not loaded (resource).",
        aliases: [Alias::counter("{prefix}_web_errors_total", &[])];
    WEB_REPORTS: Counter["outcome"] = "throughline_web_reports_total", Count,
        "Reports of browsers: accepted, refused as malformed or foreign, limited since too much came, or from a robot.",
        aliases: [Alias::counter("{prefix}_web_reports_total", &[label("outcome", "outcome")])];
}
