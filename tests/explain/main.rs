//! Realistic failures, run through the public API, and what is said of them: the page as a snapshot, the origin by name,
//! every sentence checked against the events that it names.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot be played says so best by failing there")]

mod adversarial;
mod agents;
mod at_once;
mod batches;
mod believed;
mod branches;
mod by_chance;
mod cancelled;
mod checker;
mod compared;
mod consequences;
mod everyday;
mod field;
mod limits;
mod operations;
mod replaced;
mod scenario;
mod services;
mod steps;
mod stories;
mod trades;
mod useless;
mod vague;
mod weighed;

use throughline::query::Certainty;

use scenario::Played;

/// What a scenario is worth: its origin, and what else its page has to say.
const POINTS: usize = 2;

#[tokio::test]
async fn every_failure_is_explained_in_full() {
    let (mut score, mut report) = (0, String::new());
    for scenario in stories::all() {
        let played = scenario.play().await;
        let points = usize::from(played.names_origin(&scenario)) + usize::from(played.says_it_all(&scenario));
        score += points;
        report.push_str(&format!("{points} of {POINTS}  {}\n", scenario.name));
        if points < POINTS {
            report.push_str(&played.page());
        }
    }
    let full = stories::all().len() * POINTS;
    println!("{report}{score} of {full} points");
    assert_eq!(score, full, "\n{report}");
}

#[tokio::test]
async fn every_page_fits_a_screen_and_reads_as_it_did() {
    for scenario in stories::all() {
        let mut played = scenario.play().await;
        for _ in 0..5 {
            if played.is_disturbed(&scenario) {
                played = scenario.play().await;
            }
        }
        let page = played.page();
        assert!(page.lines().count() <= 50, "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
        scenario::assert_page(scenario.name, &page);
    }
}

#[tokio::test]
async fn every_sentence_rests_on_the_events_that_it_names() {
    for scenario in stories::all() {
        let played = scenario.play().await;
        checker::check(&played.explanation.statements, &played.events())
            .unwrap_or_else(|wrong| panic!("{}: {wrong}", scenario.name));
    }
}

#[tokio::test]
async fn lists_name_the_cause_that_the_explanation_names() {
    for scenario in stories::all() {
        let Played { summary, query, .. } = scenario.play().await;
        if summary.state.is_open() {
            continue;
        }
        let cause = query.explain().cause.map(|cause| (cause.span.span_id, cause.span.name));
        let listed = summary.cause.map(|cause| (cause.span_id, cause.name));
        assert_eq!(listed, cause, "{}", scenario.name);
    }
}

/// Nobody can tell these from the texts of the run itself.
const NEED_THEIR_LINKS: [&str; 4] = [
    "branches_that_fail_at_once_and_an_error_that_says_nothing",
    "branches_that_fail_at_once_with_one_error_that_they_share",
    "what_another_run_failed_with_is_not_what_was_tolerated_here",
    "of_branches_with_the_same_error_the_one_whose_error_was_returned_is_the_origin",
];

#[tokio::test]
async fn records_without_links_are_explained_in_the_same_way() {
    for scenario in stories::all() {
        let linked = scenario.play().await;
        let played = linked.without_links();
        let certainty = played.explanation.cause.as_ref().map(|cause| cause.certainty);
        assert_ne!(certainty, Some(Certainty::Linked), "{}", scenario.name);
        let is_told = played.names_origin(&scenario) || NEED_THEIR_LINKS.contains(&scenario.name);
        assert!(is_told, "{}:\n{}", scenario.name, played.page());
    }
}

/// Each example in the documentation, as lines of text: spaces taken together, times left out.
fn examples(docs: &str) -> Vec<(&str, Vec<String>)> {
    let sections = docs.split("<!-- scenario: ").skip(1);
    sections
        .map(|section| {
            let (name, rest) = section.split_once(" -->").unwrap();
            let text = rest.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
            (name, text.lines().map(scenario::words).collect())
        })
        .collect()
}

#[tokio::test]
async fn the_documentation_shows_what_is_said() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/explain.md")).unwrap();
    let examples = examples(&docs);
    assert!(examples.len() > 8, "{examples:?}");
    for (name, lines) in examples {
        let scenario = stories::all().into_iter().find(|scenario| scenario.name == name);
        let page = scenario.unwrap_or_else(|| panic!("there is no scenario {name}")).play().await.page();
        let page: Vec<String> = page.lines().map(scenario::words).collect();
        for line in lines {
            assert!(page.contains(&line), "{name}: {line}\n{page:#?}");
        }
    }
}
