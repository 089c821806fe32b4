//! Guides. Start with [choosing a name](choosing_a_name) and [timeouts and retries](timeouts_and_retries); when something
//! goes wrong, [errors] has each with its cause and its cure.
//!
//! | | |
//! |---|---|
//! | writing sections | [`choosing_a_name`], [`timeouts_and_retries`], [`transactions`], [`pools`], [`long_sections`], [`guards`], [`nonblocking`], [`testing`] |
//! | what is built on them | [`migrations`], [`jobs`], [`leader_election`], [`fencing`] |
//! | when something goes wrong | [`errors`], [`servers_and_proxies`] |
//! | coming from elsewhere | [`from_get_lock`], [`from_pymysqllock`], [`from_with_advisory_lock`] |
//!
//! All the code in them is compiled by the crate's doc tests.

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

#[cfg_attr(feature = "async", doc = include_str!("nonblocking.md"))]
#[cfg_attr(not(feature = "async"), doc = "Async: see the documentation with feature `async`.")]
pub mod nonblocking {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[cfg_attr(feature = "migrations", doc = include_str!("migrations.md"))]
#[cfg_attr(not(feature = "migrations"), doc = "Migrations: see the documentation with feature `migrations`.")]
pub mod migrations {}

#[doc = include_str!("jobs.md")]
pub mod jobs {}

#[doc = include_str!("leader_election.md")]
pub mod leader_election {}

#[doc = include_str!("fencing.md")]
pub mod fencing {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("servers_and_proxies.md")]
#[doc = include_str!("../../docs/deployments.md")]
pub mod servers_and_proxies {}

#[doc = include_str!("from_get_lock.md")]
pub mod from_get_lock {}

/// Coming from PyMySQLLock.
///
/// Of version 0.2.0, the newest on PyPI; every parameter and every method, as its source has them. What it does on MariaDB,
/// and when its connection is lost, was tried on 10.11.19, with PyMySQL 1.2.4. Names are sent as they are on both sides, so
/// a Python program and this crate meet at the same lock.
///
/// One program with PyMySQLLock, and the same with a [guard](self::guards) of this crate. On one server and one name, they wait for
/// each other.
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
