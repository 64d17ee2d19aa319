//! The help is part of what people see; so are the completions.

use crate::sandbox::Sandbox;

#[test]
fn the_help_of_each_command_shows_examples() {
    let sandbox = Sandbox::empty();
    insta::assert_snapshot!("help", sandbox.see(&["--help"]));
    for command in [
        "list",
        "show",
        "why",
        "compensations",
        "decisions",
        "running",
        "abandon",
        "watch",
        "serve",
        "top",
        "stats",
        "slo",
        "anomalies",
        "funnel",
        "recovery",
        "diff",
        "doctor",
        "import",
        "export",
        "prune",
        "copy",
        "outbox",
        "redact",
        "dashboards",
        "alerts",
        "routing",
        "probes",
        "logs",
        "scrape",
        "report",
        "mcp",
        "completions",
    ] {
        let help = sandbox.see(&[command, "--help"]);
        assert!(help.contains("Examples:"), "{command}");
        insta::assert_snapshot!(format!("help_{command}"), help);
    }
}

#[test]
fn there_are_completions_for_the_usual_shells() {
    let sandbox = Sandbox::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let said = sandbox.run(&["completions", shell]);
        assert_eq!(said.code, 0);
        assert!(said.stdout.contains("compensations") && said.stdout.contains("store"), "{shell}");
        let mut words = said.stdout.split(|c: char| !c.is_alphanumeric());
        assert!(!words.any(|word| ["undo", "resume"].contains(&word)), "{shell}");
    }
}
