//! Does harm: to servers, sessions, statements and processes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use diesel::{MysqlConnection, connection::SimpleConnection, prelude::*, sql_query, sql_types::BigInt};
use rustix::process::Signal;
use test_server::Server;

use super::crew::Crew;
use crate::stage::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// `kill -9` of so many servers at once, and a restart.
    KillServers(usize),
    /// `SIGSTOP` of so many servers at once, and `SIGCONT`.
    StopServers(usize),
    /// `KILL` of the sessions that hold the lock, on so many nodes at once.
    KillHolder(usize),
    /// `KILL` of a session that waits for the lock.
    KillWaiter,
    /// `KILL` of any session.
    KillAny,
    /// `KILL QUERY` of the holder, a waiter, or any session.
    KillQuery,
    /// `kill -9` of a contender.
    KillContender,
    /// `SIGSTOP` of a contender, and `SIGCONT`.
    FreezeContender,
}

/// How many there are of each in a round, in a random order.
const ROUND: [(Fault, usize); 12] = [
    (Fault::KillServers(1), 2),
    (Fault::KillServers(2), 1),
    (Fault::StopServers(1), 3),
    (Fault::StopServers(2), 1),
    (Fault::KillHolder(1), 8),
    (Fault::KillHolder(2), 4),
    (Fault::KillHolder(3), 4),
    (Fault::KillWaiter, 6),
    (Fault::KillAny, 4),
    (Fault::KillQuery, 10),
    (Fault::KillContender, 3),
    (Fault::FreezeContender, 2),
];

/// The sessions that a `KILL` is for.
#[derive(Debug, Clone, Copy)]
enum Aim {
    Holder,
    Waiter,
    Any,
}

pub struct Tormentor {
    /// Each is locked for as long as it is down or stopped.
    servers: Arc<[Mutex<Server>; 3]>,
    urls: [String; 3],
    name: String,
    crew: Arc<Crew>,
    /// What is left of a round.
    planned: Vec<Fault>,
    /// Those that have struck.
    pub done: BTreeMap<Fault, usize>,
    hands: Vec<JoinHandle<()>>,
}

impl Tormentor {
    pub fn new(servers: Arc<[Mutex<Server>; 3]>, urls: [String; 3], name: String, crew: Arc<Crew>) -> Self {
        let done = ROUND.iter().map(|(fault, _)| (*fault, 0)).collect();
        Self { servers, urls, name, crew, planned: Vec::new(), done, hands: Vec::new() }
    }

    pub fn has_done_each(&self) -> bool {
        self.done.values().all(|count| *count > 0)
    }

    pub fn strike(&mut self) {
        if self.planned.is_empty() {
            self.planned = ROUND.iter().flat_map(|(fault, count)| std::iter::repeat_n(*fault, *count)).collect();
            fastrand::shuffle(&mut self.planned);
        }
        let Some(fault) = self.planned.pop() else { return };
        self.hands.retain(|hand| !hand.is_finished());
        let has_struck = match fault {
            Fault::KillServers(count) => self.treat(count, |server| {
                kill_9(server);
                thread::sleep(Duration::from_millis(fastrand::u64(..1_000)));
                server.start_again().expect("a server that starts again");
            }),
            Fault::StopServers(count) => self.treat(count, |server| {
                signal(server, Signal::STOP);
                thread::sleep(Duration::from_millis(fastrand::u64(50..2_000)));
                signal(server, Signal::CONT);
            }),
            Fault::KillHolder(count) => self.kill(Aim::Holder, count, "KILL"),
            Fault::KillWaiter => self.kill(Aim::Waiter, 1, "KILL"),
            Fault::KillAny => self.kill(Aim::Any, 1, "KILL"),
            Fault::KillQuery => {
                let aim = fastrand::choice([Aim::Holder, Aim::Waiter, Aim::Any]).expect("a choice");
                self.kill(aim, 1, "KILL QUERY")
            }
            Fault::KillContender => self.crew.replace_one(),
            Fault::FreezeContender => {
                let (crew, time) = (self.crew.clone(), Duration::from_millis(fastrand::u64(100..5_000)));
                self.hands.push(thread::spawn(move || crew.freeze_one(time)));
                true
            }
        };
        if has_struck {
            *self.done.entry(fault).or_default() += 1;
        }
    }

    /// Does so to some servers at once, if so many are well. A thread does the rest.
    fn treat(&mut self, count: usize, treatment: impl Fn(&mut Server) + Clone + Send + 'static) -> bool {
        let nodes: Vec<usize> = self.well().into_iter().take(count).collect();
        if nodes.len() < count {
            return false;
        }
        for node in nodes {
            let (servers, treatment) = (self.servers.clone(), treatment.clone());
            self.hands.push(thread::spawn(move || treatment(&mut servers[node].lock().expect("no panic"))));
        }
        true
    }

    /// The servers to which nothing is done at the moment, in a random order.
    fn well(&self) -> Vec<usize> {
        let mut well: Vec<usize> = (0..3).filter(|node| self.servers[*node].try_lock().is_ok()).collect();
        fastrand::shuffle(&mut well);
        well
    }

    /// Kills such a session on each of so many servers at once, as soon as there is one on each.
    fn kill(&self, aim: Aim, count: usize, kill: &str) -> bool {
        const LOOKS: u32 = 20;

        let connect = |node: usize| MysqlConnection::establish(&self.urls[node]).ok();
        // A server may die between two looks.
        let mut conns: Vec<_> = self.well().into_iter().take(count).filter_map(connect).collect();
        if conns.len() < count {
            return false;
        }
        let mut look = || conns.iter_mut().map(|conn| self.session(conn, aim)).collect::<Option<Vec<_>>>();
        let Some(sessions) = (0..LOOKS).find_map(|_| look()) else { return false };
        let strikes = conns.iter_mut().zip(sessions);
        let struck = strikes.map(|(conn, session)| conn.batch_execute(&format!("{kill} {session}")).is_ok());
        struck.filter(|has_struck| *has_struck).count() == count
    }

    fn session(&self, conn: &mut MysqlConnection, aim: Aim) -> Option<i64> {
        #[derive(QueryableByName)]
        struct Session {
            #[diesel(sql_type = BigInt)]
            id: i64,
        }

        let condition = match aim {
            Aim::Holder => format!("ID = IS_USED_LOCK('{}')", self.name),
            Aim::Waiter => "STATE = 'User lock'".to_owned(),
            Aim::Any => "USER = 'root' AND ID <> CONNECTION_ID()".to_owned(),
        };
        let query = format!("SELECT CAST(ID AS SIGNED) AS id FROM information_schema.PROCESSLIST WHERE {condition}");
        let sessions: Vec<Session> = sql_query(query).load(conn).ok()?;
        fastrand::choice(sessions).map(|session| session.id)
    }

    /// Waits until all servers are up, and nobody is stopped.
    pub fn finish(self) -> BTreeMap<Fault, usize> {
        for hand in self.hands {
            hand.join().expect("no panic");
        }
        self.done
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillServers(count) => write!(f, "kill -9 of {count} servers"),
            Self::StopServers(count) => write!(f, "SIGSTOP of {count} servers"),
            Self::KillHolder(count) => write!(f, "KILL of the holder on {count} nodes"),
            Self::KillWaiter => write!(f, "KILL of a waiter"),
            Self::KillAny => write!(f, "KILL of any session"),
            Self::KillQuery => write!(f, "KILL QUERY"),
            Self::KillContender => write!(f, "kill -9 of a client"),
            Self::FreezeContender => write!(f, "SIGSTOP of a client"),
        }
    }
}
