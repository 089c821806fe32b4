//! Does harm, as the schedule says.

use std::{
    collections::{BTreeMap, HashSet},
    io, thread,
    time::Duration,
};

use diesel::{
    MysqlConnection,
    connection::SimpleConnection,
    prelude::*,
    result::QueryResult,
    sql_query,
    sql_types::{BigInt, Nullable, Unsigned},
};

use crate::{
    crew::{Crew, Stopped},
    schedule::{Aim, Fault, Planned},
    subject::busy_locks,
};

/// So many `KILL QUERY` are a rain: sent in one go, they hit several statements of the victim in a row.
const DROPS: usize = 100;

/// Until others wait for a lock.
const QUEUE: Duration = Duration::from_millis(3);

pub struct Tormentor {
    /// The only session on this server that is nobody's victim.
    pub conn: MysqlConnection,
    server: u32,
    /// How many of each fault were done.
    pub done: BTreeMap<Fault, usize>,
    pub struck: HashSet<u64>,
    /// Those of them that were killed.
    pub ended: HashSet<u64>,
    /// How many `KILL` were sent.
    pub kills: usize,
}

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Nullable<Unsigned<BigInt>>)]
    id: Option<u64>,
}

impl Tormentor {
    pub fn new(conn: MysqlConnection, server: u32) -> Self {
        Self { conn, server, done: BTreeMap::new(), struck: HashSet::new(), ended: HashSet::new(), kills: 0 }
    }

    pub fn done(&self) -> usize {
        self.done.values().sum()
    }

    pub fn strike(&mut self, planned: Planned, crew: &mut Crew) -> io::Result<()> {
        let Planned { fault, victim, time, strikes, gap, .. } = planned;
        let done = match fault {
            Fault::KillConnection(aim) => self.kill_connection(aim, victim),
            Fault::KillQuery(aim) => self.kill_query(aim, victim, 1),
            Fault::Burst(aim) => self.burst(aim, victim, strikes, gap),
            Fault::Rain(aim) => self.kill_query(aim, victim, DROPS),
            Fault::Grant => self.kill_at_grant(victim),
            Fault::KillWorker => crew.replace(victim).map(|()| true)?,
            Fault::StopWorker => {
                crew.stop_for(victim, time);
                true
            }
            Fault::StopServer => {
                let _stopped = Stopped::new(self.server);
                thread::sleep(time);
                true
            }
        };
        if done {
            *self.done.entry(fault).or_default() += 1;
        }
        Ok(())
    }

    /// Whether it struck. Noted before the fact: what it does is told at once.
    fn kill_connection(&mut self, aim: Aim, victim: usize) -> bool {
        let Some(id) = self.choose(aim, victim) else { return false };
        self.ended.insert(id);
        self.kill(&format!("KILL CONNECTION {id}"), &[id], 1)
    }

    fn kill_query(&mut self, aim: Aim, victim: usize, times: usize) -> bool {
        let Some(id) = self.choose(aim, victim) else { return false };
        // The session may just have ended by itself. At the first error, the server leaves the rest of them out.
        self.kill(&format!("KILL QUERY {id};").repeat(times), &[id], times)
    }

    /// With pauses, in which the victim gets to its next statement.
    fn burst(&mut self, aim: Aim, victim: usize, strikes: usize, gap: Duration) -> bool {
        let Some(id) = self.choose(aim, victim) else { return false };
        (0..strikes).all(|_| {
            thread::sleep(gap);
            self.kill(&format!("KILL QUERY {id}"), &[id], 1)
        })
    }

    fn choose(&mut self, aim: Aim, victim: usize) -> Option<u64> {
        let mut sessions = self.sessions(aim, victim).unwrap_or_default();
        if sessions.is_empty() {
            sessions = self.sessions(Aim::Any, victim).unwrap_or_default();
        }
        (!sessions.is_empty()).then(|| sessions[victim % sessions.len()])
    }

    fn kill(&mut self, sql: &str, victims: &[u64], times: usize) -> bool {
        self.struck.extend(victims);
        self.kills += times;
        self.conn.batch_execute(sql).is_ok()
    }

    /// Takes a lock like everybody else, until others wait for it; then lets one of them have it, and strikes.
    fn kill_at_grant(&mut self, victim: usize) -> bool {
        let locks = busy_locks();
        let name = locks[victim % locks.len()];
        let granted = sql_query(format!("SELECT CAST(GET_LOCK('{name}', 1) AS UNSIGNED) AS id"))
            .get_result::<Session>(&mut self.conn);
        if !matches!(granted, Ok(Session { id: Some(1) })) {
            return false;
        }
        thread::sleep(QUEUE);
        let waiters = self.sessions(Aim::Waiter, victim).unwrap_or_default();
        // Some hundreds of microseconds go by until the waiter wakes up: so many, about, the server counts to.
        let count = victim / locks.len() % 64 * 1_000;
        let strike: String = waiters.iter().map(|id| format!("KILL QUERY {id};")).collect();
        let sql = format!("DO RELEASE_LOCK('{name}'); DO BENCHMARK({count}, 1); {strike}");
        self.kill(&sql, &waiters, waiters.len()) && !waiters.is_empty()
    }

    /// The workers' sessions: all that have logged in, but for this one.
    pub fn sessions(&mut self, aim: Aim, victim: usize) -> QueryResult<Vec<u64>> {
        let condition = match aim {
            Aim::Any => "",
            Aim::Busy => " AND COMMAND <> 'Sleep'",
            Aim::Waiter => " AND STATE IN ('User lock', 'User sleep')",
            Aim::Holder => {
                let locks = busy_locks();
                &format!(" AND ID = IS_USED_LOCK('{}')", locks[victim % locks.len()])
            }
        };
        let query = format!(
            "SELECT CAST(ID AS UNSIGNED) AS id FROM information_schema.PROCESSLIST \
             WHERE USER = 'root' AND ID <> CONNECTION_ID(){condition} ORDER BY ID"
        );
        let rows: Vec<Session> = sql_query(query).load(&mut self.conn)?;
        Ok(rows.into_iter().filter_map(|row| row.id).collect())
    }
}
