//! `throughline top` in a terminal: whatever size it has, and however it is left.
#![cfg(unix)]

mod live;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Action, Winsize, tcflow, tcgetattr, tcsetwinsize};

use crate::sandbox::Sandbox;

/// How long the screen may take to show what it shows soon or never.
const PATIENCE: Duration = Duration::from_secs(30);

/// The screen as somebody sees it, and what tells that it has changed.
type Seen = Arc<(Mutex<vt100::Parser>, Condvar)>;

/// A terminal in which `throughline top` runs.
struct Terminal {
    /// Where the keyboard and the screen are.
    outside: File,
    /// Where a program is.
    inside: File,
    top: Child,
    seen: Seen,
    /// How the terminal was set before.
    before: String,
    /// What keeps the screen on, and who watches it.
    plugged: Option<(UnixStream, JoinHandle<()>)>,
}

fn size(rows: u16, cols: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 }
}

fn some(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

/// How a terminal is set.
fn settings(inside: &File) -> String {
    format!("{:?}", tcgetattr(inside).unwrap())
}

impl Drop for Terminal {
    /// A test need not leave the screen by a key: nothing that it started outlives it.
    fn drop(&mut self) {
        let _ = self.top.kill();
        let _ = self.top.wait();
    }
}

impl Terminal {
    fn of(sandbox: &Sandbox, rows: u16, cols: u16, options: &[&str]) -> Self {
        // Closed in the program: who holds the outside of its own terminal never loses it.
        let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outside).unwrap();
        unlockpt(&outside).unwrap();
        let name = ptsname(&outside, Vec::new()).unwrap();
        let inside = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        tcsetwinsize(&outside, size(rows, cols)).unwrap();
        let before = settings(&inside);
        // Its own session, whose terminal this is: who runs the tests has another.
        let asked = sandbox.command(&[&["top"], options].concat());
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(asked.get_program()).args(asked.get_args());
        command.current_dir(asked.get_current_dir().unwrap());
        for (name, value) in asked.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let end = || inside.try_clone().unwrap();
        command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end());
        let top =
            command.spawn().unwrap_or_else(|error| panic!("setsid, of util-linux, does not run: {error}"));
        let seen = Seen::new((Mutex::new(vt100::Parser::new(some(rows), some(cols), 0)), Condvar::new()));
        let outside = File::from(outside);
        let (mut output, screen) = (outside.try_clone().unwrap(), Arc::clone(&seen));
        let (plug, unplugged) = UnixStream::pair().unwrap();
        let watching = std::thread::spawn(move || {
            let mut part = [0; 4096];
            loop {
                let mut ready = [PollFd::new(&output, PollFlags::IN), PollFd::new(&unplugged, PollFlags::IN)];
                poll(&mut ready, None).unwrap();
                if !ready[1].revents().is_empty() {
                    return;
                }
                let Ok(length) = output.read(&mut part) else { return };
                screen.0.lock().unwrap().process(&part[..length]);
                screen.1.notify_all();
            }
        });
        Self { outside, inside, top, seen, before, plugged: Some((plug, watching)) }
    }

    /// Waits until the screen is like this, and returns its lines.
    fn until(&self, is_it: impl Fn(&vt100::Screen) -> bool) -> Vec<String> {
        let (screen, changed) = &*self.seen;
        let wait = changed.wait_timeout_while(screen.lock().unwrap(), PATIENCE, |seen| !is_it(seen.screen()));
        let (seen, waited) = wait.unwrap();
        assert!(!waited.timed_out(), "{}", seen.screen().contents());
        seen.screen().contents().lines().map(str::to_owned).collect()
    }

    fn press(&mut self, keys: &[u8]) {
        self.outside.write_all(keys).unwrap();
    }

    fn resize(&self, rows: u16, cols: u16) {
        self.seen.0.lock().unwrap().screen_mut().set_size(some(rows), some(cols));
        tcsetwinsize(&self.outside, size(rows, cols)).unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.top.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Takes the terminal away.
    fn hang_up(&mut self) {
        let (plug, watching) = self.plugged.take().unwrap();
        drop(plug);
        watching.join().unwrap();
        self.outside = File::open("/dev/null").unwrap();
    }

    /// How it ended, and whether the terminal is as it was.
    fn ended(mut self) -> Option<i32> {
        let status = self.top.wait().unwrap();
        self.until(|screen| !screen.alternate_screen() && !screen.hide_cursor());
        assert_eq!(settings(&self.inside), self.before, "the terminal is set as it was");
        status.code()
    }
}

