//! Who may see how much: the levels of the viewer.

use serde_json::{Value, json};

use super::agent::Agent;
use super::http::Server;
use super::{every_tool, with_events};
use crate::sandbox::{Sandbox, data_file};

/// What a store has that those do not see who see no payloads: names and values of inputs, what was chosen and why, messages of
/// errors, attributes, tags, and fields that nobody knows.
const HIDDEN: [&str; 11] = [
    "amount",
    "payload-of-tea",
    "express",
    "the customer waits",
    "was declined",
    "does not answer",
    "stock-reservation",
    "visitor-77",
    "req-4711",
    "of-acme",
    "field-of-others",
];
const ALL: &str = "tulip-42-tulip";
const LESS: &str = "daisy-42-daisy";

/// Runs of which every event has an attribute, the id of a request, a tag, and a field that nobody knows.
fn runs() -> Sandbox {
    let text = std::fs::read_to_string(data_file("saga.jsonl")).unwrap();
    let enriched = text.lines().map(|line| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        event["attrs"]["user"] = json!("visitor-77");
        event["attrs"]["request_id"] = json!("req-4711");
        let mut tags = event["tags"].as_array().cloned().unwrap_or_default();
        tags.push(json!("of-acme"));
        event["tags"] = json!(tags);
        event["data"]["remark"] = json!("payload-of-tea");
        event["remark"] = json!("field-of-others");
        format!("{event}\n")
    });
    with_events(&enriched.collect::<String>(), &[])
}

/// All that somebody is told: by every tool, every resource and every prompt, and of the server.
fn told(mut ask: impl FnMut(&str, &Value) -> Value) -> String {
    let mut told = String::new();
    let mut tell = |method: &str, params: &Value| {
        let said = ask(method, params);
        assert!(said["error"].is_null(), "{method} {params}: {said}");
        told.push_str(&said.to_string());
        said
    };
    for (tool, mut arguments) in every_tool("order-7", "order-6", "0000000000000005") {
        arguments["max_tokens"] = json!(20_000);
        tell("tools/call", &json!({ "name": tool, "arguments": arguments }));
    }
    let span = |span: u64| json!({ "run": "order-7", "span": format!("{span:016x}"), "max_tokens": 20_000 });
    (1..=7).for_each(|at| {
        tell("tools/call", &json!({ "name": "show_span", "arguments": span(at) }));
    });
    tell("resources/templates/list", &json!({}));
    let listed = tell("resources/list", &json!({}));
    for resource in listed["result"]["resources"].as_array().unwrap() {
        tell("resources/read", &json!({ "uri": resource["uri"] }));
    }
    tell("resources/read", &json!({ "uri": "throughline://run/order-7/span/0000000000000005" }));
    let prompts = tell("prompts/list", &json!({}));
    for prompt in prompts["result"]["prompts"].as_array().unwrap() {
        let names = prompt["arguments"].as_array().cloned().unwrap_or_default();
        let given: serde_json::Map<String, Value> = names
            .iter()
            .map(|given| (given["name"].as_str().unwrap().to_owned(), json!("order-7")))
            .collect();
        tell("prompts/get", &json!({ "name": prompt["name"], "arguments": given }));
    }
    told
}

#[test]
fn what_the_viewer_hides_is_in_no_answer_resource_or_prompt() {
    let sandbox = runs();
    let everything = {
        let mut agent = Agent::of(&sandbox);
        told(|method, params| agent.ask(method, params))
    };
    for hidden in HIDDEN {
        let known = everything.contains(hidden) || hidden == "field-of-others";
        assert!(known, "{hidden} is there to be hidden");
    }
    let mut agent = Agent::with(&sandbox, &["--without-payloads"]);
    let less = told(|method, params| agent.ask(method, params));
    for hidden in HIDDEN {
        assert!(!less.contains(hidden), "{hidden} is shown: {less}");
    }
    // What happened, and what it came to, is told all the same.
    for shown in
        ["stage:charge-card", "CardError::Declined", "order-7", "(not shown ", "saga:order", "ai:route"]
    {
        assert!(less.contains(shown), "{shown}: {less}");
    }
    let cause = sandbox.json(&["why", "order-7"])["cause"]["span"]["span_id"].as_str().unwrap().to_owned();
    assert!(less.contains(&format!("Cause: span {cause}")), "{less}");
    let explained = agent.call("explain_run", &json!({ "run": "order-7" }));
    assert!(explained.parts().1.contains("Not shown to you: payloads"), "{}", explained.text);
}

