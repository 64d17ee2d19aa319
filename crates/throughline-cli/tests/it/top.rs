//! `throughline top` in a terminal: whatever size it has, and however it is left.
#![cfg(unix)]

mod live;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

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
        let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
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
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length) = output.read(&mut part) {
                screen.0.lock().unwrap().process(&part[..length]);
                screen.1.notify_all();
            }
        });
        Self { outside, inside, top, seen, before }
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

    /// How it ended, and whether the terminal is as it was.
    fn ended(mut self) -> Option<i32> {
        let status = self.top.wait().unwrap();
        self.until(|screen| !screen.alternate_screen() && !screen.hide_cursor());
        assert_eq!(settings(&self.inside), self.before, "the terminal is set as it was");
        status.code()
    }
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
