//! Where a scenario plays: a server, a lock, pools, somebody who looks on, and somebody who is not to be harmed.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    connection::SimpleConnection,
    prelude::*,
    r2d2::{ConnectionManager, Pool, PooledConnection},
    sql_query,
};
use diesel_named_lock::{NamedLock, NamedLockConnection, NamedLockError, Section, pool::NamedLockPool};
use test_server::{Product, Server};

use crate::{
    lock::Kind,
    perform::ON_PURPOSE,
    scenario::{AT_ONCE, Observed, Outcome, Served},
    sql::*,
};

pub type Manager = ConnectionManager<MysqlConnection>;
pub type Connections = Pool<Manager>;
pub type Checkout = PooledConnection<Manager>;
pub type Locks = NamedLockPool<Manager>;
pub type Work = Result<(), NamedLockError>;

/// The work of a section, with a value that must not get lost.
type Valued<'w, C> = Box<dyn FnOnce(&mut C) -> Result<u32, NamedLockError> + 'w>;

pub struct Stage {
    pub server: Arc<Server>,
    /// The name of the lock.
    pub name: String,
    pub kind: Kind,
    /// The session that kills, asks who waits, and the like.
    control: Mutex<MysqlConnection>,
    /// The session that wants the lock next.
    successor: Mutex<MysqlConnection>,
    bystander: Mutex<Bystander>,
    observed: Mutex<Observed>,
}

/// A session that holds a lock of its own all the time.
struct Bystander {
    conn: MysqlConnection,
    id: u64,
    lock: String,
}

/// Somebody who holds the lock that the scenario wants.
pub struct Rival {
    pub conn: MysqlConnection,
    pub id: u64,
}

