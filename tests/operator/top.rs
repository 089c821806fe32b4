//! The example `top`, on a terminal.

use std::{
    env,
    fs::File,
    io::{Read, Write},
    num::NonZeroU16,
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread,
};

use diesel_named_lock::LockName;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use testkit::world::*;

use crate::stage::*;

const ROWS: NonZeroU16 = NonZeroU16::new(50).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(120).unwrap();

/// A program on a terminal of its own.
struct Terminal {
    program: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn start(program: &str, url: &str) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let path = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(path).unwrap();
        tcsetwinsize(&theirs, Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 })
            .unwrap();

        // In a session of its own, so that it does not find the terminal from which the tests were started.
        let program = Command::new("setsid")
            .arg(program)
            .envs([("DATABASE_URL", url), ("TERM", "xterm-256color")])
            .stdin(theirs.try_clone().unwrap())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();

        let keyboard = File::from(ours);
        let mut output = keyboard.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self { program, keyboard, screen }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// The line with this in it.
    fn line(&self, part: &str) -> Option<String> {
        self.text().lines().find(|line| line.contains(part)).map(str::to_owned)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        if thread::panicking() {
            eprintln!("the screen:\n{}", self.text());
        }
    }
}

/// Built here, because a test that is run alone does not have it built.
fn top() -> String {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let built = Command::new(cargo).args(["build", "--quiet", "--example", "top"]).status().unwrap();
    assert!(built.success());
    let this = env::current_exe().unwrap();
    this.ancestors().nth(2).unwrap().join("examples/top").to_str().unwrap().to_owned()
}

#[test]
fn it_shows_holders_and_waiters_follows_them_and_quits_with_q() {
    drop(operator()); // The list is there from here on.
    // On a screen that other tests' locks fill, too, it is at the top.
    let (name, ran) = (LockName::new(fresh("0")).unwrap(), Order::default());
    let elsewhere = hold_elsewhere(name.as_str());
    let mut terminal = Terminal::start(&top(), server().url());
    let shows = |terminal: &Terminal, part: &str, words: &[&str]| {
        terminal.line(part).is_some_and(|line| words.iter().all(|word| line.contains(word)))
    };
    let holder = elsewhere.id.to_string();
    wait_until("the holder to be shown", || shows(&terminal, name.as_str(), &["holds", &holder, "root", "idle"]));
    wait_until("the whole screen", || terminal.text().contains("q quits"));

    let mut waiting = connect();
    let waiter = id(&mut waiting).to_string();
    let thread = wait_elsewhere(waiting, &name, &ran);
    wait_until("the waiter to be shown", || shows(&terminal, &format!(" {waiter} "), &["waits", "SELECT"]));

    drop(elsewhere);
    thread.join().unwrap().unwrap();
    wait_until("the lock to disappear", || terminal.line(name.as_str()).is_none());

    terminal.keyboard.write_all(b"q").unwrap();
    wait_until("the program to end", || terminal.program.try_wait().unwrap().is_some());
    assert!(terminal.program.wait().unwrap().success());
    wait_until("the terminal to be as it was before", || !terminal.screen.lock().unwrap().screen().alternate_screen());
}
