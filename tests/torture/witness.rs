//! Sees what is sent on a connection, and so whether its session is killed from within, and after what.

use std::{collections::VecDeque, time::Duration};

use diesel::{
    Connection, MysqlConnection,
    connection::{Instrumentation, InstrumentationEvent},
    result::{ConnectionError, Error},
};

use crate::{
    history::{GivenUp, Killed},
    look::holds_any,
    manager::{PING, until_answered},
    message::Message,
    subject::all_locks,
    tasks::dropping::give_up,
};

/// As many attempts as this crate makes at a question. After so many, it was not answered.
const ATTEMPTS: usize = 20;

/// So many statements are remembered, and so many of them told.
const MEMORY: usize = 3 * ATTEMPTS;
const TOLD: usize = 8;

/// So many characters of each: those about an exclusive lock have many names.
const LENGTH: usize = 2_000;

pub struct Witness {
    connection: u64,
    url: String,
    sent: VecDeque<Sent>,
    killed: bool,
}

struct Sent {
    what: What,
    text: String,
    is_finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    GetLock,
    /// The first statement for a permit.
    Enter,
    /// A later one.
    TakeSlot,
    WhoHolds,
    WhoAmI,
    Diagnostics,
    Else,
}

impl What {
    fn of(text: &str) -> Self {
        match text {
            _ if text.contains("FIELD(CONNECTION_ID()") => Self::Enter,
            _ if text.contains("GET_LOCK(") && text.contains("SLEEP(") => Self::TakeSlot,
            _ if text.contains("GET_LOCK(") && text.contains("RELEASE_LOCK(") => Self::WhoAmI,
            _ if text.contains("GET_LOCK(") => Self::GetLock,
            _ if text.contains("RELEASE_LOCK(") => Self::Else,
            _ if text.contains("IS_USED_LOCK(") => Self::WhoHolds,
            _ if text.contains("@diesel_named_lock_error") => Self::Diagnostics,
            _ => Self::Else,
        }
    }

    fn is_question(self) -> bool {
        matches!(self, Self::WhoHolds | Self::WhoAmI | Self::Diagnostics)
    }
}

impl Witness {
    pub fn new(connection: u64, url: &str) -> Self {
        Self { connection, url: url.to_owned(), sent: VecDeque::with_capacity(MEMORY), killed: false }
    }

    fn sent(&mut self, text: String) {
        if self.sent.len() == MEMORY {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { what: What::of(&text), text, is_finished: false });
    }

    fn finished(&mut self, error: Option<&Error>) {
        let Some(sent) = self.sent.back_mut() else { return };
        sent.is_finished = true;
        sent.text += &error.map_or_else(String::new, |error| format!(" FAILED: {error}"));
    }

    /// The time for a check-out was up while the pool tested this connection: deadpool drops it then.
    fn is_tested(&self) -> bool {
        self.sent.back().is_some_and(|sent| sent.text.starts_with(PING) && !sent.is_finished)
    }

    /// Whether an acquire had no clear answer, and the lock is held: nobody can tell whether an outer section acquired it.
    ///
    /// If the first statement for a permit had a clear answer, it is known what was held before, so the later ones leave no doubt.
    ///
    /// The statements show that the question was answered: one that was not is asked again, up to the bound.
    fn was_in_doubt(&self) -> bool {
        let mut sent = self.sent.iter().rev().skip_while(|sent| sent.what.is_question());
        let Some(Sent { what: What::GetLock | What::Enter, text, .. }) = sent.next() else { return false };
        if sent.next().is_some_and(|before| before.what == What::Enter) {
            return false;
        }
        let last = self.sent.back().map(|sent| sent.what);
        let in_a_row = self.sent.iter().rev().take_while(|sent| Some(sent.what) == last).count();
        last.is_some_and(What::is_question) && in_a_row < ATTEMPTS && self.holds(text)
    }

    /// Whether another session sees that this one holds a lock that it has asked for.
    fn holds(&self, get_lock: &str) -> bool {
        let is_asked_for =
            |name: &&str| get_lock.contains(*name) || get_lock.contains(&format!("{:?}", name.as_bytes()));
        // On a connection of its own each time, which the tormentor may strike, too.
        let held = until_answered(|| {
            let broken = |error: ConnectionError| Error::QueryBuilderError(error.into());
            let mut conn = MysqlConnection::establish(&self.url).map_err(broken)?;
            holds_any(&mut conn, self.connection, all_locks().filter(is_asked_for))
        });
        held.unwrap_or(false)
    }

    fn tell(&mut self) {
        self.killed = true;
        let skipped = self.sent.len().saturating_sub(TOLD);
        let last = self.sent.iter().skip(skipped).map(|sent| sent.text.chars().take(LENGTH).collect()).collect();
        Message::Killed(Killed { connection: self.connection, at_grant: self.was_in_doubt(), last }).send();
    }
}

/// A connection that was owned is closed.
impl Drop for Witness {
    fn drop(&mut self) {
        if !give_up(self.connection) && self.is_tested() {
            Message::GivenUp(GivenUp { connection: self.connection, free_after: Duration::ZERO }).send();
        }
    }
}

impl Instrumentation for Witness {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { query, .. } => {
                let text = query.to_string();
                if text.starts_with("KILL CONNECTION_ID()") && !give_up(self.connection) && !self.killed {
                    self.tell();
                }
                self.sent(text);
            }
            InstrumentationEvent::FinishQuery { error, .. } => self.finished(error),
            _ => {}
        }
    }
}
