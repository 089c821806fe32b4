//! `top`, on a terminal.

use std::{num::NonZeroU16, thread};

use diesel_named_lock::{
    NamedLock,
    permits::{Permits, SharedLock},
};
use rustix::process::Signal;
use test_server::Server;
use testkit::{
    program::Program,
    world::{id, wait_until},
};

use crate::{stage::*, terminal::Terminal};

const COLUMNS: u16 = 100;

/// The program on a terminal of so many lines.
struct Top {
    terminal: Terminal,
    program: Program,
    lines: u16,
    columns: u16,
}

impl Top {
    fn start(server: &Server, lines: u16) -> Self {
        let mut command = tool_at(server.url(), &["top"]);
        command.env("TERM", "xterm-256color");
        let (terminal, program) = Terminal::start_sized(&command, lines, COLUMNS);
        Self { terminal, program, lines, columns: COLUMNS }
    }

    fn screen(&self) -> vt100::Parser {
        let [lines, columns] = [self.lines, self.columns].map(|size| NonZeroU16::new(size).expect("a screen"));
        let mut screen = vt100::Parser::new(lines, columns, 0);
        screen.process(self.program.stdout.to_string().as_bytes());
        screen
    }

    fn rows(&self) -> Vec<String> {
        self.screen().screen().rows(0, self.columns).collect()
    }

    /// The line in which all these words are.
    fn shows(&self, words: &[&str]) -> bool {
        self.rows().iter().any(|line| words.iter().all(|word| line.contains(word)))
    }

    #[track_caller]
    fn wait_for(&self, words: &[&str]) {
        wait_until(&format!("{words:?} on the screen"), || self.shows(words));
    }

    /// Twice, of which one is a refresh.
    #[track_caller]
    fn wait_until_drawn_again(&self) {
        let drawn = || self.program.stdout.to_string().matches("lock 02").count();
        let before = drawn();
        wait_until("the screen to be drawn again", || drawn() >= before + 2);
    }

    #[track_caller]
    fn assert_leaves_the_terminal_as_it_was(&mut self) {
        assert_eq!(self.program.status(), 0, "{}", self.rows().join("\n"));
        wait_until("the terminal to be as it was", || {
            let screen = self.screen();
            !screen.screen().alternate_screen() && !screen.screen().hide_cursor()
        });
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the screen:\n{}", self.rows().join("\n"));
        }
    }
}

/// A server with that many locks, which this holds.
fn server_with_locks(count: usize) -> (Server, Vec<diesel::MysqlConnection>) {
    let server = private_server();
    let_locks_be_listed(&mut connect_to(&server));
    let held = (0..count).map(|number| {
        let mut conn = connect_to(&server);
        testkit::world::get_lock(&mut conn, &format!("lock {number:02}"), 0);
        conn
    });
    let held = held.collect();
    (server, held)
}

#[test]
fn it_shows_holders_and_waiters_follows_them_and_quits_with_q() {
    let (server, mut held) = server_with_locks(2);
    let mut top = Top::start(&server, 12);
    let holder = id(&mut held[1]).to_string();
    top.wait_for(&["lock 01", "holds", &holder, "root", "idle"]);
    top.wait_for(&["named locks: 2, waiting sessions: 0"]);
    top.wait_for(&["q quits"]);

    let mut conn = connect_to(&server);
    let waiter = id(&mut conn).to_string();
    let lock = NamedLock::new("lock 01").unwrap().wait_forever();
    let waits = thread::spawn(move || lock.acquire(conn).map(drop).map_err(|failed| failed.error));
    top.wait_for(&["waits", &waiter, "SELECT"]);
    top.wait_for(&["named locks: 2, waiting sessions: 1"]);
    if !server.product().is_mariadb() {
        let first = top.rows()[2].clone();
        assert!(first.starts_with("lock 01"), "the contended one comes first, not {first}");
    }

    held.remove(1);
    waits.join().unwrap().unwrap();
    wait_until("the lock to disappear", || !top.shows(&["lock 01"]));
    top.terminal.type_in("q");
    top.assert_leaves_the_terminal_as_it_was();
}

