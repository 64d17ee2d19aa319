//! [`Propagators`]: in which formats a context travels in the headers of requests. Reading and writing them is up to
//! `context/propagation`.

use std::fmt;
use std::str::FromStr;

/// A format in which a context travels in the headers of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Propagator {
    /// `traceparent` and `tracestate` of [W3C Trace Context](https://www.w3.org/TR/trace-context-2/).
    TraceContext,
    /// `baggage` of [W3C Baggage](https://www.w3.org/TR/baggage/).
    Baggage,
    /// `b3` of [Zipkin](https://github.com/openzipkin/b3-propagation).
    B3,
    /// `x-b3-traceid` and its kin, of the same.
    B3Multi,
    /// `uber-trace-id` and `uberctx-…` of
    /// [Jaeger](https://www.jaegertracing.io/docs/1.6/client-libraries/#propagation-format).
    Jaeger,
}

/// The formats in which a context travels in the headers of requests, in and out; by default W3C Trace Context and Baggage. What
/// is read of several formats is that of the last one which is there. Jobs carry a context in a form of their own.
///
/// ```
/// # use throughline_core::{Propagator, Propagators};
/// let propagators: Propagators = "tracecontext,b3multi".parse()?;
/// assert_eq!(propagators, Propagators::new([Propagator::TraceContext, Propagator::B3Multi]));
/// assert!("none".parse::<Propagators>()?.is_empty());
/// # Ok::<(), throughline_core::ParsePropagatorsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propagators(pub(crate) Vec<Propagator>);

impl Default for Propagators {
    fn default() -> Self {
        Self::new([Propagator::TraceContext, Propagator::Baggage])
    }
}

/// Why a text is no list of propagators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{unknown}` is no propagator: expected some of tracecontext, baggage, b3, b3multi, jaeger with commas between them, or none"
)]
pub struct ParsePropagatorsError {
    unknown: String,
}

impl FromStr for Propagators {
    type Err = ParsePropagatorsError;

    /// Reads the names that `OTEL_PROPAGATORS` has for them.
    fn from_str(text: &str) -> Result<Self, ParsePropagatorsError> {
        if text.trim() == "none" {
            return Ok(Self::new([]));
        }
        let propagator = |word: &str| match word.trim() {
            "tracecontext" => Ok(Propagator::TraceContext),
            "baggage" => Ok(Propagator::Baggage),
            "b3" => Ok(Propagator::B3),
            "b3multi" => Ok(Propagator::B3Multi),
            "jaeger" => Ok(Propagator::Jaeger),
            other => Err(ParsePropagatorsError { unknown: other.chars().take(64).collect() }),
        };
        text.split(',').map(propagator).collect::<Result<Vec<_>, _>>().map(Self::new)
    }
}

impl fmt::Display for Propagators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |propagator: &Propagator| match propagator {
            Propagator::TraceContext => "tracecontext",
            Propagator::Baggage => "baggage",
            Propagator::B3 => "b3",
            Propagator::B3Multi => "b3multi",
            Propagator::Jaeger => "jaeger",
        };
        match self.0.as_slice() {
            [] => f.write_str("none"),
            some => f.write_str(&some.iter().map(name).collect::<Vec<_>>().join(",")),
        }
    }
}

impl Propagators {
    /// These, each once.
    pub fn new(propagators: impl IntoIterator<Item = Propagator>) -> Self {
        let mut kept = Vec::new();
        for propagator in propagators {
            if !kept.contains(&propagator) {
                kept.push(propagator);
            }
        }
        Self(kept)
    }

    /// Whether no context travels at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_of_a_propagator_is_said() {
        let error = "tracecontext,xray".parse::<Propagators>().unwrap_err().to_string();
        assert!(error.contains("`xray`") && error.contains("b3multi"), "{error}");
        assert!("none,b3".parse::<Propagators>().is_err() && "".parse::<Propagators>().is_err());
    }

    #[test]
    fn each_propagator_is_named_as_it_is_read_and_counts_once() {
        for (list, expected) in [
            ("tracecontext,baggage", "tracecontext,baggage"),
            (" b3 , b3multi,b3,jaeger", "b3,b3multi,jaeger"),
            ("none", "none"),
        ] {
            assert_eq!(list.parse::<Propagators>().unwrap().to_string(), expected);
        }
    }
}
