//! A driver that plays answers in place of a server, and enumerates them all. It proves the protocol, not the servers.

use std::{any::Any, collections::HashMap, panic::resume_unwind, time::Duration};

use diesel::{
    deserialize::FromSqlRow,
    expression::QueryMetadata,
    mysql::Mysql,
    query_builder::{Query, QueryFragment, QueryId},
    result::{DatabaseErrorKind, Error, QueryResult},
};

use super::Driver;
use crate::{
    connection_id::ConnectionId,
    statement::{Statement, kill::Kill, session_timeouts::SetTimeouts},
};

pub(crate) const OWN: ConnectionId = ConnectionId::new(7);
pub(crate) const OTHER: ConnectionId = ConnectionId::new(9);
/// The session of a proxy that sends some statements over a connection of its own.
pub(crate) const SECOND: ConnectionId = ConnectionId::new(11);

const NO_PART: &str = "only the statements of sections are played";

/// A statement of a section that can be played. Its answers have the statement's type.
pub(crate) trait Scripted {
    /// The answer of an honest server.
    fn honest(&self, _: &mut Server) -> Box<dyn Any> {
        unreachable!("{NO_PART}")
    }

    /// All answers of the type, also impossible ones.
    fn lies(&self) -> Vec<Box<dyn Any>> {
        unreachable!("{NO_PART}")
    }

    fn said(&self, _: Option<&dyn Any>) -> Vec<Said> {
        unreachable!("{NO_PART}")
    }
}

/// An honest server, as far as sections need it.
#[derive(Default)]
pub(crate) struct Server {
    /// The holder of each lock, and how often it holds it.
    pub(crate) holders: HashMap<String, (ConnectionId, u32)>,
    pub(crate) is_own_session_gone: bool,
    /// How long the own session may be idle, if it was set.
    pub(crate) wait_timeout: Option<u64>,
    /// The lock that a proxy asks for in its second session.
    pub(crate) proxied: Option<&'static str>,
    /// Whether others release a lock as soon as this session was told that they hold it.
    pub(crate) others_pass: bool,
    /// Whether this account may not kill other sessions.
    pub(crate) refuses_kills: bool,
}

impl Server {
    fn kill(&mut self, session: ConnectionId) {
        self.is_own_session_gone |= session == OWN;
        self.holders.retain(|_, (holder, _)| *holder != session);
    }
}

/// A statement that was sent, and its answer. `None` is an error.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    GetLock(String, Option<crate::statement::acquire::Answer>),
    /// Several at once, and about how many of them the answer is.
    GetLocks(Vec<String>, Option<(usize, crate::statement::acquire::Answer)>),
    WhoHolds(String, Option<crate::statement::who_holds::Holding>),
    Release(String, Option<crate::statement::release::Answer>),
    WhoAmI(Option<Option<ConnectionId>>),
    KillOwn,
    KillOther,
    RollBack {
        succeeded: bool,
    },
    Else,
}

/// The possible outcomes of a statement, besides the honest answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plays {
    /// Any answer, an error, the end of the connection, or a panic of a hook.
    Anything,
    /// `KILL QUERY` strikes it, before or after its effect; once in a run, it strikes as many statements in a row.
    Strikes { in_a_row: u32 },
}

/// A connection to a script.
pub(crate) struct Play {
    plays: Plays,
    choices: Choices,
    pub(crate) server: Server,
    pub(crate) said: Vec<Said>,
    pub(crate) depth: u32,
    pub(crate) is_marked: bool,
    is_dead: bool,
    is_silent: bool,
    strikes_to_come: u32,
    had_burst: bool,
}

/// The outcome of the current statement.
enum Fate {
    Honest,
    Lie(usize),
    StruckBefore,
    StruckAfter,
}

/// Calls `run` for every sequence of choices, of which the first `limit` vary. Returns the number of sequences.
pub(crate) fn explore(plays: Plays, limit: usize, mut run: impl FnMut(&mut Play)) -> usize {
    let mut choices = Choices { path: Vec::new(), at: 0, limit };
    let mut count = 0;
    loop {
        let mut play = Play {
            plays,
            choices,
            server: Server::default(),
            said: Vec::new(),
            depth: 0,
            is_marked: false,
            is_dead: false,
            is_silent: false,
            strikes_to_come: 0,
            had_burst: false,
        };
        run(&mut play);
        count += 1;
        choices = play.choices;
        choices.limit = limit;
        if !choices.advance() {
            return count;
        }
    }
}

struct Choices {
    /// The choices, and the number of alternatives of each.
    path: Vec<(usize, usize)>,
    at: usize,
    limit: usize,
}

impl Choices {
    fn are_made(&self) -> bool {
        self.at == self.limit
    }

    fn choose(&mut self, options: usize) -> usize {
        if self.are_made() {
            return 0;
        }
        if self.at == self.path.len() {
            self.path.push((0, options));
        }
        self.at += 1;
        self.path[self.at - 1].0
    }

    fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, options)) = self.path.pop() {
            if chosen + 1 < options {
                self.path.push((chosen + 1, options));
                return true;
            }
        }
        false
    }
}

impl Play {
    /// A choice that does not count among those that vary.
    pub(crate) fn choose<T: Copy>(&mut self, options: &[T]) -> T {
        self.choices.limit += 1;
        options[self.choices.choose(options.len())]
    }