#[test]
fn permits_and_shared_locks_are_one_lock_each() {
    let (server, _held) = server_with_locks(1);
    let hold = |lock: NamedLock| lock.acquire(connect_to(&server)).unwrap_or_else(|failed| panic!("{}", failed.error));
    let _alone = hold(SharedLock::new("index").unwrap().exclusive());
    let permits = Permits::new("mail", 3).unwrap();
    let (_one, _two) = (hold(permits.permit()), hold(permits.permits(2).unwrap()));
    let mut top = Top::start(&server, 24);
    top.wait_for(&["named locks: 3, waiting sessions: 0"]);
    top.wait_for(&["index:shared#wait", "exclusive", "root"]);
    top.wait_for(&["mail:permit#1 ", "holds"]);
    top.wait_for(&["mail:permit#2 +1", "holds"]);
    assert!(!top.shows(&["index:shared#1"]));
    let bold = |word: &str| {
        let row = top.rows().iter().position(|row| row.contains(word)).expect("a row");
        top.screen().screen().cell(row as u16, 0).expect("a cell").bold()
    };
    assert!(["lock 00", "exclusive", "mail:permit#1"].into_iter().all(bold));
    top.terminal.type_in("q");
    top.assert_leaves_the_terminal_as_it_was();
}

#[test]
fn what_does_not_fit_is_counted_and_scrolled_to_and_a_resize_is_followed() {
    let (server, _held) = server_with_locks(20);
    let mut top = Top::start(&server, 8);
    top.wait_for(&["lock 04"]);
    top.wait_for(&["q quits  15 more"]);
    assert!(!top.shows(&["lock 05"]));

    top.terminal.type_in("\u{1b}[B"); // down
    top.wait_for(&["q quits  1 above  14 more"]);
    top.wait_for(&["lock 05"]);
    assert!(!top.shows(&["lock 00"]));
    top.terminal.type_in("\u{1b}[6~"); // page down
    top.wait_for(&["6 above  9 more"]);
    top.terminal.type_in("\u{1b}[F"); // end
    top.wait_for(&["lock 19"]);
    wait_until("the end", || top.rows()[7].trim_end() == "q quits  15 above");
    top.terminal.type_in("\u{1b}[5~"); // page up
    top.wait_for(&["10 above  5 more"]);
    top.terminal.type_in("\u{1b}[A"); // up
    top.wait_for(&["9 above  6 more"]);
    top.terminal.type_in("\u{1b}[H"); // home
    top.wait_for(&["lock 00"]);

    top.lines = 13;
    top.terminal.resize(13, COLUMNS);
    top.wait_for(&["q quits  10 more"]);
    top.wait_for(&["lock 09"]);
    (top.lines, top.columns) = (30, 60);
    top.terminal.resize(30, 60);
    top.wait_for(&["lock 19"]);
    wait_until("no more to be counted", || top.rows()[29].trim_end() == "q quits");
    top.terminal.type_in("\u{3}");
    top.assert_leaves_the_terminal_as_it_was();
}

#[test]
fn a_tiny_terminal_is_no_panic() {
    let (server, _held) = server_with_locks(3);
    let mut top = Top::start(&server, 24);
    top.wait_for(&["lock 02"]);
    for (lines, columns) in [(1, 1), (2, 3), (3, 200), (24, 80)] {
        (top.lines, top.columns) = (lines, columns);
        top.terminal.resize(lines, columns);
    }
    // A key that comes together with a new size may be read with the next key only.
    top.wait_until_drawn_again();
    top.terminal.type_in("q");
    top.assert_leaves_the_terminal_as_it_was();
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let (server, _held) = server_with_locks(1);
    let mut top = Top::start(&server, 24);
    top.wait_for(&["lock 00"]);
    top.program.signal(Signal::TERM);
    top.assert_leaves_the_terminal_as_it_was();
}

#[test]
fn it_lives_on_while_the_server_is_away() {
    let (mut server, held) = server_with_locks(1);
    let mut top = Top::start(&server, 24);
    top.wait_for(&["lock 00"]);
    let pid = rustix::process::Pid::from_raw(server.pid().expect("a private server") as i32).expect("a process");
    rustix::process::kill_process(pid, Signal::KILL).expect("a process");
    // Not before, or the program may see that it is free.
    drop(held);
    top.wait_for(&["NOT UP TO DATE: "]);
    top.wait_for(&["lock 00"]);
    server.start_again().expect("the server, once more");
    top.wait_for(&["named locks: 0"]);
    top.terminal.type_in("q");
    top.assert_leaves_the_terminal_as_it_was();
}
