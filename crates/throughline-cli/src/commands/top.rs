//! `throughline top`: what runs, what fails, and how much of it, on a screen that is kept up to date.

mod board;
mod draw;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use throughline_core::{EventStream, Readers, Timestamp, TraceStream, WatchRequest};
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use board::Board;

use crate::args::TopArgs;
use crate::error::{Answer, CliError};
use crate::feed;
use crate::output::Screen;
use crate::store::Store;

/// How often the store is read at most, however much happens.
const AT_MOST: Duration = Duration::from_millis(500);
/// How many events are taken together: where there are always more, the store is read all the same.
const AT_ONCE: usize = 10_000;

pub(super) async fn run(args: &TopArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    if screen.wants_json() || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "`top` is a screen, and needs a terminal; `throughline running` and `throughline stats` say the same once, also with \
             --json"
                .into(),
        ));
    }
    // What can't be read is said before the screen is taken.
    let readers = store.readers().await?;
    let stream = feed::of(args.feed.as_deref(), store).await?;
    let board = Board::read(&readers, Timestamp::now()).await?;
    let (tell, keys) = mpsc::channel(16);
    // Before the screen is taken: a signal that comes meanwhile must not end the process with the screen.
    leave_on_signals(&tell)?;
    let mut terminal = ratatui::try_init()?;
    read_keys(tell);
    let shown = show(&mut terminal, keys, board, &readers, stream, args.every, store.name()).await;
    ratatui::try_restore()?;
    shown.map(|()| Answer::Yes)
}

/// What somebody pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pressed {
    Leave,
    Again,
    Hold,
    /// The screen has another size.
    Resized,
}

impl Pressed {
    fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Resize(..) => Some(Self::Resized),
            Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
                KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    Some(Self::Leave)
                }
                KeyCode::Char('q') | KeyCode::Esc => Some(Self::Leave),
                KeyCode::Char('r') => Some(Self::Again),
                KeyCode::Char(' ') => Some(Self::Hold),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Leaves when a signal would end the process, so that the terminal is restored.
fn leave_on_signals(tell: &mpsc::Sender<Pressed>) -> std::io::Result<()> {
    #[cfg(unix)]
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()] {
        let (mut signals, tell) = (signal(kind)?, tell.clone());
        tokio::spawn(async move {
            signals.recv().await;
            let _ = tell.send(Pressed::Leave).await;
        });
    }
    Ok(())
}

/// Reads keys on a thread of their own, which waits for them until the process ends.
fn read_keys(tell: mpsc::Sender<Pressed>) {
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(pressed) = Pressed::of(&event)
                && tell.blocking_send(pressed).is_err()
            {
                return;
            }
        }
        // There is no terminal any more.
        let _ = tell.blocking_send(Pressed::Leave);
    });
}

/// What comes of a look at the store, unless somebody leaves meanwhile: one that does not answer must keep nobody here.
async fn unless_left<T>(
    keys: &mut mpsc::Receiver<Pressed>,
    is_held: &mut bool,
    look: impl Future<Output = T>,
) -> Option<T> {
    let mut look = std::pin::pin!(look);
    loop {
        tokio::select! {
            seen = &mut look => return Some(seen),
            pressed = keys.recv() => match pressed {
                None | Some(Pressed::Leave) => return None,
                Some(Pressed::Hold) => *is_held = !*is_held,
                Some(Pressed::Again | Pressed::Resized) => {}
            },
        }
    }
}

async fn show(
    terminal: &mut DefaultTerminal,
    mut keys: mpsc::Receiver<Pressed>,
    mut board: Board,
    readers: &Readers,
    stream: Option<Arc<dyn TraceStream>>,
    every: Duration,
    name: &str,
) -> Result<(), CliError> {
    let mut is_held = false;
    let mut news = match stream {
        Some(stream) => match unless_left(&mut keys, &mut is_held, stream.watch(WatchRequest::new())).await {
            Some(watched) => watched.ok(),
            None => return Ok(()),
        },
        None => None,
    };
    let mut last = Instant::now();
    // Something may have happened before it was watched.
    let mut is_read = news.is_some();
    loop {
        terminal.draw(|frame| draw::draw(frame, &board, name, is_held))?;
        if std::mem::take(&mut is_read) {
            // A store that is away for a while is no reason to leave.
            match unless_left(&mut keys, &mut is_held, Board::read(readers, Timestamp::now())).await {
                Some(Ok(read)) => board = read,
                Some(Err(error)) => board.trouble = Some(error.to_string()),
                None => return Ok(()),
            }
            last = Instant::now();
            continue;
        }
        let due = last + every.max(AT_MOST);
        is_read = tokio::select! {
            pressed = keys.recv() => match pressed {
                None | Some(Pressed::Leave) => return Ok(()),
                Some(Pressed::Resized) => false,
                Some(Pressed::Hold) => {
                    is_held = !is_held;
                    !is_held
                }
                Some(Pressed::Again) => true,
            },
            () = tokio::time::sleep_until(due), if !is_held => true,
            () = happened(&mut news), if !is_held => {
                tokio::time::sleep_until(last + AT_MOST).await;
                take_what_is_there(&mut news);
                true
            }
        };
    }
}

/// Waits for anything to happen; for ever, where nothing tells.
async fn happened(news: &mut Option<EventStream>) {
    if let Some(events) = news {
        match events.next().await {
            Some(Ok(_)) => return,
            // From now on the store is read now and then.
            _ => *news = None,
        }
    }
    std::future::pending::<()>().await;
}

/// Takes what has happened meanwhile: all of it is read at once.
fn take_what_is_there(news: &mut Option<EventStream>) {
    let mut left = AT_ONCE;
    while left > 0
        && let Some(events) = news
        && let Some(Some(Ok(_))) = events.next().now_or_never()
    {
        left -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_leaves_need_not_wait_for_a_store_that_does_not_answer() {
        let (press, mut keys) = mpsc::channel(4);
        let mut is_held = false;
        for pressed in [Pressed::Hold, Pressed::Again, Pressed::Leave] {
            press.send(pressed).await.unwrap();
        }
        assert_eq!(unless_left(&mut keys, &mut is_held, std::future::pending::<()>()).await, None);
        assert!(is_held);
        assert_eq!(unless_left(&mut keys, &mut is_held, std::future::ready(1)).await, Some(1));
    }
}
