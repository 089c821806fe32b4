//! The terminal: as it has to be for `top`, and back as it was.

use std::{
    io::{self, Stdout, Write, stdout},
    thread,
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{self, Event},
    execute, queue,
    style::{Attribute, Print, SetAttribute},
    terminal::{
        self, BeginSynchronizedUpdate, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate, EnterAlternateScreen,
        LeaveAlternateScreen,
    },
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::screen::Line;

pub struct Terminal(Stdout);

pub enum Input {
    Event(Event),
    /// By a signal, or the terminal is gone.
    Quit,
}

impl Terminal {
    pub fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let mut entered = Self(stdout());
        execute!(entered.0, EnterAlternateScreen, DisableLineWrap, Hide)?;
        Ok(entered)
    }

    /// Columns and lines.
    pub fn size(&self) -> io::Result<(usize, usize)> {
        terminal::size().map(|(columns, lines)| (columns.into(), lines.into()))
    }

    /// The lines fill the screen, so nothing has to be cleared.
    pub fn show(&mut self, lines: &[Line]) -> io::Result<()> {
        queue!(self.0, BeginSynchronizedUpdate)?;
        for (number, line) in (0..).zip(lines) {
            let attribute = match line {
                Line { is_reversed: true, .. } => Attribute::Reverse,
                Line { is_bold: true, .. } => Attribute::Bold,
                _ => Attribute::Reset,
            };
            let reset = SetAttribute(Attribute::Reset);
            queue!(self.0, MoveTo(0, number), SetAttribute(attribute), Print(&line.text), reset)?;
        }
        queue!(self.0, EndSynchronizedUpdate)?;
        self.0.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // If it is gone, there is nothing to put back.
        let _ = execute!(self.0, Show, EnableLineWrap, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

/// Read by threads, which end with the process.
pub fn inputs() -> io::Result<UnboundedReceiver<Input>> {
    let (sender, inputs) = mpsc::unbounded_channel();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let by_signal = sender.clone();
    let signals = move || signals.forever().try_for_each(|_| by_signal.send(Input::Quit));
    thread::Builder::new().name("signals".into()).spawn(signals)?;
    let events = move || while sender.send(event::read().map_or(Input::Quit, Input::Event)).is_ok() {};
    thread::Builder::new().name("keys".into()).spawn(events)?;
    Ok(inputs)
}
