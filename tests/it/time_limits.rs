//! Nothing is added to a moment that may be too much for it: `Instant::now() + Duration::MAX` panics, and a limit, a wait
//! or a timeout comes from whoever calls, or from another process.

use crate::source::{code, crate_folder, rust_files, without_tests};

/// What is added to the present moment in some code, unless it is a constant. Subtractions are found by clippy.
fn sums(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for moment in ["now() + ", "now + ", "UNIX_EPOCH + "] {
        for (_, rest) in code.match_indices(moment).map(|(at, _)| code.split_at(at + moment.len())) {
            let operand = rest.split([';', '\n', ',', ')']).next().unwrap_or_default();
            let name = operand.rsplit("::").next().unwrap_or_default();
            let is_constant = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if !is_constant && !operand.starts_with("Duration::from_") {
                found.push(operand);
            }
        }
    }
    found
}

#[test]
fn only_constants_are_added_to_the_present_moment() {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(crate_folder("")).unwrap() {
        for file in rust_files(&folder.unwrap().path().join("src")) {
            let is_of_tests =
                file.iter().any(|part| part == "tests" || part == "testing" || part == "tests.rs");
            let source = std::fs::read_to_string(&file).unwrap();
            let code = without_tests(&code(&source));
            let sums = sums(&code).into_iter().filter(|_| !is_of_tests);
            found.extend(sums.map(|sum| format!("{}: {sum}", file.display())));
        }
    }
    assert!(
        found.is_empty(),
        "compare `began.elapsed()` with the limit, or use `later` of core's delivery, which saturates:\n\n{}\n",
        found.join("\n")
    );
}

#[test]
fn a_sum_is_seen_unless_it_is_of_constants() {
    assert_eq!(sums("let at = Instant::now() + timeout;"), ["timeout"]);
    assert_eq!(sums("f(now + self.limit, UNIX_EPOCH + given)"), ["self.limit", "given"]);
    assert!(
        sums("(Instant::now() + INTERVAL, now + Self::INTERVAL, now + Duration::from_secs(60))").is_empty()
    );
}
