//! Runs of other shapes than one failure in the middle: the answer names the cause that `why` names, within its tokens.

use serde_json::{Value, json};

use super::agent::{Agent, Answer};
use super::{every_tool, with_events};

/// A run that is put together event by event.
struct Story {
    key: &'static str,
    events: Vec<Value>,
    spans: u64,
    /// Microseconds since its start.
    now: u64,
}

/// Why something failed.
type Reason<'a> = (&'a str, &'a str);

impl Story {
    fn begin(key: &'static str) -> Self {
        let mut story = Self { key, events: Vec::new(), spans: 0, now: 0 };
        story.open(None, "workflow:started");
        story
    }

    fn event(&mut self, span: u64, seq: u32, parent: Option<u64>, name: &str, status: &str) -> &mut Value {
        self.now += 10;
        let (seconds, micros) = (self.now / 1_000_000, self.now % 1_000_000);
        let mut event = json!({
            "trace_id": format!("{:032x}", 77), "span_id": format!("{span:016x}"), "seq": seq, "event_type": name,
            "timestamp": format!("2026-03-01T09:00:{seconds:02}.{micros:06}Z"), "status": status,
            "service": "batch", "workflow": "nightly", "correlation_id": self.key,
        });
        if let Some(parent) = parent {
            event["parent_span_id"] = json!(format!("{parent:016x}"));
        }
        self.events.push(event);
        self.events.last_mut().unwrap()
    }

    fn open(&mut self, parent: Option<u64>, name: &str) -> u64 {
        self.spans += 1;
        let span = self.spans;
        self.event(span, 0, parent, name, "pending");
        span
    }

    fn close(&mut self, span: u64, parent: Option<u64>, name: &str, reason: Option<Reason<'_>>) {
        let event = self.event(span, 1, parent, name, if reason.is_some() { "failed" } else { "success" });
        if let Some((kind, message)) = reason {
            event["error"] = json!({ "type": kind, "message": message, "chain": [] });
        }
    }

    /// A step within another, which takes no time.
    fn step(&mut self, parent: u64, name: &str, reason: Option<Reason<'_>>) -> u64 {
        let span = self.open(Some(parent), name);
        self.close(span, Some(parent), name, reason);
        span
    }

    fn fail(mut self, reason: Reason<'_>) -> Self {
        self.close(1, None, "workflow:failed", Some(reason));
        self
    }
}

/// Of 1,000 steps every other one fails for a reason of its own that the run puts up with; the last fails the run.
fn many_failures() -> Story {
    let mut story = Story::begin("many-failures");
    for batch in 0..100 {
        let parent = story.open(Some(1), "stage:batch");
        for page in 0..10 {
            let message = format!("page {page} of batch {batch} is locked");
            let reason = ("LockError", &*message);
            story.step(parent, "stage:copy-page", (page % 2 == 0).then_some(reason));
        }
        story.close(parent, Some(1), "stage:batch", None);
    }
    let reason = ("DiskError", "no space left on device");
    story.step(1, "stage:write-index", Some(reason));
    story.fail(reason)
}

/// A failure that 300 steps, each within the other, pass on.
fn deep_chain() -> Story {
    let mut story = Story::begin("deep-chain");
    let reason = ("DiskError", "no space left on device");
    let mut open = vec![1];
    for depth in 0..300 {
        let parent = *open.last().unwrap();
        story.step(parent, "stage:prepare", None);
        open.push(story.open(Some(parent), &format!("stage:level-{depth}")));
    }
    let innermost = *open.last().unwrap();
    story.step(innermost, "stage:write-page", Some(reason));
    for depth in (0..300).rev() {
        let (span, parent) = (open.pop().unwrap(), *open.last().unwrap());
        story.close(span, Some(parent), &format!("stage:level-{depth}"), Some(reason));
    }
    story.fail(reason)
}

