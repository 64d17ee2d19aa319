//! What a runbook says to do first.

use std::path::Path;

use anyhow::Context as _;

use crate::programs::Programs;

/// More of an answer is for a terminal.
const LINES: usize = 30;

/// The first command of the runbook of an alert, and what it says.
pub(crate) fn first(alert: &str, programs: &Programs, store: &Path) -> anyhow::Result<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks").join(format!("{alert}.md"));
    let page = std::fs::read_to_string(&page).with_context(|| format!("{}", page.display()))?;
    let command = page.split_once("\n## First\n").and_then(|(_, rest)| {
        let (_, block) = rest.split_once("```sh\n")?;
        block.lines().next()
    });
    let command = command.with_context(|| format!("the runbook of {alert} has no first command"))?;
    let said = programs.run(command, store)?;
    let mut lines: Vec<_> = said.lines().collect();
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    let mut shown = lines.join("\n");
    if more > 0 {
        shown.push_str(&format!("\n… and {more} more lines"));
    }
    Ok((command.to_owned(), shown))
}
