//! The terminal: lines in, keys out, and everything as it was when it is left.

use std::{
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
};

use nix::sys::termios::{self, LocalFlags, SetArg, Termios};
use tokio::sync::mpsc;

use super::frame::{Line, Style};
use crate::terminal::Terminal;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

pub(super) struct Screen {
    /// `None` when keys do not come from a terminal.
    before: Option<Termios>,
    colours: bool,
}

impl Screen {
    /// Takes the terminal over; keys come one by one, unechoed. Ctrl-C stays a signal.
    pub(super) fn open() -> io::Result<(Self, mpsc::Receiver<u8>)> {
        let before = termios::tcgetattr(io::stdin().as_fd()).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            termios::tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &quiet)?;
        }
        let screen = Self { before, colours: Terminal::of_stdout().colours };
        let mut out = io::stdout().lock();
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        Ok((screen, keys()))
    }

    /// Draws over what was there.
    pub(super) fn show(&self, lines: &[Line]) -> io::Result<()> {
        let size = terminal_size::terminal_size();
        let (width, height) = size.map_or((80, 24), |(w, h)| (usize::from(w.0), usize::from(h.0)));
        let mut text = String::from("\x1b[H");
        let room = height.saturating_sub(1);
        for line in lines.iter().take(room) {
            let cut: String = line.text.chars().take(width).collect();
            let style = match line.style {
                Style::Plain => "",
                Style::Heading => "\x1b[1m",
                Style::Alarm if self.colours => "\x1b[31m",
                Style::Alarm => "\x1b[1m",
                Style::Faint => "\x1b[2m",
            };
            text += &format!("{style}{cut}\x1b[0m\x1b[K\r\n");
        }
        text += "\x1b[J\x1b[2mq leaves\x1b[0m";
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // On the way out there is nobody to tell.
        let mut out = io::stdout().lock();
        let _ = out.write_all(LEAVE.as_bytes());
        let _ = out.flush();
        if let Some(before) = &self.before {
            let _ = termios::tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, before);
        }
    }
}

/// Keys from a thread that nothing waits for: a read from a terminal cannot be called off.
fn keys() -> mpsc::Receiver<u8> {
    let (send, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut byte = [0];
        while io::stdin().read(&mut byte).is_ok_and(|n| n == 1) {
            if send.blocking_send(byte[0]).is_err() {
                return;
            }
        }
        // No more keys: signals still end it.
        std::thread::park();
    });
    keys
}
