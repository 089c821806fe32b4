//! Several holders at once: permits, and locks that are shared or exclusive.

use crate::{
    error::NamedLockError,
    family::{self, FamilyKind},
    lock::NamedLock,
    name::{LockName, count_chars},
    slots::{Slots, Wanted},
};

pub use crate::permits_error::InvalidPermits;

/// A number of permits, each for one holder at a time, on all machines together: a semaphore.
///
/// [`permit`](Self::permit) is a [`NamedLock`] like any other: it runs sections, makes guards, and goes into a
/// [`NamedLockPool`](crate::pool::NamedLockPool), with the same options and errors.
///
/// ```no_run
/// use diesel::MysqlConnection;
/// use diesel_named_lock::{NamedLockError, permits::Permits};
///
/// # fn render(_: &mut MysqlConnection) -> Result<(), NamedLockError> { Ok(()) }
/// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
/// // At most three at a time, in all processes.
/// let renderers = Permits::new("renderers", 3)?;
/// renderers.permit().run(conn, render)?;
/// # Ok(())
/// # }
/// ```
///
/// # How it works
///
/// Permits of the name `mail` are the named locks `mail:permit#1`, `mail:permit#2` and so on, one for each permit, and `mail:permit#wait`, the
/// turnstile, in which sections wait for their turn. The server serves them first come, first served. A permit is a lock of a session, so it
/// can't leak: if a process dies, the server frees its permit at once.
///
/// A section has its permit until its end, and learns the truth as with any lock: `Ok`, or [`Lost`](NamedLockError::Lost). Log lines and errors
/// have the name of the lock that they are about, such as `mail:permit#2`; [`AlreadyHeld`](NamedLockError::AlreadyHeld), and errors of the queue
/// of a pool, have the common name, `mail:permit`. The names are the same in all versions of this crate.
///
/// [`NamedLock::holders`] returns the sessions that hold permits. [`NamedLocks::grouped`](crate::operator::NamedLocks::grouped) lists them, and
/// those that wait, for all names.
///
/// # What it costs
///
/// A permit that is free costs two round trips, as a lock does. If none is free, the section that is first in line asks for one again and again,
/// in a statement that lasts from 1 ms to 50 ms on the server: at most some 20 statements a second and name, by one session at a
/// time. The sections behind it wait in the server's queue, as for any lock. So a permit that becomes free is acquired after 50 ms at most, and
/// after a few milliseconds if sections are short.
///
/// In a [`NamedLockPool`](crate::pool::NamedLockPool), one thread of the process asks for a permit at a time. The others wait for it without a
/// connection. A permit is not handed off to the next thread: each section acquires its own.
///
/// `permit()` allocates a name for each permit. Keep what it returns, if that matters.
///
/// # What it does not promise
///
/// * **Every program must use the same number.** If one uses 3 and another 5, up to 5 sections run at once. The program with
///   the smaller number logs a warning when it sees that.
/// * A session has one permit of a name, or one [`permits`](Self::permits) of several. A section inside another one, on the same connection, is
///   [`AlreadyHeld`](NamedLockError::AlreadyHeld), unless it needs one permit and is [`reentrant`](NamedLock::reentrant). On another
///   connection it acquires another permit, so that sections inside each other may wait for each other until they time out.
/// * MySQL finds no deadlock with a session that is first in line for a permit: it ends by a timeout. MariaDB may report a
///   [`Deadlock`](NamedLockError::Deadlock), of this session or of one that waits for another lock, although another permit would become free.
/// * A section that does not wait fails if another one holds the turnstile for longer than an instant: one that acquires several permits, or
///   waits.
/// * A client that is first in line and stops (`SIGSTOP`, a debugger) holds up those behind it, although a permit may be free.
/// * A [`NamedLock`] of the same name is another lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Permits {
    name: LockName,
    count: u32,
}

impl Permits {
    /// The largest number of permits.
    pub const MAX_COUNT: u32 = family::MAX_SLOTS;

