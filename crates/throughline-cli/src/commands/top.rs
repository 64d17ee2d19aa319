//! `throughline top`: what runs, what fails, and how much of it, on a screen that is kept up to date.

mod board;
mod draw;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use futures_util::{FutureExt as _, StreamExt as _};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::disable_raw_mode;
use throughline_core::{EventStream, Readers, Timestamp, TraceStream, WatchRequest};
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
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
    if screen.wants_json() || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
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
    restore(terminal)?;
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

/// How long it takes at most to leave.
const GRACE: Duration = Duration::from_secs(2);

/// Leaves when a signal would end the process, so that the terminal is restored.
#[cfg(unix)]
fn leave_on_signals(tell: &mpsc::Sender<Pressed>) -> io::Result<()> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()];
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let tell = tell.clone();
    // On a thread of its own, because this one may be held up by the terminal.
    std::thread::spawn(move || {
        let listening = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let inside = runtime.enter();
            let signals = kinds.into_iter().map(|kind| Ok((signal(kind)?, kind)));
            let signals: Vec<_> = signals.collect::<io::Result<_>>()?;
            drop(inside);
            Ok((runtime, signals))
        };
        let (runtime, mut signals) = match listening() {
            Ok(listening) => listening,
            Err(error) => return drop(ready.send(Err(error))),
        };
        drop(ready.send(Ok(())));
        let (_, first, _) =
            runtime.block_on(select_all(signals.iter_mut().map(|(signal, _)| Box::pin(signal.recv()))));
        leave(&tell, 128 + signals[first].1.as_raw_value())
    });
    is_ready.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)))
}

#[cfg(not(unix))]
fn leave_on_signals(_: &mpsc::Sender<Pressed>) -> io::Result<()> {
    Ok(())
}

/// Reads keys on a thread of their own, which waits for them until the process ends.
fn read_keys(tell: mpsc::Sender<Pressed>) {
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            match Pressed::of(&event) {
                Some(Pressed::Leave) => leave(&tell, 0),
                // Where nobody takes what is pressed, the screen is held up, and to leave is all there is to do.
                Some(pressed) => drop(tell.try_send(pressed)),
                None => {}
            }
        }
        // There is no terminal any more.
        leave(&tell, 0)
    });
}

/// Leaves, also where the terminal takes nothing: then what was written to it last waits, and the process ends without that.
fn leave(tell: &mpsc::Sender<Pressed>, code: i32) -> ! {
    let until = Instant::now() + GRACE;
    while let Err(TrySendError::Full(_)) = tell.try_send(Pressed::Leave)
        && Instant::now() < until
    {
        std::thread::sleep(AT_MOST / 10);
    }
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
    // As far as it goes: to leave the screen itself something would have to be written.
    let _ = disable_raw_mode();
    std::process::exit(code)
}

/// Sets the terminal as it was.
fn restore(mut terminal: DefaultTerminal) -> io::Result<()> {
    let shown = terminal.show_cursor();
    if shown.is_err() {
        // When it is dropped it tries that again, and panics if nobody can be told that it failed again.
        std::mem::forget(terminal);
    }
    ratatui::try_restore().and(shown)
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
