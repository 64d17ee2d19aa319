//! `throughline`: asks a store what its runs did, why they failed, and what runs now.
//!
//! [`args`] is the command line, [`commands`] has a file for each command, [`output`] knows terminals and JSON,
//! [`xes`] and [`jsonl`] are what can be imported.

mod anomalies;
mod args;
mod commands;
mod error;
mod feed;
mod funnel;
#[cfg(test)]
mod fuzz;
mod input;
mod jsonl;
mod output;
mod related;
mod resolve;
mod select;
mod standing;
mod store;
mod stories;
mod xes;

use std::process::ExitCode;

use args::Cli;
use error::{Answer, CliError};
use output::Screen;

fn main() -> ExitCode {
    let cli = Cli::read();
    let mut screen = Screen::new(cli.global.color, cli.global.json);
    match answer(&cli, &mut screen) {
        Ok(answer) => answer.into(),
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // What was found before the error is worth seeing; if that fails too, the error is still said.
            let _ = screen.flush();
            screen.complain(&error);
            error.exit_code()
        }
    }
}

fn answer(cli: &Cli, screen: &mut Screen) -> Result<Answer, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(commands::run(cli, screen))?;
    screen.flush()?;
    Ok(answer)
}