#[test]
fn over_http_the_token_of_each_request_says_how_much_is_shown() {
    let sandbox = runs();
    sandbox.write("all.txt", format!("{ALL}\n"));
    sandbox.write("less.txt", format!("{LESS}\n"));
    let both = ["--token-file", "all.txt", "--token-file-without-payloads", "less.txt"];
    let server = Server::of(&sandbox, &both);
    for _ in 0..2 {
        let all = told(|method, params| server.ask(ALL, method, params));
        let less = told(|method, params| server.ask(LESS, method, params));
        for hidden in HIDDEN.into_iter().filter(|hidden| *hidden != "field-of-others") {
            assert!(all.contains(hidden) && !less.contains(hidden), "{hidden}: {less}");
        }
    }
    for nobody in ["", "tulip-42-daisy", "tulip-42-tulip daisy-42-daisy"] {
        assert_eq!(server.status(&format!("Authorization: Bearer {nobody}\r\n")), 401, "{nobody}");
    }
    assert_eq!(server.status(""), 401);
    // One of the two is enough.
    let server = Server::of(&sandbox, &["--token-file-without-payloads", "less.txt"]);
    assert!(!told(|method, params| server.ask(LESS, method, params)).contains("visitor-77"));
    assert_eq!(server.status(&format!("Authorization: Bearer {ALL}\r\n")), 401);
    // And who holds the higher one sees no more than the server shows.
    let server = Server::of(&sandbox, &["--token-file", "all.txt", "--without-payloads"]);
    assert!(!told(|method, params| server.ask(ALL, method, params)).contains("visitor-77"));
}

#[test]
fn what_may_not_be_seen_cant_be_tried_out_either() {
    let sandbox = runs();
    let mut all = Agent::of(&sandbox);
    let mut less = Agent::with(&sandbox, &["--without-payloads"]);
    for (tool, arguments, said) in [
        (
            "find_runs",
            json!({ "attributes": { "user": "visitor-77" } }),
            "you may not see attributes and tags",
        ),
        (
            "find_runs",
            json!({ "attributes": { "user": "visitor-78" } }),
            "you may not see attributes and tags",
        ),
        ("find_runs", json!({ "tags": ["of-acme"] }), "you may not see attributes and tags"),
        ("decisions", json!({}), "you may not see choices"),
        // The ids of requests are attributes: one that is there is not found either.
        ("explain_run", json!({ "run": "req-4711" }), "no run has the id or key `req-4711`"),
    ] {
        let refused = less.call(tool, &arguments);
        assert!(refused.is_error && refused.text.contains(said), "{tool} {arguments}: {}", refused.text);
        assert!(!all.call(tool, &arguments).text.contains(said), "{tool} {arguments}");
    }
    assert!(!all.call("find_runs", &json!({ "attributes": { "user": "visitor-77" } })).is_error);
    // What everybody may see is found by everybody.
    for question in [json!({ "key": "order-7" }), json!({ "event_type": "stage:*", "state": ["failed"] })] {
        let found = less.call("find_runs", &question);
        assert!(!found.is_error && found.text.contains("order-7"), "{question}: {}", found.text);
    }
}

#[test]
fn a_token_that_says_two_things_is_refused() {
    let sandbox = runs();
    sandbox.write("all.txt", format!("{ALL}\n"));
    sandbox.write("same.txt", format!("{ALL}\nmore"));
    let both = ["--token-file", "all.txt", "--token-file-without-payloads", "same.txt"];
    let said = sandbox.run(&[&["mcp", "--listen", "127.0.0.1:0"], &both[..]].concat());
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("the same token is in both files"), "{}", said.stderr);
    assert!(!said.stderr.contains(ALL), "{}", said.stderr);
}
