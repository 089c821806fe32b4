//! Follows a history while it is written: how far it is, and whether somebody hangs.

use std::{collections::HashMap, path::Path, time::Duration};

use super::history::{Event, Nanos, Outcome, Tail, Thread, now};

/// A section that takes longer than this beyond its timeout has hung. In so long a time, some section is `Ok`.
const HANGS: Duration = Duration::from_secs(60);

pub struct Watch {
    tail: Tail,
    pub events: Vec<Event>,
    pub ok: usize,
    pub lost: usize,
    last_ok: Nanos,
    /// What each thread does, and until when it must do something else.
    busy: HashMap<Thread, (Event, Nanos)>,
}

impl Watch {
    pub fn of(history: &Path) -> Self {
        let tail = Tail::of(history).expect("the history");
        Self { tail, events: Vec::new(), ok: 0, lost: 0, last_ok: now(), busy: HashMap::new() }
    }

    /// Reads what is new.
    ///
    /// Panics if a section hangs, or if too long no section was `Ok`.
    pub fn look(&mut self) {
        for event in self.tail.read() {
            self.note(&event);
            self.events.push(event);
        }
        let now = now();
        if let Some((event, _)) = self.busy.values().find(|(_, until)| *until < now) {
            panic!("a section hangs; the last that it did was, {HANGS:?} ago: {event}");
        }
        assert!(now < self.last_ok + HANGS.as_nanos() as Nanos, "no section was `Ok` for {HANGS:?}: all hang");
    }

    fn note(&mut self, event: &Event) {
        let until = |at| at + HANGS.as_nanos() as Nanos;
        match *event {
            Event::Asked { id, at, timeout } => {
                self.busy.insert(id.of, (event.clone(), until(at) + timeout));
            }
            Event::Began { id, at } => {
                self.busy.insert(id.of, (event.clone(), until(at)));
            }
            Event::Ended { id, at, outcome, .. } => {
                self.busy.remove(&id.of);
                match outcome {
                    Outcome::Ok => (self.ok, self.last_ok) = (self.ok + 1, at),
                    Outcome::Lost => self.lost += 1,
                    _ => {}
                }
            }
            Event::Killed { process } => self.busy.retain(|thread, _| thread.process != process),
            Event::Frozen { .. } | Event::Found { .. } => {}
        }
    }
}
