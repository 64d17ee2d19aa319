//! `throughline scrape`: the metrics page of a service, scraped from beside it.

use std::time::{Duration, Instant};

use throughline_sidecar::{History, Panel, PanelStyle, Scraper};

use crate::args::{Global, ScrapeArgs};
use crate::error::{Answer, CliError};
use crate::output::{DEFAULT_WIDTH, Screen};

/// How long a target is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &ScrapeArgs, global: &Global, screen: &mut Screen) -> Result<Answer, CliError> {
    if !["http://", "https://"].iter().any(|scheme| args.url.starts_with(scheme)) {
        return Err(CliError::Usage(
            "the page of metrics needs an address that begins with http:// or https://".into(),
        ));
    }
    // The store of the environment is another one.
    let path = args.history.as_deref().filter(|path| global.store_is_typed && !path.is_empty());
    let history = path.map(|path| History::new(path, args.max_size));
    let mut scraper = Scraper::new(&args.url, TIMEOUT);
    let (start, mut panel, mut count) = (Instant::now(), Panel::new(), 0);
    loop {
        let began = Instant::now();
        let snapshot = scraper.scrape();
        count += 1;
        if let Some(history) = &history {
            history.append(&snapshot).map_err(|error| CliError::Write(error.to_string()))?;
        }
        let is_up = snapshot.up;
        if screen.wants_json() {
            screen.json_line(&snapshot)?;
        } else {
            panel.add(snapshot);
            draw(&panel, args.rows, path, screen)?;
        }
        screen.flush()?;
        let is_over = args.times.is_some_and(|times| count >= times)
            || args.for_.is_some_and(|time| start.elapsed().saturating_add(args.every) > time);
        if is_over {
            return Ok(Answer::of(is_up));
        }
        tokio::time::sleep(args.every.saturating_sub(began.elapsed())).await;
    }
}

/// On a terminal, in the place of what was drawn before.
fn draw(panel: &Panel, rows: usize, path: Option<&str>, screen: &mut Screen) -> Result<(), CliError> {
    let style =
        PanelStyle { has_colour: screen.has_colour(), width: screen.width().unwrap_or(DEFAULT_WIDTH), rows };
    let mut text = panel.draw(style);
    if let Some(path) = path {
        text.push_str(&format!("\n  stored → {}\n", crate::output::clean(path)));
    }
    screen.redraw(&text)?;
    Ok(())
}
