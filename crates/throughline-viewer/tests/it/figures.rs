//! Each figure of the patterns leads to exactly the runs that it counts.

use std::time::Duration;

use serde_json::{Value, json};
use throughline_core::testing::run;
use throughline_core::{Status, Timestamp, TraceEvent};
use throughline_viewer::Viewer;

use crate::http::Server;
use crate::story;

/// Runs that failed for several reasons at several times: some with the error of another, or a failure before the cause.
fn troubled_runs() -> Vec<TraceEvent> {
    let began = Timestamp::now().minus(Duration::from_secs(3_000));
    let causes = [
        ("stage:score", "Timeout"),
        ("stage:score", "Timeout"),
        ("stage:score", "TimeoutOfBureau"),
        ("stage:pay", "Timeout"),
        ("stage:pay", "Refused"),
    ];
    let failed = causes.iter().enumerate().map(|(number, (stage, error))| {
        let at = began.plus(Duration::from_secs(number as u64 * 400));
        let mut run = run("loan").key(&format!("loan-{number}")).at(at);
        run.point("ai:route");
        run.edit(|event| {
            event.tags = vec!["decision".into()];
            event.status = Status::Success;
            event.data = json!({ "choice": if number < 2 { "fast" } else { "slow" } }).as_object().cloned();
        });
        // Another stage that each of them has, and that failed without being why.
        let tolerated = run.begin("stage:score");
        run.fail(tolerated, "Refused", "a first try");
        let again = run.begin("stage:score");
        if *stage == "stage:score" {
            run.fail(again, error, "no answer");
        } else {
            run.succeed(again);
            let pay = run.begin(stage);
            run.fail(pay, error, "no answer");
        }
        run.fail_run(error, "no answer");
        run.events()
    });
    let good = (0..3).map(|number| {
        let at = began.plus(Duration::from_secs(number * 500));
        let mut run = run("loan").key(&format!("good-{number}")).at(at);
        run.complete_run();
        run.events()
    });
    failed.chain(good).flatten().collect()
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn each_figure_leads_to_exactly_the_runs_that_it_counts() {
    let throughline = story::service();
    throughline.ingest(troubled_runs()).await.unwrap();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let patterns = server.ask("patterns").await;
    let mut questions = Vec::new();
    for spot in patterns["hot_spots"].as_array().unwrap() {
        let (cause, error) = (spot["event_type"].as_str().unwrap(), spot["error_type"].as_str().unwrap());
        questions.push((format!("state=failed&cause={cause}&error={error}"), number(&spot["share"]["hits"])));
    }
    assert!(questions.len() >= 4, "{questions:?}");
    for bucket in patterns["over_time"].as_array().unwrap() {
        let start: Timestamp = bucket["start"].as_str().unwrap().parse().unwrap();
        let until = start.plus(Duration::from_secs(patterns["width_s"].as_u64().unwrap()));
        let time = format!("since={start}&until={until}");
        questions.push((format!("state=failed&{time}"), number(&bucket["failed"]["hits"])));
        questions
            .push((format!("state=failed,succeeded,cancelled&{time}"), number(&bucket["failed"]["total"])));
    }
    for outcome in patterns["decisions"].as_array().unwrap() {
        let (decision, choice) = (outcome["decision"].as_str().unwrap(), outcome["choice"].as_str().unwrap());
        let question = format!("type={decision}&choice={choice}");
        questions.push((format!("{question}&state=failed"), number(&outcome["failed"]["hits"])));
        questions.push((question, number(&outcome["failed"]["total"])));
    }
    questions.push(("state=failed".to_owned(), number(&patterns["failures"]["hits"])));
    for (question, expected) in questions {
        // Page by page: an answer ends when it has been looked for long enough.
        let (mut found, mut after) = (0, String::new());
        loop {
            let listed = server.ask(&format!("runs?{question}&after={after}")).await;
            found += listed["runs"].as_array().unwrap().len();
            match listed["next"].as_str() {
                Some(next) => after = next.replace('+', "%2B"),
                None => break,
            }
        }
        assert_eq!(found, expected, "{question}");
    }
    // What is asked for so is not counted by the store.
    let counted = server.ask("counts?cause=stage:pay&error=Timeout").await;
    assert_eq!(counted["failed"], Value::Null);
}
