//! Does what a plan says in a task, and tells the parent what came of it, also if its future was dropped.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::OnceLock,
    time::{Duration, Instant},
};

use diesel::{Connection as _, MysqlConnection, result::Error, sql_query, sql_types::Text};
use diesel_async::{RunQueryDsl, TransactionManager};
use diesel_named_lock::{
    NamedLockError,
    nonblocking::{
        NamedLock, NamedLockConnection, NamedLockGuard, OwnedConnection,
        pool::{ConnectionPool, NamedLockPool},
    },
};
use tokio::{runtime::Runtime, time::sleep};

use super::dropping::{self, Section};
use crate::{
    history::{GivenUp, Outcome, Report},
    locking::{Order, Verdict, WorkError, of_section, of_transaction, told_by},
    look,
    message::Message,
    performer::{Chosen, Performer},
    subject::all_locks,
    tables::{READ_COUNTER, Value, event, update},
    violation::{Kind, Violation},
    workload::{End, Manner, Plan},
};

/// Also on a server that is stopped for a while.
const FREE_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy)]
pub struct TaskPerformer<'t> {
    pub performer: Performer<'t>,
    pub runtime: &'t Runtime,
    /// For who looks whether a session that was given up holds a lock.
    pub url: &'t str,
    pub plan: &'t Plan,
    pub manner: Manner,
}

/// What the closure has seen.
struct Seen {
    begun: Instant,
    waited: OnceLock<Duration>,
    connection: OnceLock<u64>,
}

type Told = Result<Verdict, NamedLockError>;