    /// Removes the application's hooks, so that none panics any more.
    pub(crate) fn silence(&mut self) {
        self.is_silent = true;
    }

    fn fate(&mut self, lies: impl FnOnce() -> usize) -> Fate {
        if self.is_dead || self.server.is_own_session_gone {
            return Fate::StruckBefore;
        }
        if self.strikes_to_come > 0 {
            self.strikes_to_come -= 1;
            return Fate::StruckBefore;
        }
        match self.plays {
            Plays::Anything if self.choices.are_made() => Fate::Honest,
            Plays::Anything => {
                let lies = lies();
                match self.choices.choose(lies + if self.is_silent { 3 } else { 4 }) {
                    0 => Fate::Honest,
                    1 => Fate::StruckBefore,
                    2 => {
                        self.is_dead = true;
                        Fate::StruckBefore
                    }
                    lie if lie < lies + 3 => Fate::Lie(lie - 3),
                    _ => resume_unwind(Box::new("a hook")),
                }
            }
            Plays::Strikes { in_a_row } => match self.choices.choose(if self.had_burst { 3 } else { 4 }) {
                0 => Fate::Honest,
                1 => Fate::StruckBefore,
                2 => Fate::StruckAfter,
                _ => {
                    self.had_burst = true;
                    self.strikes_to_come = in_a_row - 1;
                    Fate::StruckBefore
                }
            },
        }
    }
}

fn struck() -> Error {
    Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new("struck".to_owned()))
}

pub(crate) struct Script;

impl Driver<Play> for Script {
    async fn ask<S: Statement>(play: &mut Play, statement: &S) -> QueryResult<S::Answer>
    where
        Mysql: QueryMetadata<S::SqlType>,
    {
        let answer = match play.fate(|| statement.lies().len()) {
            Fate::Honest => Some(statement.honest(&mut play.server)),
            Fate::Lie(lie) => Some(statement.lies().swap_remove(lie)),
            Fate::StruckBefore => None,
            Fate::StruckAfter => {
                statement.honest(&mut play.server);
                None
            }
        };
        play.said.extend(statement.said(answer.as_deref()));
        let answer = answer.ok_or_else(struck)?;
        Ok(*answer.downcast().expect("an answer to this statement"))
    }

    async fn execute<S: QueryFragment<Mysql> + QueryId + 'static>(play: &mut Play, statement: S) -> QueryResult<()> {
        let kill = (&statement as &dyn Any).downcast_ref::<Kill>();
        let fate = play.fate(|| 0);
        play.said.push(if kill.is_some() { Said::KillOther } else { Said::Else });
        if let (Some(Kill(session)), Fate::Honest | Fate::StruckAfter) = (kill, &fate) {
            if play.server.refuses_kills {
                return Err(struck());
            }
            play.server.kill(*session);
        }
        let timeouts = (&statement as &dyn Any).downcast_ref::<SetTimeouts>();
        if let (Some(SetTimeouts(timeouts)), Fate::Honest | Fate::StruckAfter) = (timeouts, &fate) {
            play.server.wait_timeout = Some(timeouts.wait);
        }
        if matches!(fate, Fate::Honest) { Ok(()) } else { Err(struck()) }
    }

    async fn rows<Q, R>(_: &mut Play, _: Q) -> QueryResult<Vec<R>>
    where
        Q: Query + QueryFragment<Mysql> + QueryId,
        R: FromSqlRow<Q::SqlType, Mysql>,
        Mysql: QueryMetadata<Q::SqlType>,
    {
        unreachable!("{NO_PART}")
    }

    async fn change<S: QueryFragment<Mysql> + QueryId>(_: &mut Play, _: S) -> QueryResult<usize> {
        unreachable!("{NO_PART}")
    }

    async fn kill_own(play: &mut Play) -> bool {
        let fate = play.fate(|| 0);
        play.said.push(Said::KillOwn);
        if !matches!(fate, Fate::StruckBefore) {
            play.server.kill(OWN);
        }
        true
    }

    async fn batch(play: &mut Play, sql: &str) -> QueryResult<()> {
        let succeeded = matches!(play.fate(|| 0), Fate::Honest);
        play.said.push(match sql {
            "ROLLBACK" => Said::RollBack { succeeded },
            _ => Said::Else,
        });
        if succeeded { Ok(()) } else { Err(struck()) }
    }

    /// Like Diesel's transaction manager: a savepoint that can't be rolled back is dropped, a transaction that can't be rolled back puts the
    /// manager in error.
    async fn roll_back_innermost(play: &mut Play) -> QueryResult<()> {
        let succeeded = matches!(play.fate(|| 0), Fate::Honest);
        play.said.push(Said::RollBack { succeeded });
        if succeeded || play.depth > 1 {
            play.depth -= 1;
        } else {
            play.is_marked = true;
        }
        if succeeded { Ok(()) } else { Err(struck()) }
    }

    async fn pause(_: Duration) {}

    fn depth(play: &mut Play) -> QueryResult<u32> {
        if play.is_marked { Err(Error::BrokenTransactionManager) } else { Ok(play.depth) }
    }

    fn is_in_test_transaction(_: &mut Play) -> bool {
        false
    }

    fn set_no_transaction(play: &mut Play) {
        (play.depth, play.is_marked) = (0, false);
    }

    fn mark_broken(play: &mut Play) {
        play.is_marked = true;
    }
}
