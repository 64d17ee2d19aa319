//! `throughline completions`: a completion script for a shell.

use clap::{Command, CommandFactory};

use crate::args::{Cli, CompletionsArgs};
use crate::error::{Answer, CliError};
use crate::output::Screen;

pub(super) fn run(args: &CompletionsArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    // The generator panics when it can't write, as behind `| head`; memory always takes it.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown(), "throughline", &mut script);
    screen.writer().write_all(&script)?;
    Ok(Answer::Yes)
}

/// The command line without what the help does not show: some of the generators would offer it.
fn shown() -> Command {
    let whole = Cli::command();
    Command::new("throughline")
        .args(whole.get_arguments().cloned())
        .subcommands(whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned())
}
