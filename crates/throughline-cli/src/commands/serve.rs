//! `throughline serve`: the pages of the viewer.

use std::path::PathBuf;

use serde::Serialize;
use throughline_viewer::{Auth, Viewer};

use crate::args::ServeArgs;
use crate::commands::first_line;
use crate::error::{Answer, CliError};
use crate::feed;
use crate::output::Screen;
use crate::store::Store;

/// The JSON of `serve`, once it listens.
#[derive(Serialize)]
struct Serving {
    url: String,
}

pub(super) async fn run(args: &ServeArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let readers = store.readers().await?;
    let mut viewer = Viewer::over(readers).redactor(store.redactor().await?);
    // Not every store can be watched. Pages are then read again by hand.
    if let Some(stream) = feed::of(args.feed.as_deref(), store).await? {
        viewer = viewer.stream(stream);
    }
    if let Some(outbox) = store.outbox()? {
        viewer = viewer.outbox(outbox);
    }
    if let Some(auth) = auth(args)? {
        viewer = viewer.auth(auth);
    }
    for path in &args.logs {
        // What is misspelt shows no lines, and nobody would know why.
        std::fs::metadata(path).map_err(|error| {
            CliError::Input(format!(
                "{}: {error}; --logs names a log file or a folder of them",
                path.display()
            ))
        })?;
        viewer = viewer.logs(path);
    }
    for host in &args.host {
        viewer = viewer.host(host);
    }
    if let Some(watchers) = args.max_watchers {
        viewer = viewer.max_watchers(watchers);
    }
    if let Some(watchers) = args.max_watchers_each {
        viewer = viewer.max_watchers_of_each_client(watchers);
    }
    let viewer = viewer.build().map_err(|error| CliError::Usage(error.to_string()))?;
    let bound = viewer.bind(args.listen).await.map_err(|error| CliError::Usage(advice(&error)))?;
    let url = format!("http://{}/", bound.address());
    if screen.wants_json() {
        screen.json_line(&Serving { url })?;
    } else {
        screen.line(format_args!("The runs of {} are shown at {url} until Ctrl-C.", store.name()))?;
    }
    screen.flush()?;
    bound.serve().await?;
    Ok(Answer::Yes)
}

/// Who is shown what; `None` if nobody has to say who they are.
fn auth(args: &ServeArgs) -> Result<Option<Auth>, CliError> {
    let token = |file: &PathBuf, option| -> Result<Auth, CliError> {
        let advice = format!("{option} names a file that has a token in it");
        Ok(Auth::bearer(first_line(file, &advice, "has no token")?))
    };
    let password = |file: &PathBuf| -> Result<Auth, CliError> {
        let line =
            first_line(file, "--password-file names a file that has NAME:PASSWORD in it", "has no password")?;
        let (name, password) = line
            .split_once(':')
            .ok_or_else(|| CliError::Input(format!("{}: expected NAME:PASSWORD", file.display())))?;
        Ok(Auth::basic(name, password))
    };
    let all = args.token_file.as_ref().map(|file| token(file, "--token-file"));
    let less = args.token_file_without_payloads.as_ref();
    let less = less.map(|file| Ok(token(file, "--token-file-without-payloads")?.without_payloads()));
    let ways = [args.password_file.as_ref().map(password), all, less];
    let ways: Vec<Auth> = ways.into_iter().flatten().collect::<Result<_, CliError>>()?;
    Ok(ways.into_iter().reduce(Auth::or))
}

/// An error of the viewer, with the options of the command in the place of its methods.
fn advice(error: &throughline_viewer::ViewerError) -> String {
    error.to_string().replace(".auth(..)", "--token-file or --password-file")
}