impl Stage {
    pub fn on(server: Arc<Server>, kind: Kind) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let open = || connect(server.url());
        Self {
            name: format!("stage_{number}"),
            kind,
            control: Mutex::new(open()),
            successor: Mutex::new(open()),
            bystander: Mutex::new(Bystander::holding(format!("bystander_{number}"), open())),
            observed: Mutex::default(),
            server,
        }
    }

    pub fn is_mysql(&self) -> bool {
        self.server.product() == Product::MySql
    }

    /// Whether `KILL QUERY` can strike so short a statement as a release. MariaDB hardly ever looks for a kill there, and
    /// on one processor the statement is over before the kill has its turn.
    pub fn short_statements_are_struck(&self) -> bool {
        self.is_mysql() && thread::available_parallelism().is_ok_and(|processors| processors.get() > 1)
    }

    /// Whether to try again: for three seconds, and on a busy machine for longer until the moment is met once, if it `can_be`.
    pub fn tries(&self, since: Instant, met: u32, can_be: bool) -> bool {
        since.elapsed() < Duration::from_secs(3) || (can_be && met == 0 && since.elapsed() < PATIENCE * 2)
    }

    pub fn lock(&self) -> NamedLock {
        self.kind.lock(&self.name).timeout(PATIENCE)
    }

    pub fn connect(&self) -> MysqlConnection {
        connect(self.server.url())
    }

    /// A pool of one: whatever a fault leaves on its connection, the next checkout meets.
    pub fn pool(&self) -> Connections {
        self.pool_at(self.server.url())
    }

    pub fn pool_at(&self, url: &str) -> Connections {
        let pool = Pool::builder().max_size(1).connection_timeout(PATIENCE).build(Manager::new(url));
        pool.expect("a pool")
    }

    /// A new table with one row, whose `a` is 0.
    pub fn table(&self) -> String {
        let table = format!("table_of_{}", self.name);
        let mut control = self.control();
        control.batch_execute(&format!("CREATE TABLE {table} (a INT) ENGINE = InnoDB")).expect("CREATE TABLE");
        control.batch_execute(&format!("INSERT INTO {table} VALUES (0)")).expect("INSERT");
        table
    }

    /// What others see in such a table.
    pub fn value_in(&self, table: &str) -> Option<i64> {
        number(&mut *self.control(), &format!("SELECT a AS number FROM {table}"))
    }

    pub fn rival(&self) -> Rival {
        let mut conn = self.connect();
        let is_free = get_lock(&mut conn, &self.kind.held(&self.name), Duration::ZERO).expect("GET_LOCK");
        assert!(is_free, "the lock is free at first");
        let id = id(&mut conn);
        Rival { conn, id }
    }

    pub fn control(&self) -> MutexGuard<'_, MysqlConnection> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn kill(&self, id: u64) {
        self.control().batch_execute(&format!("KILL {id}")).expect("KILL");
    }

    pub fn kill_query(&self, id: u64) {
        self.try_kill_query(id).expect("KILL QUERY");
    }

    /// The session may be gone.
    pub fn try_kill_query(&self, id: u64) -> QueryResult<()> {
        self.control().batch_execute(&format!("KILL QUERY {id}"))
    }

    pub fn holder(&self) -> Option<u64> {
        self.holder_of(&self.kind.held(&self.name))
    }

    pub fn holder_of(&self, name: &str) -> Option<u64> {
        holder(&mut *self.control(), name).expect("IS_USED_LOCK")
    }

    pub fn until_free(&self) {
        wait_until("the lock to be free", || self.holder().is_none());
    }

    pub fn until_gone(&self, id: u64) {
        let query = format!("SELECT COUNT(*) AS number FROM information_schema.PROCESSLIST WHERE ID = {id}");
        wait_until("the session to be gone", || number(&mut *self.control(), &query) == Some(0));
    }

    /// Until the session waits for the lock, first in line.
    pub fn until_waiting(&self, id: u64) {
        wait_until("the session to be first in line", || self.is_waiting(id));
    }

    pub fn is_waiting(&self, id: u64) -> bool {
        match self.kind.turnstile(&self.name) {
            None => self.is_in_state(id, "User lock"),
            Some(turnstile) => self.holder_of(&turnstile) == Some(id) && self.holder() != Some(id),
        }
    }

    pub fn is_in_state(&self, id: u64, state: &str) -> bool {
        let query = format!(
            "SELECT COUNT(*) AS number FROM information_schema.PROCESSLIST WHERE ID = {id} AND STATE = '{state}'"
        );
        number(&mut *self.control(), &query) == Some(1)
    }

    pub fn until_in_state(&self, id: u64, state: &str) {
        wait_until(&format!("the session to be in {state}"), || self.is_in_state(id, state));
    }

    /// Runs a section, notes what its caller sees, and makes sure that nothing of the work got lost.
    pub fn section<C: NamedLockConnection>(
        &self,
        lock: &NamedLock,
        conn: &mut C,
        work: impl FnOnce(&mut C) -> Work,
    ) -> Outcome {
        self.watched(work, |work| lock.section(conn, work))
    }

    /// The same, on the connection that comes with the turn.
    pub fn section_in_turn(
        &self,
        lock: &NamedLock,
        locks: &Locks,
        work: impl FnOnce(&mut Checkout) -> Work,
    ) -> Outcome {
        self.watched(work, |work| locks.section(lock, work))
    }

    fn watched<C>(
        &self,
        work: impl FnOnce(&mut C) -> Work,
        section: impl FnOnce(Valued<'_, C>) -> Result<Section<Result<u32, NamedLockError>>, NamedLockError>,
    ) -> Outcome {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let value = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut returned = None;
        let ended = catch(|| {
            section(Box::new(|conn| {
                let result = work(conn).map(|()| value);
                returned = Some(format!("{result:?}"));
                result
            }))
        });
        let outcome = match ended {
            Err(panic) => {
                self.check(panic.downcast_ref() == Some(&ON_PURPOSE), "the panic is not the one of the work");
                Outcome::Panicked
            }
            Ok(Err(error)) => {
                self.check(returned.is_none(), &format!("{returned:?} got lost for {error}"));
                Outcome::of(&error)
            }
            Ok(Ok(section)) => {
                let kept = Some(format!("{:?}", section.value)) == returned;
                self.check(kept, &format!("{returned:?} became {:?}", section.value));
                match (section.value, section.error) {
                    (Err(error), _) | (Ok(_), Some(error)) => Outcome::of(&error),
                    (Ok(_), None) => Outcome::Ok,
                }
            }
        };
        self.saw(outcome);
        outcome
    }

    /// Runs a section on a thread of its own until `meanwhile` has done something to it. Its work never runs.
    pub fn waiting_section(&self, conn: &mut Checkout, meanwhile: impl FnOnce(u64)) {
        let own = id(conn);
        thread::scope(|scope| {
            let section = scope.spawn(|| self.section(&self.lock(), conn, |_| panic!("the lock was not to be had")));
            self.until_waiting(own);
            meanwhile(own);
            joined(section);
        });
    }

    pub fn saw(&self, outcome: Outcome) {
        *self.observe().outcomes.entry(outcome).or_default() += 1;
    }

    pub fn check(&self, right: bool, what_is_wrong: &str) {
        if !right {
            self.observe().wrong.push(what_is_wrong.to_owned());
        }
    }

    /// For the report.
    pub fn note(&self, note: String) {
        self.observe().notes.push(note);
    }

    /// Notes how long after `since` somebody else has the lock.
    pub fn free_since(&self, since: Instant) {
        self.succeed();
        self.note_free(since.elapsed());
    }

    /// Notes whether somebody else has the lock at once, or else how long it takes from now.
    pub fn free_now(&self) {
        let start = Instant::now();
        let waited = self.succeed();
        self.note_free(if waited { start.elapsed() } else { AT_ONCE });
    }

    pub fn note_free(&self, after: Duration) {
        let mut observed = self.observe();
        observed.free_after = observed.free_after.max(Some(after));
    }

    /// Another session acquires the lock and releases it. Returns whether it had to wait.
    fn succeed(&self) -> bool {
        let mut successor = self.successor.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.kind.all(&self.name);
        let mut waited = false;
        for name in &names {
            let mut ask = |wait| get_lock(&mut *successor, name, wait).expect("GET_LOCK");
            let at_once = ask(Duration::ZERO);
            assert!(at_once || ask(PATIENCE), "waited {PATIENCE:?} in vain for `{name}`");
            waited |= !at_once;
        }
        for name in &names {
            assert!(release_lock(&mut *successor, name).expect("RELEASE_LOCK"));
        }
        waited
    }

    /// The rival releases the lock. From then on, the lock must be free.
    pub fn free_after(&self, rival: Rival) {
        self.end(rival);
        self.free_now();
    }

    pub fn end(&self, mut rival: Rival) {
        assert_eq!(self.holder(), Some(rival.id), "nobody else's lock was touched");
        assert!(release_lock(&mut rival.conn, &self.kind.held(&self.name)).expect("RELEASE_LOCK"));
    }

    /// A connection from the pool, which will be known again.
    pub fn checkout(&self, pool: &Connections) -> (Checkout, u64) {
        let mut conn = pool.get().expect("a checkout");
        conn.batch_execute("SET @known = 1").expect("a working connection");
        let id = id(&mut conn);
        (conn, id)
    }

    /// Notes which connection the pool serves. It has to work, and to hold nothing.
    pub fn serves(&self, pool: &Connections) {
        let mut conn = pool.get().expect("a checkout after the fault");
        let known = number(&mut conn, "SELECT @known IS NOT NULL AS number") == Some(1);
        let outcome: Work = self.lock().no_wait().run_transaction(&mut conn, |conn| {
            sql_query("SELECT 1").execute(conn)?;
            Ok(())
        });
        self.check(outcome.is_ok(), &format!("a section on what the pool serves: {outcome:?}"));
        self.served(known);
    }

    pub fn served(&self, known: bool) {
        self.observe().pool.insert(if known { Served::Kept } else { Served::Replaced });
    }

    /// Checks in, looks whether the lock is free, then what the pool serves.
    pub fn free_and_serves(&self, conn: Checkout, pool: &Connections) {
        self.free_now();
        drop(conn);
        self.serves(pool);
    }

    /// Another server has taken the place of this one.
    pub fn move_to(&self, server: &Server) {
        *self.control() = connect(server.url());
        *self.successor.lock().unwrap_or_else(PoisonError::into_inner) = connect(server.url());
    }

    /// Whether the bystander is still who it was, and holds what it held.
    pub fn bystander_is_unharmed(&self) -> bool {
        let mut bystander = self.bystander.lock().unwrap_or_else(PoisonError::into_inner);
        let Bystander { conn, id, lock } = &mut *bystander;
        holder(conn, lock).is_ok_and(|holder| holder == Some(*id)) && self::id(conn) == *id
    }

    pub fn observed(self) -> Observed {
        self.observed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bystander {
    fn holding(lock: String, mut conn: MysqlConnection) -> Self {
        assert!(get_lock(&mut conn, &lock, Duration::ZERO).expect("GET_LOCK"));
        let id = id(&mut conn);
        Self { conn, id, lock }
    }
}

pub fn catch<T>(run: impl FnOnce() -> T) -> thread::Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
}

/// Hands on a panic as it is.
pub fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
