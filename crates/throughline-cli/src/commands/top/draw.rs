//! Draws a [`Board`].

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table};
use throughline_core::{OpenRun, Rate, RunState, RunSummary, Timestamp};

use super::board::Board;
use crate::output::{clean, failure_of, group, kind_of, micros, moment, name_of};

/// How many columns a time takes, as `59 min 59 s`.
const TIME: u16 = 11;
/// From how many columns on there is room for what is good to know.
const ROOMY: u16 = 80;

/// Draws everything, as much of it as there is room for.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, name: &str, is_held: bool) {
    let rows = [
        Constraint::Length(2),
        Constraint::Length(4),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [head, rates, running, failing, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(headline(board, name)), head);
    draw_rates(frame, board, rates);
    draw_open(frame, board, running);
    draw_failed(frame, board, failing);
    let held = if is_held { "held still, space continues" } else { "space holds still" };
    frame.render_widget(Paragraph::new(format!("q leaves  r reads again  {held}")).dim(), foot);
}

fn headline<'a>(board: &'a Board, name: &'a str) -> Vec<Line<'a>> {
    let count = |number: usize| group(number as u64);
    let mut counts = vec![
        Span::from(format!("{} running", count(board.running))).cyan(),
        Span::from(format!(", {} interrupted", count(board.interrupted))),
    ];
    if let Some(failures) = board.failures {
        let share = format!(", {} of {} failed", group(failures.hits), group(failures.total));
        counts.push(if failures.hits > 0 { Span::from(share).red() } else { Span::from(share) });
        counts.push(Span::from(format!(" within the hour ({:.1} %)", failures.ratio() * 100.0)));
    }
    let mut second = Line::from(counts);
    if let Some(trouble) = &board.trouble {
        second = Line::from(format!("The store can't be read: {}", clean(trouble))).red();
    }
    vec![
        Line::from(vec![Span::from(clean(name)).bold(), Span::from(format!("  {}", moment(board.now)))]),
        second,
    ]
}

fn draw_rates(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let Some(minutes) = &board.minutes else {
        return frame
            .render_widget(Paragraph::new("This store does not count runs by the minute.").dim(), area);
    };
    let [all, failed] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    chart(frame, all, "ended runs a minute", minutes, |rate| rate.total, Color::Cyan);
    chart(frame, failed, "failed runs a minute", minutes, |rate| rate.hits, Color::Red);
}

/// One bar for each minute, the last at the right.
fn chart(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    minutes: &[Rate],
    of: fn(&Rate) -> u64,
    color: Color,
) {
    let values: Vec<u64> = minutes.iter().map(of).collect();
    let shown = &values[values.len().saturating_sub(usize::from(area.width))..];
    let most = shown.iter().copied().max().unwrap_or(0);
    let title = format!("{title}, up to {}", group(most));
    let block = Block::new().borders(Borders::TOP).title(title);
    frame.render_widget(Sparkline::default().block(block).data(shown).style(Style::new().fg(color)), area);
}

fn draw_open(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let row = |run: &OpenRun| {
        let OpenRun { summary, current, last_event, .. } = run;
        let step = current.as_ref().map_or_else(String::new, |step| {
            let attempt = step.attempt.filter(|attempt| *attempt > 1);
            let attempt = attempt.map_or_else(String::new, |attempt| format!(" attempt {attempt}"));
            format!("{}{attempt}", clean(&step.name))
        });
        Row::new([
            Cell::from(name_of(summary)),
            Cell::from(summary.state.to_string()).style(color(summary.state)),
            Cell::from(clean(kind_of(summary)).into_owned()),
            Cell::from(step),
            Cell::from(since(board.now, summary.started)),
            Cell::from(since(board.now, *last_event)),
        ])
    };
    let widths = [
        Constraint::Fill(2),
        roomy(area, Constraint::Length(11)),
        roomy(area, Constraint::Fill(2)),
        Constraint::Fill(3),
        Constraint::Length(TIME),
        roomy(area, Constraint::Length(TIME)),
    ];
    let head = ["RUNNING", "STATE", "WORKFLOW", "CURRENT STEP", "AGE", "QUIET FOR"];
    table(frame, area, head, board.open.iter().map(row), widths, "Nothing is running.");
}

fn draw_failed(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let row = |run: &RunSummary| {
        let cause = run.cause.as_ref().or(run.first_failure.as_ref());
        Row::new([
            Cell::from(name_of(run)),
            Cell::from(clean(kind_of(run)).into_owned()),
            Cell::from(since(board.now, run.started)),
            Cell::from(cause.map_or_else(String::new, |cause| clean(&failure_of(cause)).into_owned()))
                .style(color(run.state)),
        ])
    };
    let widths = [
        Constraint::Fill(2),
        roomy(area, Constraint::Fill(2)),
        Constraint::Length(TIME),
        Constraint::Fill(5),
    ];
    let head = ["FAILED", "WORKFLOW", "AGO", "CAUSE"];
    table(frame, area, head, board.failed.iter().map(row), widths, "No run of the last hour failed.");
}

