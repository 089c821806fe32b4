//! Guides. Start with [choosing a name](choosing_a_name) and [timeouts and retries](timeouts_and_retries). If something goes
//! wrong, [errors] lists each error with its cause and its cure.
//!
//! | | |
//! |---|---|
//! | writing sections | [`choosing_a_name`], [`timeouts_and_retries`], [`transactions`], [`pools`], [`long_sections`], [`guards`], [`several_at_once`], [`quorum`], [`web_applications`], [`nonblocking`], [`testing`] |
//! | built on them | [`migrations`], [`jobs`], [`leader_election`], [`fencing`] |
//! | from the shell | [`command_line`] |
//! | if something goes wrong | [`errors`], [`servers_and_proxies`] |
//! | before you depend on it | [`guarantees`], [`verification`], [`comparison`] |
//! | coming from elsewhere | [`from_get_lock`], [`from_pymysqllock`], [`from_with_advisory_lock`] |
//!
//! # Which method for what
//!
//! | you want | write |
//! |---|---|
//! | not to wait | `conn.try_with_named_lock(name, work)`, `lock.try_run(conn, work)`: `Ok(None)` if another session holds the lock |
//! | a lock with options, described once | `NamedLock::new(name)?` with `.timeout()`, `.no_wait()`, `.wait_forever()`, `.reentrant()`, `.idle_limit()`; `NamedLock::from_static(name)` for a `static` |
//! | threads that wait without a connection each | `NamedLockPool`: `locks.with_named_lock(…)`, `locks.run(&lock, work)`, `run_transaction`, `section` |
//! | several locks, all or none, without deadlock | `NamedLock::all_of(names)?` |
//! | N holders at once; many readers or one writer | `Permits::new(name, 3)?.permit()`; `SharedLock::new(name)?.shared()`, `.exclusive()` |
//! | a lock that survives its server, or spans a cluster | `Quorum::builder().node(name, pool)…`: `quorum.run(&lock, work)`, `quorum.acquire(&lock)` (feature `quorum`) |
//! | the closure's value even if the lock was lost | `lock.section(&mut conn, work)?` |
//! | a name from any text, or a name of one application | `LockName::hashed(text)`, `LockName::scoped(scope, name)` |
//! | a job that runs on one machine only | `SingletonJob::new(name)?` with `.at_most_every(interval)` or `.once_for(date)`, and a ledger of the runs |
//! | Diesel's migrations by one process at a time | `conn.run_pending_migrations_locked(MIGRATIONS, timeout)` (feature `migrations`) |
//! | other systems to refuse writes that come too late | `fence::next_token(conn, name)?` inside any section: a growing number |
//! | to compute for long inside a section | `conn.keep_alive_while(interval, \|watch\| …)` pings the session; `watch.is_lost()` |
//! | to be sure before a step that can't be undone | `conn.still_holds(name)?` asks the server |
//! | a lock that outlives the function or moves to another thread | `lock.acquire(conn)?`, `locks.acquire(&lock)?`: a guard that owns its connection; `.release()` |
//! | a guard that reports by itself that its lock is lost | `guard.keep_alive(interval)?`: `.is_lost()`, `.lost(timeout)`, `.on_loss(callback)` |
//! | one process that leads, and another that takes over | `LeaderElection::new(name, connect)?`: `.lead(timeout, work)`, `leadership.is_leader()`, `.term()`, `.resign()` |
//! | a lock that a vanished host does not keep for 8 hours | `lock.idle_limit(limit)`; `IdleLimit` for all connections of a pool |
//! | a pool without locks and transactions left by raw SQL | `CleanSessions::new(manager)` |
//! | to see who holds what, to check a server, to kill a holder | `named_locks(conn)?`, `server_report(conn)?`, `break_lock(conn, &name)?`. If a plugin or a privilege is missing, the error has the statement that helps |
//!
//! All of this works on a plain `MysqlConnection`, on `r2d2::PooledConnection`, and on connections of managers of your own. All but
//! the migrations and `CleanSessions` also work on the connections of `diesel-async`, plain, of bb8 and of deadpool: see
//! [`nonblocking`].
//!
//! All code in the guides is compiled by the crate's doc tests.

#[doc = include_str!("choosing_a_name.md")]
pub mod choosing_a_name {}

#[doc = include_str!("timeouts_and_retries.md")]
pub mod timeouts_and_retries {}

#[doc = include_str!("transactions.md")]
pub mod transactions {}

#[doc = include_str!("pools.md")]
pub mod pools {}

#[doc = include_str!("long_sections.md")]
pub mod long_sections {}

#[doc = include_str!("guards.md")]
pub mod guards {}

#[doc = include_str!("several_at_once.md")]
pub mod several_at_once {}

#[cfg_attr(feature = "quorum", doc = include_str!("quorum.md"))]
#[cfg_attr(
    not(feature = "quorum"),
    doc = "A lock over a majority of servers: see the documentation with feature `quorum`."
)]
pub mod quorum {}

#[doc = include_str!("web_applications.md")]
pub mod web_applications {}

#[cfg_attr(feature = "async", doc = include_str!("nonblocking.md"))]
#[cfg_attr(not(feature = "async"), doc = "Async: see the documentation with feature `async`.")]
pub mod nonblocking {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[cfg_attr(feature = "migrations", doc = include_str!("migrations.md"))]
#[cfg_attr(not(feature = "migrations"), doc = "Migrations: see the documentation with feature `migrations`.")]
pub mod migrations {}

#[doc = include_str!("jobs.md")]
///
/// # The table
///
/// ```sql
#[doc = include_str!("../../migrations/00000000000002-namedlock_create_named_lock_ledger/up.sql")]
/// ```
pub mod jobs {}

#[doc = include_str!("leader_election.md")]
pub mod leader_election {}

#[doc = include_str!("fencing.md")]
///
/// # The table
///
/// ```sql
#[doc = include_str!("../../migrations/00000000000001-namedlock_create_named_lock_fences/up.sql")]
/// ```
pub mod fencing {}

#[doc = include_str!("command_line.md")]
pub mod command_line {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("servers_and_proxies.md")]
#[doc = include_str!("../../docs/deployments.md")]
pub mod servers_and_proxies {}

#[doc = include_str!("guarantees.md")]
pub mod guarantees {}

/// What was tested.
///
#[doc = include_str!("../../docs/verification.md")]
pub mod verification {}

/// Comparison with other crates and languages.
///
#[doc = include_str!("../../docs/comparison.md")]
pub mod comparison {}

#[doc = include_str!("from_get_lock.md")]
pub mod from_get_lock {}

/// Coming from PyMySQLLock.
///
/// This covers version 0.2.0, the newest on PyPI, with every parameter and every method of its source. Its behaviour on MariaDB, and when its
/// connection is lost, was tried on MariaDB 10.11.19, with PyMySQL 1.2.4. Both sides send names unchanged, so a Python program and this crate
/// share a lock of the same name.
///
/// Here is a program with PyMySQLLock, and the same program with a [guard](self::guards) of this crate. With the same server and name, they
/// wait for each other.
///
/// ```python
#[doc = include_str!("from_pymysqllock.py")]
/// ```
///
/// ```no_run
#[doc = include_str!("from_pymysqllock.rs")]
/// ```
///
#[doc = include_str!("from_pymysqllock.md")]
pub mod from_pymysqllock {}

#[doc = include_str!("from_with_advisory_lock.md")]
pub mod from_with_advisory_lock {}

/// The code in the README compiles.
#[cfg(all(doctest, feature = "async"))]
#[doc = include_str!("../../README.md")]
pub mod readme {}