impl TaskPerformer<'_> {
    pub fn perform<P: ConnectionPool>(self, locks: &NamedLockPool<P>) {
        let Self { performer, plan, manner, .. } = self;
        let order = Order {
            subject: plan.subject.clone(),
            timeout: plan.timeout,
            reentrant: plan.reentrant,
            transaction: plan.transaction,
        };
        let lock = NamedLock::from(order.lock().expect("valid names"));
        let mut conn = (!manner.in_turn).then(|| self.check_out(locks.pool()));
        let known = conn.as_mut().and_then(|conn| self.runtime.block_on(self.look_at(conn, &[])));
        let seen = Seen { begun: Instant::now(), waited: OnceLock::new(), connection: OnceLock::new() };
        known.into_iter().for_each(|id| seen.connection.set(id).expect("it is new"));
        let section: Section<'_, Told> = match (conn.as_mut(), manner.guard) {
            (None, false) => Box::pin(self.in_turn(locks, &lock, &seen)),
            (None, true) => Box::pin(self.by_guard_in_turn(locks, &lock, &seen)),
            (Some(conn), false) => Box::pin(self.on_borrowed(conn, &lock, &seen)),
            (Some(_), true) => Box::pin(self.by_guard(conn.take().expect("it is there"), &lock, &seen)),
        };
        let ended =
            catch_unwind(AssertUnwindSafe(|| dropping::run(self.runtime, section, manner.dropped, manner.outside)));
        let waited = seen.waited.get().copied().unwrap_or_else(|| seen.begun.elapsed());
        let Verdict { outcome, alone } = match &ended {
            Err(_) => Verdict { outcome: Outcome::Panicked, alone: false },
            Ok(None) => Verdict { outcome: Outcome::Dropped, alone: false },
            Ok(Some(told)) => told.as_ref().copied().unwrap_or_else(told_by),
        };
        let (section, connection) = (performer.section_id(plan.number), seen.connection.get());
        Message::Section(Report {
            section,
            connection: connection.copied(),
            in_turn: manner.in_turn,
            by_guard: manner.guard,
            updates: plan.subject.counters().len(),
            timeout: plan.timeout,
            waited,
            outcome,
            alone,
            within: false,
        })
        .send();
        // Back to its pool, where deadpool keeps it until it is wanted.
        self.runtime.block_on(async { drop(conn) });
        if let Err(panic) = ended {
            performer.judge(plan, &*panic);
        }
        dropping::given_up().into_iter().for_each(|session| self.gives_up(session));
    }

    fn check_out<P: ConnectionPool>(self, pool: &P) -> P::Connection {
        self.runtime.block_on(pool.get()).unwrap_or_else(|error| panic!("no connection: {error}"))
    }

    async fn look_at<C: NamedLockConnection>(self, conn: &mut C, kinds: &[&str]) -> Option<u64> {
        look::judge(sql_query(look::query()).get_result(conn).await, kinds, self.performer)
    }

    async fn on_borrowed<C: NamedLockConnection>(self, conn: &mut C, lock: &NamedLock, seen: &Seen) -> Told {
        if self.plan.transaction {
            return Ok(of_transaction(&lock.run_transaction(conn, async |conn| self.work(conn, seen).await).await));
        }
        let section = lock.section(conn, async |conn| self.work(conn, seen).await).await?;
        Ok(of_section(&section.value, section.error.as_ref()))
    }

    async fn in_turn<P: ConnectionPool>(self, locks: &NamedLockPool<P>, lock: &NamedLock, seen: &Seen) -> Told {
        if self.plan.transaction {
            return Ok(of_transaction(&locks.run_transaction(lock, async |conn| self.work(conn, seen).await).await));
        }
        let section = locks.section(lock, async |conn| self.work(conn, seen).await).await?;
        Ok(of_section(&section.value, section.error.as_ref()))
    }

    async fn by_guard<C: OwnedConnection>(self, conn: C, lock: &NamedLock, seen: &Seen) -> Told {
        let mut guard: NamedLockGuard<C> = lock.acquire(conn).await.map_err(|failed| failed.error)?;
        let value = if self.plan.transaction {
            guard.transaction(async |conn| self.work(conn, seen).await).await
        } else {
            self.work(&mut *guard, seen).await
        };
        Ok(of_section(&value, guard.release().await.err().map(|failed| failed.error).as_ref()))
    }

    async fn by_guard_in_turn<P: ConnectionPool>(
        self,
        locks: &NamedLockPool<P>,
        lock: &NamedLock,
        seen: &Seen,
    ) -> Told {
        let mut guard = locks.acquire(lock).await?;
        let value = if self.plan.transaction {
            guard.transaction(async |conn| self.work(conn, seen).await).await
        } else {
            self.work(&mut *guard, seen).await
        };
        Ok(of_section(&value, guard.release().await.err().as_ref()))
    }

    /// A read-modify-write of the counter of every lock that it has alone, with nothing but the locks to protect it.
    async fn work<C: NamedLockConnection>(self, conn: &mut C, seen: &Seen) -> Result<(), WorkError> {
        let plan = self.plan;
        let (shares, counters) = (plan.subject.shares(), plan.subject.counters());
        seen.waited.get_or_init(|| seen.begun.elapsed());
        if self.manner.in_turn {
            let connection = self.look_at(conn, &plan.subject.kinds()).await;
            connection.into_iter().for_each(|id| seen.connection.set(id).expect("it is new"));
        }
        let section = self.performer.section_id(plan.number).0;
        for share in &shares {
            conn.execute_returning_count(event(section, *share, "enter")).await?;
        }
        if plan.leaves_open {
            C::TransactionManager::begin_transaction(conn).await?;
        }
        let mut read = Vec::new();
        for name in &counters {
            read.push(sql_query(READ_COUNTER).bind::<Text, _>(name).get_result::<Value>(conn).await?.value);
        }
        if let Some(time) = plan.dawdle {
            sleep(time).await;
        }
        for (name, value) in counters.iter().zip(read) {
            if conn.execute_returning_count(update(name, section, value + 1)).await? != 1 {
                return Err(Error::NotFound.into());
            }
        }
        for share in &shares {
            conn.execute_returning_count(event(section, *share, "leave")).await?;
        }
        match plan.end {
            End::Ok => Ok(()),
            End::Err => Err(WorkError::Chosen),
            End::Panic => resume_unwind(Box::new(Chosen)),
        }
    }

    /// Tells when a session holds no lock any more whose section was dropped.
    fn gives_up(self, connection: u64) {
        let dropped = Instant::now();
        let mut looks = None;
        let free_after = loop {
            let held = self.holds_any(&mut looks, connection);
            let after = dropped.elapsed();
            if held == Some(false) {
                break after;
            }
            if after > FREE_WITHIN {
                let id = self.performer.section_id(self.plan.number);
                let what = format!("connection {connection} holds a lock {after:.1?} after {id} was dropped");
                Message::Violation(Violation::new(Kind::Leak, what)).send();
                break after;
            }
        };
        Message::GivenUp(GivenUp { connection, free_after }).send();
    }

    /// `None` if the one that looks was struck.
    fn holds_any(self, looks: &mut Option<MysqlConnection>, connection: u64) -> Option<bool> {
        let mut conn = looks.take().or_else(|| MysqlConnection::establish(self.url).ok())?;
        let held = look::holds_any(&mut conn, connection, all_locks()).ok()?;
        *looks = Some(conn);
        Some(held)
    }
}
