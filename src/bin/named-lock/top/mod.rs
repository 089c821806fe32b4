//! `top`.

mod lookout;
mod screen;
mod terminal;

use std::io::{self, IsTerminal};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use self::{
    screen::Screen,
    terminal::{Input, Terminal},
};
use crate::{exit_status, failure::Failure, server::Server};

pub async fn top(server: &Server) -> Result<u8, Failure> {
    if !io::stdout().is_terminal() {
        return Err(Failure::usage("`top` needs a terminal: `named-lock list` prints the locks once"));
    }
    let address = server.address()?;
    // What goes wrong at the start is told without a screen.
    let conn = address.connect().await?;
    let mut screen = Screen::of(lookout::look(conn).await?.0);
    let mut views = lookout::watch(address);
    let failed = |error| Failure::unavailable(format!("the terminal can't be used: {error}"));
    let mut terminal = Terminal::enter().map_err(failed)?;
    let mut inputs = terminal::inputs().map_err(failed)?;
    loop {
        let (columns, lines) = terminal.size().map_err(failed)?;
        terminal.show(&screen.lines(columns, lines)).map_err(failed)?;
        tokio::select! {
            Some(view) = views.recv() => screen.show(view),
            input = inputs.recv() => match input {
                Some(Input::Event(Event::Key(key))) if quits(&key) => return Ok(exit_status::OK),
                Some(Input::Event(Event::Key(key))) => screen.scroll(key.code),
                // Its size, for one, has changed.
                Some(Input::Event(_)) => {}
                Some(Input::Quit) | None => return Ok(exit_status::OK),
            },
        }
    }
}

fn quits(key: &KeyEvent) -> bool {
    let is_ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    is_ctrl_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}