fn table<'a, const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    head: [&'a str; N],
    rows: impl ExactSizeIterator<Item = Row<'a>>,
    widths: [Constraint; N],
    nothing: &'a str,
) {
    let block = Block::new().borders(Borders::TOP);
    if rows.len() == 0 {
        return frame.render_widget(Paragraph::new(nothing).block(block).dim(), area);
    }
    frame.render_widget(Table::new(rows, widths).header(Row::new(head).bold()).block(block), area);
}

/// A column that is left out where there is little room.
fn roomy(area: Rect, width: Constraint) -> Constraint {
    if area.width >= ROOMY { width } else { Constraint::Length(0) }
}

fn since(now: Timestamp, then: Timestamp) -> String {
    micros(u64::try_from(now.since(then).as_micros()).unwrap_or(u64::MAX))
}

fn color(state: RunState) -> Style {
    match state {
        RunState::Failed => Style::new().red(),
        RunState::Running => Style::new().cyan(),
        RunState::Interrupted | RunState::Unfinished | RunState::Cancelled => Style::new().yellow(),
        RunState::Succeeded => Style::new().green(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use throughline_core::testing::run;
    use throughline_core::{MemoryStore, Throughline, TraceEvent};

    use super::*;

    /// The time of the last event of the runs below, and a little more.
    const NOW: Timestamp = Timestamp::from_micros(1_772_357_500_000_000);

    fn later(events: Vec<TraceEvent>, seconds: u64) -> Vec<TraceEvent> {
        let moved = |mut event: TraceEvent| {
            event.timestamp = event.timestamp.plus(Duration::from_secs(seconds));
            event
        };
        events.into_iter().map(moved).collect()
    }

    /// A service with a run that is at work, one that failed and some that succeeded.
    async fn store() -> (MemoryStore, Throughline) {
        let store = MemoryStore::new();
        let throughline = Throughline::builder("loans").store(store.clone()).build().unwrap();
        throughline.workflow("warm-up").run_infallible(|_| async {}).await.unwrap();
        let alive = store.events()[0].instance;
        let mut open = run("loan-approval").key("loan-42").instance(alive);
        open.begin("stage:manual-review");
        let mut failed = run("loan-approval").key("loan-7\u{1b}[2J").instance(alive);
        let step = failed.begin("stage:sign");
        failed.fail(step, "Timeout", "nobody answered");
        failed.fail_run("Timeout", "nobody answered");
        for (seconds, events) in [(0, open.events()), (30, failed.events())] {
            throughline.ingest(later(events, seconds)).await.unwrap();
        }
        for number in 0..5 {
            let mut good = run("mail").key(&format!("mail-{number}")).instance(alive);
            good.complete_run();
            throughline.ingest(later(good.events(), 60)).await.unwrap();
        }
        (store, throughline)
    }

    fn seen(board: &Board, (width, height): (u16, u16), is_held: bool) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, board, "sqlite:traces.db", is_held)).unwrap();
        terminal.backend().to_string()
    }

    #[tokio::test]
    async fn what_runs_what_failed_and_the_rates_are_on_the_screen() {
        let (store, _throughline) = store().await;
        let mut board = Board::read(&store.readers(), NOW).await.unwrap();
        let screen = seen(&board, (100, 20), false);
        assert!(!screen.contains('\u{1b}'), "{screen}");
        insta::assert_snapshot!("screen", screen);
        board.trouble = Some("the disk is gone".into());
        let screen = seen(&board, (100, 20), true);
        assert!(screen.contains("The store can't be read: the disk is gone"), "{screen}");
        assert!(screen.contains("space continues"), "{screen}");
    }

    #[tokio::test]
    async fn any_size_of_a_screen_is_drawn_on() {
        let (store, _throughline) = store().await;
        let board = Board::read(&store.readers(), NOW).await.unwrap();
        for size in [(1, 1), (10, 3), (36, 8), (200, 60)] {
            seen(&board, size, false);
        }
        insta::assert_snapshot!("narrow", seen(&board, (40, 14), false));
    }

    #[tokio::test]
    async fn an_empty_store_says_so() {
        let board = Board::read(&MemoryStore::new().readers(), NOW).await.unwrap();
        let screen = seen(&board, (60, 12), false);
        assert!(
            screen.contains("Nothing is running.") && screen.contains("No run of the last hour failed."),
            "{screen}"
        );
    }
}
