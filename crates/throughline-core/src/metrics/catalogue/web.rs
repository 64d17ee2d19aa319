//! What browsers measure: the [Core Web Vitals](https://web.dev/articles/vitals). The vital that measured the first
//! input alone has been replaced by INP.

use super::{Alias, Counter, Description, Histogram, Kind, Metric, Unit, catalogue};

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
    WEB_ERRORS: Counter[] = "throughline_web_errors_total", Count,
        "Errors in browsers.",
        aliases: [Alias::counter("{prefix}_web_errors_total", &[])];
}