/// Messages and names of many scripts, each longer than any answer.
fn long_messages() -> Story {
    let mut story = Story::begin("long-messages");
    let message =
        "磁盘已满 диск заполнен القرص ممتلئ ⛔🏦👩‍👩‍👧 \u{0301}Ω≈ç√∫ \"<recorded 00000000>\" \\n\t{}".repeat(400);
    let name = format!("stage:записать-страницу-{}", "ы".repeat(90));
    for page in 0..300 {
        let name = format!("stage:{}-{page}", "页".repeat(80));
        story.step(1, &name, (page % 7 == 0).then_some(("Временный::Сбой", &*message)));
    }
    let reason = ("Сбой::ДискЗаполнен", &*message);
    story.step(1, &name, Some(reason));
    story.fail(reason)
}

/// Steps that are tried again and again; one of them never succeeds.
fn retries() -> Story {
    let mut story = Story::begin("retries");
    for step in 0..60 {
        let name = format!("stage:ask-{step}");
        let attempts = if step == 59 { 40 } else { step % 4 + 1 };
        for attempt in 1..=attempts {
            let fails = attempt < attempts || step == 59;
            let message = format!("no answer within {attempt} s");
            let first = story.events.len();
            story.step(1, &name, fails.then_some(("Timeout", &*message)));
            story.events[first..].iter_mut().for_each(|event| event["attempt"] = json!(attempt));
        }
    }
    story.fail(("Timeout", "no answer within 40 s"))
}

/// Ten branches that fail beside each other, of which the first to fail brought the others down.
fn branches() -> Story {
    let mut story = Story::begin("branches");
    let open: Vec<u64> =
        (0..10).map(|branch| story.open(Some(1), &format!("stage:branch-{branch}"))).collect();
    for _ in 0..50 {
        for parent in &open {
            story.step(*parent, "stage:work", None);
        }
    }
    let reason = ("PoolError", "the connection pool is closed");
    story.step(open[3], "stage:migrate", Some(("DiskError", "no space left on device")));
    story.close(open[3], Some(1), "stage:branch-3", Some(("DiskError", "no space left on device")));
    for (branch, parent) in open.iter().enumerate().filter(|(branch, _)| *branch != 3) {
        story.close(*parent, Some(1), &format!("stage:branch-{branch}"), Some(reason));
    }
    story.fail(("DiskError", "no space left on device"))
}

#[test]
fn the_cause_that_the_command_names_is_named_in_runs_of_any_shape() {
    for story in [many_failures(), deep_chain(), long_messages(), retries(), branches()] {
        let Story { key, events, spans, .. } = story;
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        let sandbox = with_events(&lines, &[]);
        let cause = sandbox.json(&["why", key])["cause"]["span"].clone();
        let (span, name) = (cause["span_id"].as_str().unwrap(), cause["name"].as_str().unwrap());
        let beginning: String = name.chars().take(12).collect();
        let mut agent = Agent::of(&sandbox);

        // Nothing is known but that something failed.
        let found = agent.call("find_runs", &json!({ "state": ["failed"], "max_tokens": 1_300 }));
        let run = found.parts().0.split_whitespace().next().unwrap().to_owned();
        let explained = agent.call("explain_run", &json!({ "run": run, "max_tokens": 1_300 }));
        let recorded = agent.call("show_span", &json!({ "run": run, "span": span, "max_tokens": 1_300 }));
        let tokens = [&found, &explained, &recorded].map(Answer::tokens);
        println!("{key}: the cause of a run of {spans} spans takes {tokens:?} tokens");
        assert!(tokens.iter().sum::<usize>() <= 4_000, "{key}: {tokens:?}");
        for answer in [&explained, &recorded] {
            assert!(answer.parts().0.contains(&beginning), "{key}: {}", answer.text);
        }
        for (tool, question) in every_tool(key, key, span) {
            for most in [200, 500, 2_000] {
                let mut question = question.clone();
                question["max_tokens"] = json!(most);
                let answer = agent.call(tool, &question);
                assert!(answer.tokens() <= most, "{key}, {tool}: {} of {most}", answer.tokens());
                // There is one pair of marks, whatever the texts are.
                let (within, around) = answer.parts();
                if tool == "explain_run" {
                    assert!(
                        around.contains(&format!("Cause: span {span}")),
                        "{key} in {most}: {}",
                        answer.text
                    );
                    assert!(within.contains(&beginning), "{key} in {most}: {within}");
                }
                if tool == "show_run" && most == 2_000 {
                    assert!(within.contains(span), "{key}: what leads to the cause comes first: {within}");
                }
            }
        }
    }
}
