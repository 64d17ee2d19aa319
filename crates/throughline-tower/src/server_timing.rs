//! `Server-Timing`: how long a server took, for its callers.

use std::fmt;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header in which a server reports how long it took ([Server Timing](https://www.w3.org/TR/server-timing/)).
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The metric of [`ServerTiming::queue`].
const QUEUE: &str = "queue";
/// The metric of [`ServerTiming::app`].
const APP: &str = "app";

/// How long a request waited in a server and how long it was worked on: what [`ServerLayer`](crate::ServerLayer) answers
/// with in the header `Server-Timing`, and what a client subtracts from its own time to know that of the transport.
///
/// ```
/// use std::time::Duration;
/// use throughline_tower::ServerTiming;
///
/// let timing =
///     ServerTiming { queue: Duration::from_micros(250), app: Duration::from_micros(12_345) };
/// assert_eq!(timing.to_string(), "queue;dur=0.250, app;dur=12.345");
///
/// let mut headers = http::HeaderMap::new();
/// headers.append("server-timing", "db;dur=3".parse()?);
/// headers.append("server-timing", timing.to_header());
/// assert_eq!(ServerTiming::from_headers(&headers), Some(timing));
/// # Ok::<_, http::header::InvalidHeaderValue>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerTiming {
    /// From when the layer was first asked until the service inside was called; counted in whole microseconds.
    pub queue: Duration,
    /// From then until the head of the response was there; counted in whole microseconds.
    pub app: Duration,
}

impl ServerTiming {
    /// Reads the header of a response. Metrics of other names are ignored; of several `queue` or `app` the last
    /// counts, for a layer appends its own. `None` unless both are there with a duration.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let (mut queue, mut app) = (None, None);
        for value in headers.get_all(SERVER_TIMING) {
            for metric in Parts::of(value.as_bytes(), b',') {
                let mut parts = Parts::of(metric, b';');
                let place = match parts.next().map(<[u8]>::trim_ascii) {
                    Some(name) if name == QUEUE.as_bytes() => &mut queue,
                    Some(name) if name == APP.as_bytes() => &mut app,
                    _ => continue,
                };
                *place = parts.find_map(duration).or(*place);
            }
        }
        Some(Self { queue: queue?, app: app? })
    }

    /// The value of the header.
    pub fn to_header(self) -> HeaderValue {
        let mut text = Buffer { text: [0; 64], length: 0 };
        // What is written is ASCII, and fits: it is longer than the buffer only after centuries.
        match self.write(&mut text) {
            Ok(()) => HeaderValue::from_bytes(&text.text[..text.length]),
            Err(fmt::Error) => HeaderValue::try_from(self.to_string()),
        }
        .unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        for (name, duration) in [(QUEUE, self.queue), (APP, self.app)] {
            if name == APP {
                out.write_str(", ")?;
            }
            out.write_str(name)?;
            out.write_str(";dur=")?;
            out.write_str(itoa::Buffer::new().format(duration.as_millis()))?;
            let micros = duration.subsec_micros() % 1000;
            let digit = |of: u32| char::from_digit(micros / of % 10, 10).unwrap_or('0');
            out.write_char('.')?;
            [100, 10, 1].into_iter().try_for_each(|of| out.write_char(digit(of)))?;
        }
        Ok(())
    }
}

impl fmt::Display for ServerTiming {
    /// Milliseconds with three decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// The value of a parameter `dur`: milliseconds. Whole microseconds, so that what is read is what was written.
fn duration(parameter: &[u8]) -> Option<Duration> {
    let (name, value) = parameter.split_at(parameter.iter().position(|byte| *byte == b'=')?);
    if !name.trim_ascii().eq_ignore_ascii_case(b"dur") {
        return None;
    }
    let value = value[1..].trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    let millis: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    let micros = (millis * 1e3).round();
    // What no server can mean, `NaN` included.
    (0.0..1e15).contains(&micros).then(|| Duration::from_micros(micros as u64))
}

/// The parts of a list, whose separator may also stand in quoted strings.
struct Parts<'h> {
    rest: Option<&'h [u8]>,
    separator: u8,
}

impl<'h> Parts<'h> {
    fn of(list: &'h [u8], separator: u8) -> Self {
        Self { rest: Some(list), separator }
    }
}

impl<'h> Iterator for Parts<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let list = self.rest.take()?;
        let (mut quoted, mut escaped) = (false, false);
        for (at, byte) in list.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                byte if *byte == self.separator && !quoted => {
                    self.rest = Some(&list[at + 1..]);
                    return Some(&list[..at]);
                }
                _ => {}
            }
        }
        Some(list)
    }
}

/// Text on the stack: a response's timing is not worth an allocation of its own.
struct Buffer {
    text: [u8; 64],
    length: usize,
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.text.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Option<(u128, u128)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(SERVER_TIMING, HeaderValue::from_static(value));
        }
        ServerTiming::from_headers(&headers).map(|timing| (timing.queue.as_micros(), timing.app.as_micros()))
    }

    #[test]
    fn what_is_written_is_read_again() {
        for micros in [0, 1, 999, 1000, 1_234_567, 86_400_000_000, 900_000_000_000_000] {
            let timing = ServerTiming { queue: Duration::from_micros(micros), app: Duration::from_micros(7) };
            let mut headers = HeaderMap::new();
            headers.insert(SERVER_TIMING, timing.to_header());
            assert_eq!(ServerTiming::from_headers(&headers), Some(timing), "{timing}");
        }
    }

    #[test]
    fn the_layers_own_metrics_are_found_among_others() {
        assert_eq!(read(&["queue;dur=1, app;dur=2.5"]), Some((1000, 2500)));
        assert_eq!(read(&["db;dur=9;desc=\"a, queue;dur=7\"", "queue;dur=1, app;dur=2"]), Some((1000, 2000)));
        assert_eq!(
            read(&["queue;dur=5, app;dur=6", "queue;dur=1, app;dur=2"]),
            Some((1000, 2000)),
            "the last"
        );
        assert_eq!(read(&[" queue ; DESC=x ; dur = \"1\" ,app;dur=2"]), Some((1000, 2000)));
    }

    #[test]
    fn what_is_no_duration_is_passed_over() {
        for bad in ["", "queue;dur=1", "queue;dur=x, app;dur=2", "queue;dur=-1, app;dur=2", "queue, app"] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&["queue;dur=NaN, app;dur=inf"]), None);
        assert_eq!(read(&["queue;dur=1e300, app;dur=2"]), None);
    }

    #[test]
    fn a_timing_too_long_for_the_stack_is_written_all_the_same() {
        let timing = ServerTiming { queue: Duration::MAX, app: Duration::MAX };
        assert_eq!(timing.to_header().to_str().unwrap(), timing.to_string());
    }

    proptest::proptest! {
        #[test]
        fn no_header_whatsoever_is_too_much(value in proptest::collection::vec(0x20_u8..0x7f, 0..200)) {
            let mut headers = HeaderMap::new();
            headers.insert(SERVER_TIMING, HeaderValue::from_bytes(&value).unwrap());
            let _ = ServerTiming::from_headers(&headers);
        }
    }
}
