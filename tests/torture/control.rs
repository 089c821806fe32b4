//! What the parent says to a worker while it runs: lines on its standard input, whose end means "stop".

use std::{
    io,
    sync::{Condvar, Mutex, MutexGuard},
};

use crate::message::Message;

pub const PAUSE: &str = "pause";
pub const GO: &str = "go";

pub struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    wanted: Wanted,
    /// Threads that run no section, out of so many.
    waiting: usize,
    threads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Go,
    Pause,
    Stop,
}

impl Control {
    pub fn new(threads: usize) -> Self {
        Self { state: Mutex::new(State { wanted: Wanted::Go, waiting: 0, threads }), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// Asked by a thread between two sections, without a connection. The last one to pause says so to the parent.
    pub fn may_go_on(&self) -> bool {
        let mut state = self.state();
        if state.wanted == Wanted::Pause {
            state.waiting += 1;
            if state.waiting == state.threads {
                Message::Idle.send();
            }
            state = self.changed.wait_while(state, |state| state.wanted == Wanted::Pause).expect("nobody panics");
            state.waiting -= 1;
        }
        state.wanted != Wanted::Stop
    }

    pub fn is_running(&self) -> bool {
        // A thread that hangs after the stop is found, too: by the parent.
        self.state().wanted != Wanted::Stop
    }

    /// Until the input ends.
    pub fn obey_input(&self) {
        for line in io::stdin().lines() {
            match line.as_deref() {
                Ok(PAUSE) => self.want(Wanted::Pause),
                Ok(GO) => self.want(Wanted::Go),
                _ => break,
            }
        }
        self.want(Wanted::Stop);
    }

    fn want(&self, wanted: Wanted) {
        let mut state = self.state();
        state.wanted = wanted;
        // A pause so soon after another that nobody has gone on in between.
        if wanted == Wanted::Pause && state.waiting == state.threads {
            Message::Idle.send();
        }
        drop(state);
        self.changed.notify_all();
    }
}
