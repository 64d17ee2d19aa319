//! How gRPC reports that a call failed, which HTTP does not see: its status is 200 anyway.

use http::HeaderMap;

/// Every code but OK, by its number
/// ([gRPC](https://github.com/grpc/grpc/blob/master/doc/statuscodes.md)): what a fault is called in a text, in metrics,
/// and whether it is the server's
/// ([OTel](https://opentelemetry.io/docs/specs/semconv/rpc/grpc/)).
const CODES: [Code; 16] = [
    code("cancelled", "grpc:1", false),
    code("unknown", "grpc:2", true),
    code("invalid argument", "grpc:3", false),
    code("deadline exceeded", "grpc:4", true),
    code("not found", "grpc:5", false),
    code("already exists", "grpc:6", false),
    code("permission denied", "grpc:7", false),
    code("resource exhausted", "grpc:8", false),
    code("failed precondition", "grpc:9", false),
    code("aborted", "grpc:10", false),
    code("out of range", "grpc:11", false),
    code("unimplemented", "grpc:12", true),
    code("internal", "grpc:13", true),
    code("unavailable", "grpc:14", true),
    code("data loss", "grpc:15", true),
    code("unauthenticated", "grpc:16", false),
];

/// A code that says that a call failed.
#[derive(Debug)]
pub(crate) struct Code {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it counts under, as `grpc:14`.
    pub(crate) label: &'static str,
    /// Whether it is the server's fault rather than the client's.
    pub(crate) is_fault: bool,
}

const fn code(name: &'static str, label: &'static str, is_fault: bool) -> Code {
    Code { name, label, is_fault }
}

/// The code of a call that failed; in the trailers, or in the head if nothing else follows.
pub(crate) fn failure_in(fields: &HeaderMap) -> Option<&'static Code> {
    let number: usize = fields.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    CODES.get(number.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_number_in_its_label_and_what_is_none_is_passed_over() {
        let label_of = |value: &'static str| {
            let fields = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static(value),
            )]);
            failure_in(&fields).map(|code| code.label)
        };
        for number in ["1", "9", "14", "16"] {
            assert_eq!(label_of(number).unwrap(), format!("grpc:{number}"));
        }
        for none in ["0", "17", "-1", "", "no code"] {
            assert_eq!(label_of(none), None, "{none}");
        }
        assert!(failure_in(&HeaderMap::new()).is_none());
    }
}