    /// The largest number of characters of a name, which leaves room for what is added to it.
    pub const MAX_NAME_CHARS: usize = family::MAX_NAME_CHARS;

    /// Creates permits with this name. `name` is a `&str`, `String`, [`LockName`] or `&LockName`.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidPermits`] if `count` is 0 or more than 64, or if the name has more than 52 characters. Returns
    /// [`NamedLockError::InvalidName`] if the name is not valid.
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>, count: u32) -> Result<Self, NamedLockError> {
        let name = short_name(name)?;
        if count == 0 || count > Self::MAX_COUNT {
            return Err(InvalidPermits::Count(count).into());
        }
        Ok(Self { name, count })
    }

    /// Creates permits for a `static`, checked at compile time.
    ///
    /// ```
    /// use diesel_named_lock::permits::Permits;
    ///
    /// static RENDERERS: Permits = Permits::from_static("renderers", 3);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if [`new`](Self::new) would return an error.
    #[must_use]
    pub const fn from_static(name: &'static str, count: u32) -> Self {
        assert!(count > 0 && count <= Self::MAX_COUNT, "the number of permits must be from 1 to 64");
        Self { name: short_static_name(name), count }
    }

    /// Returns the lock of a section that acquires one permit.
    ///
    /// Its [`names`](NamedLock::names) are one name, `name:permit`, by which events and queues of a pool know it. A guard's names are those that
    /// it holds, such as `name:permit#2`.
    pub fn permit(&self) -> NamedLock {
        self.some(1)
    }

    /// Returns the lock of a section that acquires several permits, all or none: for work that weighs more.
    ///
    /// Costs a round trip for each permit more than one. The section keeps its turn until it has all of them, so it is not starved by
    /// sections that need fewer.
    ///
    /// ```no_run
    /// # use diesel::MysqlConnection;
    /// # use diesel_named_lock::{NamedLockError, permits::Permits};
    /// # fn render_film(_: &mut MysqlConnection) -> Result<(), NamedLockError> { Ok(()) }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
    /// Permits::new("renderers", 3)?.permits(2)?.run(conn, render_film)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidPermits`] if `wanted` is 0 or more than the number of permits.
    pub fn permits(&self, wanted: u32) -> Result<NamedLock, NamedLockError> {
        match wanted {
            1.. if wanted <= self.count => Ok(self.some(wanted)),
            _ => Err(InvalidPermits::Wanted { wanted, count: self.count }.into()),
        }
    }

    /// Returns the number of permits.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    fn some(&self, wanted: u32) -> NamedLock {
        NamedLock::of_slots(Slots::new(
            FamilyKind::Permits.family(&self.name),
            self.count,
            Wanted::Some(wanted as usize),
        ))
    }
}

/// A lock that many sections share, or that one section has alone: a reader–writer lock.
///
/// [`shared`](Self::shared) and [`exclusive`](Self::exclusive) are [`NamedLock`]s like any other.
///
/// ```no_run
/// use diesel::MysqlConnection;
/// use diesel_named_lock::{NamedLockError, permits::SharedLock};
///
/// # fn search(_: &mut MysqlConnection) -> Result<(), NamedLockError> { Ok(()) }
/// # fn rebuild(_: &mut MysqlConnection) -> Result<(), NamedLockError> { Ok(()) }
/// # fn run(conn: &mut MysqlConnection) -> Result<(), NamedLockError> {
/// let index = SharedLock::new("search-index")?;
/// index.shared().run(conn, search)?;
/// index.exclusive().run(conn, rebuild)?;
/// # Ok(())
/// # }
/// ```
///
/// # How it works
///
/// A lock of the name `index` is the named locks `index:shared#1` to `index:shared#64`, and `index:shared#wait`, the turnstile. A shared
/// section is a [permit](Permits): it passes the turnstile and holds one of the 64. An exclusive section holds the turnstile, which
/// lets nobody else in, and then waits until it holds all 64. All of them are served first come, first served: neither kind starves the other.
///
/// # What it costs
///
/// A shared section that finds the lock free costs two round trips. An exclusive one costs 14: it acquires and releases ten locks in a
/// statement. If it must wait, it costs some more, and waits in the server's queue only. So does a shared section, if the lock is held
/// exclusively.
///
/// # What it does not promise
///
/// * At most 64 sections share the lock. One more waits, and everything behind it.
/// * There is no upgrade: an exclusive section inside a shared one, on the same connection, is [`AlreadyHeld`](NamedLockError::AlreadyHeld), at
///   once. Two sections that both wait to upgrade would wait for each other. End the shared section, begin an exclusive one, and look again at
///   what you have read. **In a pool, an exclusive section inside a shared one has another connection**: it waits for its own thread until the
///   timeout, and everybody behind it waits, too.
/// * If a client dies while it waits to be exclusive, those behind it wait for up to a second longer: the server notices it once a second.
/// * There is no downgrade. Between an exclusive section and a shared one, another exclusive section may come.
/// * [What permits do not promise](Permits#what-it-does-not-promise), but for their number, which is the same in all programs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SharedLock {
    name: LockName,
}

