//! Who holds which named lock of a server, and who waits: a view like `top`, refreshed every second. `q` quits.
//!
//! `examples/run top` shows a private server, on which a few threads contend; with `DATABASE_URL` set, it shows that one, and
//! changes nothing there.

use std::{error::Error, time::Duration};

use diesel::prelude::*;
use diesel_named_lock::operator::named_locks;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
};
use test_server::Server;

mod contention;
mod screen;

const REFRESH: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::shared();
    if server.pid().is_some() {
        contention::start(server)?;
    }
    let mut conn = MysqlConnection::establish(server.url())?;
    let title = format!("{} {}", server.product(), server.version());
    ratatui::run(|terminal| watch(terminal, &mut conn, &title))
}

fn watch(terminal: &mut DefaultTerminal, conn: &mut MysqlConnection, title: &str) -> Result<(), Box<dyn Error>> {
    loop {
        let seen = named_locks(conn)?;
        terminal.draw(|frame| screen::draw(frame, title, &seen))?;
        if event::poll(REFRESH)? && asks_to_quit(&event::read()?) {
            return Ok(());
        }
    }
}

fn asks_to_quit(event: &Event) -> bool {
    let Some(key) = event.as_key_press_event() else { return false };
    let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.code == KeyCode::Char('q') || ctrl_c
}
