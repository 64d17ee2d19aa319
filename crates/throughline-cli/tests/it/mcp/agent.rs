//! An agent that asks `throughline mcp` over its standard input and output, message by message.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// A server, and what it has been asked.
pub(crate) struct Agent {
    server: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    asked: u64,
}

/// What a tool answered.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) is_error: bool,
}

impl Agent {
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        Self::with(sandbox, &[])
    }

    pub(crate) fn with(sandbox: &Sandbox, options: &[&str]) -> Self {
        let mut command = sandbox.command(&[&["mcp"], options].concat());
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (questions, answers) = (server.stdin.take(), BufReader::new(server.stdout.take().unwrap()));
        let mut agent = Self { server, questions, answers, asked: 0 };
        let client = json!({ "name": "tests", "version": "1" });
        agent.ask(
            "initialize",
            &json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client }),
        );
        agent.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        agent
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.questions.as_mut().unwrap(), "{message}").unwrap();
    }

    /// Sends a request and waits for its response.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": self.asked, "method": method, "params": params }));
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Answer {
        let response = self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }));
        let result = &response["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{response}"));
        Answer { text: text.to_owned(), is_error: result["isError"] == true }
    }

    pub(crate) fn tools(&mut self) -> Vec<Value> {
        self.ask("tools/list", &json!({}))["result"]["tools"].as_array().unwrap().clone()
    }

    /// Ends the server by ending its input, and says with which code.
    pub(crate) fn leave(mut self) -> i32 {
        self.questions = None;
        self.server.wait().unwrap().code().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Answer {
    /// What is between the marks, and what is around it. There is one pair of marks or none.
    pub(crate) fn parts(&self) -> (String, String) {
        let Some((before, rest)) = self.text.split_once("<recorded ") else {
            assert!(!self.text.contains("recorded>"), "{}", self.text);
            return (String::new(), self.text.clone());
        };
        let (nonce, rest) = rest.split_once(">\n").unwrap();
        assert!(nonce.len() == 8 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()), "{nonce}");
        let end = format!("</recorded {nonce}>");
        let (within, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{}", self.text));
        for part in [before, within, after] {
            let part = part.to_ascii_lowercase();
            assert!(!part.contains("<recorded") && !part.contains("</recorded"), "{}", self.text);
        }
        (within.to_owned(), format!("{before}{after}"))
    }

    /// How many tokens it takes, by the tokenizer of those that agents use which makes more of it.
    pub(crate) fn tokens(&self) -> usize {
        tokens(&self.text)
    }
}

/// How many tokens a text takes, by the tokenizer that makes more of it.
pub(crate) fn tokens(text: &str) -> usize {
    let tokenizers = [tiktoken_rs::o200k_base_singleton(), tiktoken_rs::cl100k_base_singleton()];
    tokenizers.iter().map(|tokenizer| tokenizer.encode_ordinary(text).len()).max().unwrap_or_default()
}