impl SharedLock {
    /// How many sections share the lock at most.
    pub const MAX_SHARED: u32 = family::MAX_SLOTS;

    /// The largest number of characters of a name, which leaves room for what is added to it.
    pub const MAX_NAME_CHARS: usize = family::MAX_NAME_CHARS;

    /// Creates a lock with this name. `name` is a `&str`, `String`, [`LockName`] or `&LockName`.
    ///
    /// # Errors
    ///
    /// Returns [`NamedLockError::InvalidPermits`] if the name has more than 52 characters. Returns [`NamedLockError::InvalidName`] if the
    /// name is not valid.
    pub fn new(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<Self, NamedLockError> {
        Ok(Self { name: short_name(name)? })
    }

    /// Creates a lock for a `static`, with a name that is checked at compile time.
    ///
    /// # Panics
    ///
    /// Panics if [`new`](Self::new) would return an error.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self { name: short_static_name(name) }
    }

    /// Returns the lock of a section that may run beside other shared ones, and beside no exclusive one.
    pub fn shared(&self) -> NamedLock {
        self.some(Wanted::Some(1))
    }

    /// Returns the lock of a section that runs alone.
    pub fn exclusive(&self) -> NamedLock {
        self.some(Wanted::All)
    }

    fn some(&self, wanted: Wanted) -> NamedLock {
        NamedLock::of_slots(Slots::new(FamilyKind::Shared.family(&self.name), Self::MAX_SHARED, wanted))
    }
}

fn short_name(name: impl TryInto<LockName, Error: Into<NamedLockError>>) -> Result<LockName, NamedLockError> {
    let name = name.try_into().map_err(Into::into)?;
    match count_chars(name.as_str()) {
        ..=Permits::MAX_NAME_CHARS => Ok(name),
        chars => Err(InvalidPermits::NameTooLong { name, chars }.into()),
    }
}

const fn short_static_name(name: &'static str) -> LockName {
    assert!(count_chars(name) <= Permits::MAX_NAME_CHARS, "a name of permits must have at most 52 characters");
    LockName::from_static(name)
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    /// Programs with different versions of this crate must exclude each other.
    #[test]
    fn the_names_of_the_locks_and_their_order_never_change() {
        let names = |lock: NamedLock| {
            let slots = lock.request().unwrap().slots.unwrap();
            slots.all().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let permits = Permits::new("a", 2).unwrap();
        assert_eq!(names(permits.permit()), ["a:permit#wait", "a:permit#1", "a:permit#2"]);
        assert_eq!(names(permits.permits(2).unwrap()), names(permits.permit()));
        let lock = SharedLock::new("a").unwrap();
        let slots = (1..=64).map(|slot| format!("a:shared#{slot}"));
        let expected: Vec<_> = iter::once("a:shared#wait".to_owned()).chain(slots).collect();
        assert_eq!(names(lock.shared()), expected);
        assert_eq!(names(lock.exclusive()), expected);
    }
}