/// How a process ended that may take this long to end.
fn end_of(top: &mut Child) -> ExitStatus {
    let (pid, (ended, is_ended)) = (top.id(), std::sync::mpsc::channel());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if is_ended.recv_timeout(PATIENCE).is_err() {
                let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL);
            }
        });
        let status = top.wait().unwrap();
        let _ = ended.send(());
        status
    })
}

fn shows(text: &'static str) -> impl Fn(&vt100::Screen) -> bool {
    move |screen| screen.contents().contains(text)
}

#[test]
fn it_fits_a_terminal_of_any_size_and_follows_when_that_changes() {
    let sandbox = Sandbox::with_loans();
    let mut terminal = Terminal::of(&sandbox, 30, 120, &[]);
    terminal.until(shows("failed runs a minute"));
    let wide = terminal.until(shows("q leaves"));
    assert!(wide.iter().any(|line| line.trim_end().chars().count() > 60), "{wide:#?}");
    for (rows, cols) in [(12, 40), (6, 20), (3, 8), (1, 1), (50, 200)] {
        terminal.resize(rows, cols);
        if rows >= 6 {
            terminal.until(shows("q leaves"));
        }
    }
    terminal.until(shows("failed runs a minute"));
    terminal.press(b"q");
    assert_eq!(terminal.ended(), Some(0));
}

#[test]
fn however_it_is_left_the_terminal_is_as_it_was() {
    let sandbox = Sandbox::with_loans();
    for key in [&b"q"[..], b"\x1b", b"\x03", b"\x04"] {
        let mut terminal = Terminal::of(&sandbox, 24, 80, &[]);
        terminal.until(shows("q leaves"));
        terminal.press(key);
        assert_eq!(terminal.ended(), Some(0), "{key:?}");
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let terminal = Terminal::of(&sandbox, 24, 80, &[]);
        terminal.until(shows("q leaves"));
        terminal.signal(signal);
        assert_eq!(terminal.ended(), Some(0), "{signal:?}");
    }
}

#[test]
fn a_terminal_that_takes_nothing_keeps_nobody_from_leaving() {
    let sandbox = Sandbox::with_loans();
    for (leave, code) in [(None, 0), (Some(Signal::TERM), 128 + 15), (Some(Signal::HUP), 128 + 1)] {
        let mut terminal = Terminal::of(&sandbox, 24, 80, &[]);
        terminal.until(shows("q leaves"));
        // As Ctrl-S does it. What is drawn now waits until that is taken back.
        tcflow(&terminal.inside, Action::OOff).unwrap();
        terminal.resize(50, 140);
        match leave {
            Some(signal) => terminal.signal(signal),
            None => terminal.press(b"q"),
        }
        assert_eq!(end_of(&mut terminal.top).code(), Some(code), "{leave:?}");
        assert_eq!(settings(&terminal.inside), terminal.before, "the terminal is set as it was");
        tcflow(&terminal.inside, Action::OOn).unwrap();
    }
}

#[test]
fn it_ends_with_its_terminal() {
    let sandbox = Sandbox::with_loans();
    let mut terminal = Terminal::of(&sandbox, 24, 80, &[]);
    terminal.until(shows("q leaves"));
    terminal.hang_up();
    // Not by a panic, which would be a signal.
    assert!(end_of(&mut terminal.top).code().is_some());
}
