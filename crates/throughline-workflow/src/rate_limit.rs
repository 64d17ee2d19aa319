//! [`RateLimits`]: how many more calls a dependency will take, as it says itself.

mod headers;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use throughline_core::metrics::{Gauge, catalogue};
use throughline_core::{Text, Throughline};

pub use headers::RateLimit;

/// Below this share of the limit a warning is logged, by default.
const WARN_BELOW: f64 = 0.1;

/// Watches the rate limit of one dependency by the headers of its answers. Cheap to clone; clones watch together.
///
/// Shown as `throughline_dependency_rate_limit_remaining{kind, target}`; give it the kind and target that
/// [`TraceContext::dependency`](throughline_core::TraceContext::dependency) is given. When less than a tenth is left a
/// warning is logged, once until there is more again.
///
/// ```
/// use throughline_core::{BoxError, Throughline, TraceContext};
/// use throughline_workflow::RateLimits;
///
/// # async fn get(_: &str) -> Result<http::Response<String>, BoxError> { Ok(http::Response::default()) }
/// # async fn example(throughline: Throughline, ctx: TraceContext) -> Result<(), BoxError> {
/// let github = RateLimits::new(&throughline, "http", "github"); // once, and kept
///
/// let issues = ctx
///     .dependency("http", "github", async {
///         let response = get("/issues").await?;
///         github.observe(response.headers());
///         Ok::<_, BoxError>(response.into_body())
///     })
///     .await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RateLimits {
    watch: Arc<Watch>,
    warn_below: f64,
}

struct Watch {
    kind: Text,
    target: Text,
    remaining: Gauge,
    is_low: AtomicBool,
}

impl RateLimits {
    /// Watches one dependency. `kind` is a word such as `http`, `target` the name of what is called.
    pub fn new(throughline: &Throughline, kind: &str, target: &str) -> Self {
        let found = |text: &str| Text::from(throughline.redactor().findable(None, text));
        let watch = Watch {
            kind: found(kind),
            target: found(target),
            remaining: throughline
                .meter()
                .gauge(&catalogue::DEPENDENCY_RATE_LIMIT_REMAINING)
                .with([kind, target]),
            is_low: AtomicBool::new(false),
        };
        Self { watch: Arc::new(watch), warn_below: WARN_BELOW }
    }

    /// The share of the limit, from 0 to 1, below which a warning is logged; 0.1 by default. If the headers say how many
    /// calls are left but not the limit, a warning is logged when none is left.
    #[must_use = "it returns the watch"]
    pub fn warn_below(mut self, share: f64) -> Self {
        self.warn_below = share;
        self
    }

    /// Reads the headers of an answer: the `HeaderMap` of the crate `http`, or any pairs of name and value. See
    /// [`RateLimit::of`] for those that are understood. Returns what they say, `None` if they say nothing about a rate
    /// limit.
    ///
    /// ```
    /// # use throughline_core::Throughline;
    /// # use throughline_workflow::RateLimits;
    /// # let throughline = Throughline::builder("ci").disabled(true).build()?;
    /// let github = RateLimits::new(&throughline, "http", "github");
    /// let limit = github.observe([("X-RateLimit-Limit", "5000"), ("X-RateLimit-Remaining", "4987")]);
    /// assert_eq!(limit.and_then(|limit| limit.remaining), Some(4987));
    /// # Ok::<(), throughline_core::BuildError>(())
    /// ```
    pub fn observe<N, V>(&self, headers: impl IntoIterator<Item = (N, V)>) -> Option<RateLimit>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let limit = RateLimit::of(headers, SystemTime::now())?;
        if let Some(remaining) = limit.remaining {
            self.note(&limit, remaining);
        }
        Some(limit)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float, and a share of a limit is rough anyway"
    )]
    fn note(&self, observed: &RateLimit, remaining: u64) {
        let watch = &*self.watch;
        watch.remaining.set(remaining as f64);
        let low = match observed.limit {
            Some(limit) => (remaining as f64) < limit as f64 * self.warn_below,
            None => false,
        };
        let is_low = low || remaining == 0;
        if watch.is_low.swap(is_low, Ordering::Relaxed) || !is_low {
            return;
        }
        tracing::warn!(
            target: "throughline",
            kind = %watch.kind,
            dependency = %watch.target,
            remaining,
            limit = observed.limit,
            reset_seconds = observed.reset.map(|reset| reset.as_secs()),
            "the rate limit is nearly used up"
        );
    }
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits")
            .field("kind", &self.watch.kind)
            .field("target", &self.watch.target)
            .field("warn_below", &self.warn_below)
            .finish_non_exhaustive()
    }
}
