//! `throughline completions`: a completion script for a shell.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::error::{Answer, CliError};
use crate::output::Screen;

pub(super) fn run(args: &CompletionsArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    // The generator panics when it can't write, as behind `| head`; memory always takes it.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "throughline", &mut script);
    screen.writer().write_all(&script)?;
    Ok(Answer::Yes)
}
