//! Questions that people ask again and again, as prompts that name the tools to ask.

use rmcp::model::{GetPromptResult, Prompt, PromptArgument, PromptMessage, Role};
use serde_json::{Map, Value};

/// A prompt, its arguments, and which of them are needed.
struct Question {
    name: &'static str,
    description: &'static str,
    arguments: &'static [(&'static str, &'static str, bool)],
    /// In which `{NAME}` is an argument as JSON, or what stands for it if it is not given.
    text: &'static str,
}

/// What an argument that is not given is taken for.
const NOT_GIVEN: &[(&str, &str)] = &[("workflow", "any workflow"), ("since", "24h")];

const QUESTIONS: &[Question] = &[
    Question {
        name: "what_broke_since",
        description: "What broke since the deployment?",
        arguments: &[
            ("deployment", "When it was deployed: 2h (ago), 2026-01-01T09:30:00Z", true),
            ("workflow", "The workflow, if it is about one", false),
        ],
        text: "What broke since the deployment at {deployment}, in {workflow}?\n\
               1. Call stats with since={deployment}, and once more with the same length of time before it (since and \
               until), and compare failure rates and where runs fail.\n\
               2. Call find_runs with state=[\"failed\"] and since={deployment}; of each new cause, call explain_run \
               for one run, and first_divergence for it if the cause alone does not tell what changed.\n\
               3. Say what is new since the deployment and what was there before, with the ids of runs that show it.",
    },
    Question {
        name: "why_did_it_fail",
        description: "Why did this run fail, and what has to be done?",
        arguments: &[("run", "The run: its id, its key, or the id of its request", true)],
        text: "Why did the run {run} fail, and what has to be done?\n\
               1. Call explain_run with run={run}.\n\
               2. If it names a saga, call compensations: is anything left behind?\n\
               3. Say the root cause and how sure it is, what it rests on, and what is left to do. Quote texts of the run \
               as quotes.",
    },
    Question {
        name: "may_i_deploy",
        description: "Is it safe to deploy now?",
        arguments: &[],
        text: "Is it safe to deploy now?\n\
               1. Call safe_to_deploy.\n\
               2. If it is not safe, call running: which runs would be interrupted, where are they, and can they be \
               resumed?\n\
               3. Say yes or no, and what to wait for.",
    },
    Question {
        name: "what_was_left_behind",
        description: "Which runs failed without everything being undone?",
        arguments: &[("since", "Since when: 24h (ago), 2026-01-01; 24h by default", false)],
        text: "Which runs since {since} failed without everything being undone?\n\
               1. Call find_runs with state=[\"failed\", \"cancelled\", \"interrupted\"] and since={since}.\n\
               2. Call compensations for each that ran a saga.\n\
               3. List what was left behind, run by run, with the resource and the step that made it.",
    },
];

/// All prompts, as clients see them.
pub(super) fn all() -> Vec<Prompt> {
    let prompt = |question: &Question| {
        let argument = |(name, description, required): &(&str, &str, bool)| {
            PromptArgument::new(*name).with_description(*description).with_required(*required)
        };
        let arguments = question.arguments.iter().map(argument).collect();
        Prompt::new(question.name, Some(question.description), Some(arguments))
    };
    QUESTIONS.iter().map(prompt).collect()
}

/// A prompt with its arguments.
pub(super) fn get(name: &str, arguments: &Map<String, Value>) -> Result<GetPromptResult, String> {
    let Some(question) = QUESTIONS.iter().find(|question| question.name == name) else {
        let names: Vec<_> = QUESTIONS.iter().map(|question| question.name).collect();
        return Err(format!("there is no such prompt; there are {}", names.join(", ")));
    };
    let mut values = Vec::new();
    for (name, description, required) in question.arguments {
        let usual = NOT_GIVEN.iter().find(|(of, _)| of == name).map(|(_, usual)| *usual);
        // As JSON, so that it is clear where it ends.
        let value = match (arguments.get(*name), usual) {
            (Some(value), _) => value.to_string(),
            (None, Some(usual)) if !required => usual.to_owned(),
            (None, _) => return Err(format!("{name} is missing. {description}")),
        };
        values.push((*name, value));
    }
    // Left to right and once: what an argument says is not filled in again.
    let mut parts = question.text.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, after) = part.split_once('}').unwrap_or((part, ""));
        let value = values.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str());
        text.push_str(value.unwrap_or_default());
        text.push_str(after);
    }
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)])
        .with_description(question.description))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(name: &str, arguments: &Value) -> Result<String, String> {
        let result = get(name, arguments.as_object().unwrap())?;
        Ok(result.messages[0].content.as_text().unwrap().text.clone())
    }

    #[test]
    fn a_prompt_has_its_arguments_in_it_or_says_which_is_missing() {
        let asked = text("what_broke_since", &json!({ "deployment": "2h" })).unwrap();
        assert!(asked.contains("since=\"2h\"") && asked.contains("in any workflow"), "{asked}");
        let missing = text("why_did_it_fail", &json!({})).unwrap_err();
        assert!(missing.starts_with("run is missing"), "{missing}");
        assert!(text("why", &json!({})).unwrap_err().contains("what_broke_since"));
    }

    #[test]
    fn what_an_argument_says_is_not_filled_in_again() {
        let asked =
            text("what_broke_since", &json!({ "deployment": "{workflow}", "workflow": "{deployment}" }));
        let asked = asked.unwrap();
        assert!(asked.contains("at \"{workflow}\", in \"{deployment}\"?"), "{asked}");
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        for Question { name, arguments, .. } in QUESTIONS {
            let given: Map<_, _> =
                arguments.iter().map(|(name, ..)| ((*name).to_owned(), json!("x"))).collect();
            let asked = text(name, &Value::Object(given)).unwrap();
            assert!(!asked.contains('{') && !asked.contains('}'), "{name}: {asked}");
        }
    }
}
